"""Footage for the thin-link bench: made once, uncompressed so that reading it costs next to nothing, and so that what
a detector finds in it is the truth that what came is compared with.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from fishladder.inference.assets import fetch

WIDTH, HEIGHT = 640, 360
#: Of a street, of people, and of a street in which nothing happens for so long.
SECONDS = {"street": 10.0, "people": 20.0}


def footage(place: Path, kind: str, fps: int, quiet_s: float = 0.0) -> Path:
    """The file; `quiet_s` of one still picture come first."""
    path = place / f"{kind}-{fps}-{quiet_s:g}.mkv"
    if not path.exists():
        half = path.with_suffix(".half.mkv")
        _write(half, kind, fps, quiet_s)
        half.rename(path)
    return path


def _write(path: Path, kind: str, fps: int, quiet_s: float) -> None:
    rng = np.random.default_rng(1)
    sigma = 5.0 if kind == "street" else 2.0  # so that an encoder can fill 3 Mbit/s with a street
    noise = [rng.normal(0, sigma, (HEIGHT, WIDTH)) for _ in range(16)]
    pictures = list(_street() if kind == "street" else _people())
    step = 1.0 if kind == "street" else 10 / fps  # the clip of people has 10 pictures a second
    seconds = 60.0 if quiet_s else SECONDS[kind]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("rawvideo", rate=fps)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(round(seconds * fps)):
            quiet = index < quiet_s * fps
            planes = pictures[0 if quiet else int(index * step) % len(pictures)].copy()
            if not quiet:
                planes[:HEIGHT] = (planes[:HEIGHT] + noise[int(rng.integers(16))]).clip(0, 255)
            picture = VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, fps)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))


def _street() -> Iterator[NDArray[np.uint8]]:
    scaler = VideoReformatter()
    with av.open(str(fetch("bikes"))) as clip:
        for frame in clip.decode(video=0):
            yield scaler.reformat(frame, WIDTH, HEIGHT, "yuv420p").to_ndarray()


def _people() -> Iterator[NDArray[np.uint8]]:
    """768x576 without what is above and below 16:9."""
    scaler = VideoReformatter()
    with av.open(str(fetch("vtest"))) as clip:
        for frame in clip.decode(video=0):
            picture = frame.to_ndarray(format="rgb24")[72 : 72 + 432]
            cut = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            yield scaler.reformat(cut, WIDTH, HEIGHT, "yuv420p").to_ndarray()


def pictures(path: Path) -> Iterator[VideoFrame]:
    """Once through."""
    with av.open(str(path)) as clip:
        yield from clip.decode(video=0)
