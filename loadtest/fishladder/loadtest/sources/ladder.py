"""Real footage encoded to what a `CameraSpec` describes, once, and kept in the cache: a ladder of such clips lets many
cameras be played without encoding anything while it counts.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import msgspec
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from fishladder.edge.encode import ROOM, X264, EncoderSettings, scaled
from fishladder.edge.rate.ladder import fitting
from fishladder.inference.assets.cache import cache_dir, fetch
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.frames import EncodedSizes

#: Of a clip, at most so much is encoded and looped.
MOST_S = 20.0
_VERSION = 3


class Encoded(msgspec.Struct, frozen=True):
    """H.264 access units in order, the first a keyframe, and which others are."""

    units: list[bytes]
    key: list[bool]

    @property
    def sizes(self) -> EncodedSizes:
        return EncodedSizes(np.array([len(unit) for unit in self.units], np.int64), np.array(self.key, bool))


class Rung(Encoded, frozen=True):
    """A clip as an agent's encoder makes it when it is ordered to this rate."""

    bitrate_bps: float
    fps: float
    width: int
    height: int


@dataclass(frozen=True)
class Content:
    """What cameras show: a clip, or, of those that adapt, a ladder of it. With neither, frames are made up."""

    clip: Encoded | None = None
    rungs: Sequence[Rung] = ()


#: Rates of a ladder stand apart by this.
_APART = 0.7


def rung_rates(most_bps: float, least_bps: float) -> list[float]:
    """From the camera's own rate down to the floor, which is one of them."""
    rates = [most_bps]
    while rates[-1] * _APART > least_bps:
        rates.append(rates[-1] * _APART)
    return rates if rates[-1] <= least_bps else [*rates, least_bps]


def ladder(
    clip: "Footage", spec: CameraSpec, floor_bps: float, progress: Callable[[str, float, float], None] | None = None
) -> list[Rung]:
    """The clip at the rates an agent may order of this camera, and at its pictures a second and size then. Below the
    floor there are two rungs more: what is ordered there is obeyed, and called too little.
    """
    rungs = []
    for rate in [*rung_rates(spec.bitrate_bps, floor_bps), floor_bps * _APART, floor_bps * _APART**2]:
        at = fitting(rate, spec.width, spec.height, spec.fps)
        width, height = scaled(spec.width, spec.height, round(spec.width * at.width))
        made = encoded(
            clip, replace(spec, bitrate_bps=rate, fps=at.fps, width=width, height=height), progress, buffer_s=0.0
        )
        rungs.append(Rung(made.units, made.key, rate, at.fps, width, height))
    return rungs


@dataclass(frozen=True)
class Footage:
    """Decoded pictures of an asset, `fps` a second."""

    name: str
    path: Path

    @property
    def fps(self) -> float:
        with av.open(str(self.path)) as container:
            rate = container.streams.video[0].average_rate
            return float(rate or 25)

    def pictures(self, seconds: float = MOST_S) -> Iterator[VideoFrame]:
        with av.open(str(self.path)) as container:
            until = round(seconds * float(container.streams.video[0].average_rate or 25))
            for index, frame in enumerate(container.decode(video=0)):
                if index >= until:
                    return
                yield frame


def footage(name: str, progress: Callable[[str, float, float], None] | None = None) -> Footage:
    """The clip, fetched if need be. Raises `AssetError`."""

    def tell(what: str, done: int, total: int | None) -> None:
        if progress is not None:
            progress(f"fetching {what}", done, total or 0)

    return Footage(name, fetch(name, tell))


def encoded(
    clip: Footage,
    spec: CameraSpec,
    progress: Callable[[str, float, float], None] | None = None,
    *,
    buffer_s: float = 1.0,
) -> Encoded:
    """The clip as this camera would send it, from the cache if it was encoded before. `buffer_s` is the encoder's rate
    buffer, as cameras have it; 0 as agents have it.

    Pictures are repeated or left out where the camera's rate is not the clip's.
    """
    kept = cache_dir() / "loadtest" / f"{clip.name}-{_key(spec, buffer_s)}.msgpack"
    try:
        return msgspec.msgpack.decode(kept.read_bytes(), type=Encoded)
    except (OSError, msgspec.MsgspecError):
        made = encode_pictures(
            clip.pictures(),
            clip.fps,
            spec,
            lambda done, total: progress and progress(f"encoding {clip.name}", done, total),
            buffer_s=buffer_s,
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_bytes(msgspec.msgpack.encode(made))
    part.replace(kept)
    return made


def encode_pictures(
    pictures: Iterator[VideoFrame],
    source_fps: float,
    spec: CameraSpec,
    progress: Callable[[float, float], object] | None = None,
    *,
    buffer_s: float = 1.0,
) -> Encoded:
    """Encode as cameras do: H.264 at a constant bit rate, a keyframe each `gop_s`."""
    # An agent opens its encoder for more than it orders, so that the short buffer does not cost rate.
    most_bps = spec.bitrate_bps * (1.0 if buffer_s else ROOM)
    encoder = X264(
        EncoderSettings(bitrate_bps=round(most_bps), keyframe_s=spec.gop_s, qp_min=0, buffer_s=buffer_s),
        (spec.width, spec.height),
        spec.fps,
        round(spec.bitrate_bps),
    )
    scaler = VideoReformatter()
    units, key, due = [], [], 0
    for index, picture in enumerate(pictures):
        while due / spec.fps < (index + 1) / source_fps - 1e-9:
            scaled = scaler.reformat(picture, spec.width, spec.height, "yuv420p")
            unit = encoder.encode(scaled, round(due * 1e6 / spec.fps))
            if unit is not None:
                units.append(unit.payload)
                key.append(unit.keyframe)
            due += 1
        if progress is not None and index % 20 == 0:
            progress(index, MOST_S * source_fps)
    return Encoded(units, key)


def _key(spec: CameraSpec, buffer_s: float) -> str:
    said = (
        f"{_VERSION} {spec.width} {spec.height} {spec.fps} {spec.bitrate_bps} {spec.gop_s} {buffer_s} {av.__version__}"
    )
    return hashlib.sha256(said.encode()).hexdigest()[:16]
