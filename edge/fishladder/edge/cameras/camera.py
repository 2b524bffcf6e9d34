"""What a capture process needs of a camera: decoded pictures to encode, or encoded packets to pass on. Each kind of
camera is a file beside this one; `open_camera` in `kinds` chooses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream


class Picture(NamedTuple):
    """A decoded picture. `frame` None: the camera delivered one that its decoder refused."""

    frame: VideoFrame | None
    pts_us: int
    mono_us: int  #: when it arrived, on the system's monotonic clock


class Packet(NamedTuple):
    """A coded picture as the camera sent it; `dts_us` ascends, `pts_us` need not."""

    packet: "av.Packet[VideoStream]"
    pts_us: int
    dts_us: int
    mono_us: int


@dataclass(frozen=True, slots=True)
class Description:
    """What a camera delivers. `codec` is libav's name (`h264`, `hevc`, `mjpeg`, ...; `pattern` for raw pictures)."""

    codec: str
    width: int
    height: int
    fps: float | None
    extradata: bytes = b""
    reorders: bool = False  #: pictures come in another order than they are shown in


class Camera(Protocol):
    """An open camera. Iterating raises `CameraError` when it fails and ends when it has no more to give."""

    @property
    def description(self) -> Description: ...

    def pictures(self) -> Iterator[Picture]: ...

    def packets(self) -> Iterator[Packet]: ...

    def close(self) -> None: ...


def to_us(ticks: int, time_base: Fraction) -> int:
    return round(ticks * time_base * 1_000_000)
