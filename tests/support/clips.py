"""Small clips of a moving pattern from real encoders, as units in decode order, and what a plain decode shows of
them. Each is encoded once a session.
"""

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import av
import numpy as np
from av.video.frame import VideoFrame

from fishladder.wire.bitstream.bits import Bits, unescape
from fishladder.wire.unit import Codec

DECODERS = {
    Codec.H264: "h264",
    Codec.H265: "hevc",
    Codec.VP8: "vp8",
    Codec.VP9: "vp9",
    Codec.AV1: "libdav1d",
    Codec.JPEG: "mjpeg",
}
ENCODERS = {
    Codec.H264: "libx264",
    Codec.H265: "libx265",
    Codec.VP8: "libvpx",
    Codec.VP9: "libvpx-vp9",
    Codec.AV1: "libsvtav1",
    Codec.JPEG: "mjpeg",
}


class Encoded(NamedTuple):
    payload: bytes
    pts_us: int
    duration_us: int


Clip = tuple[Encoded, ...]


def scene(index: int, width: int, height: int) -> VideoFrame:
    """Picture `index`: a textured background that drifts, a box that moves, and a little noise, so that every
    picture differs and refers to the ones before.
    """
    y, x = np.mgrid[0:height, 0:width]
    luma = 96 + 60 * np.sin((x + 2 * index) / 9.0) * np.cos((y - index) / 7.0)
    luma += np.random.default_rng(index).integers(-4, 5, size=luma.shape)
    left, top = (7 * index) % (width - 24), (5 * index) % (height - 24)
    luma[top : top + 24, left : left + 24] = 230
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = luma.clip(0, 255).astype(np.uint8)
    planes[height : height + height // 4] = 90 + index % 64
    return VideoFrame.from_ndarray(planes, format="yuv420p")


@cache
def _encode(
    codec: Codec,
    pictures: int,
    size: tuple[int, int],
    fps: int,
    gop: int,
    b_frames: int,
    options: frozenset[tuple[str, str]],
) -> Clip:
    context = av.CodecContext.create(ENCODERS[codec], "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = size
    context.pix_fmt = "yuvj420p" if codec is Codec.JPEG else "yuv420p"
    context.time_base = Fraction(1, fps)
    context.framerate = Fraction(fps)
    context.thread_count = 1
    context.gop_size = gop
    context.max_b_frames = b_frames
    if codec not in (Codec.JPEG, Codec.AV1):
        context.bit_rate = 400_000
    context.options = dict(options)
    packets = []
    for index in range(pictures):
        frame = scene(index, *size)
        if codec is Codec.JPEG:
            frame = frame.reformat(format="yuvj420p")
        frame.pts = index
        packets += context.encode(frame)
    packets += context.encode(None)
    duration_us = 1_000_000 // fps
    return tuple(Encoded(bytes(packet), (packet.pts or 0) * duration_us, duration_us) for packet in packets)


def encode(
    codec: Codec,
    pictures: int = 60,
    *,
    size: tuple[int, int] = (160, 96),
    fps: int = 25,
    gop: int = 20,
    b_frames: int = 0,
    options: Mapping[str, str] | None = None,
) -> Clip:
    """A clip by the real encoder of `codec`, in decode order. `options` are the encoder's private ones."""
    return _encode(codec, pictures, size, fps, gop, b_frames, frozenset((options or {}).items()))


def _x264(params: str = "", preset: str = "veryfast") -> dict[str, str]:
    return {"preset": preset, "x264-params": f"scenecut=0:{params}".rstrip(":")}


def _x265(params: str) -> dict[str, str]:
    return {"preset": "ultrafast", "x265-params": f"log-level=none:pools=none:frame-threads=1:scenecut=0:{params}"}


#: Options for an ordinary camera's stream.
X264 = _x264("bframes=0")
X265 = _x265("bframes=0")


def plain() -> Clip:
    """x264, one reference, closed GOPs of 20: what an IP camera sends."""
    return encode(Codec.H264, options=X264)


def b_frames() -> Clip:
    """x264 with a pyramid of 3 B-frames, closed GOPs."""
    return encode(Codec.H264, b_frames=3, options=_x264("b-pyramid=normal:b-adapt=0"))


def h264_open_gop() -> Clip:
    """x264 with B-frames and open GOPs: only the first picture is an IDR, the others carry a recovery point."""
    return encode(Codec.H264, b_frames=3, options=_x264("open-gop=1:b-adapt=0:b-pyramid=normal"))


def intra_refresh() -> Clip:
    """x264 with a column of intra blocks that wanders instead of keyframes: one IDR, then recovery points."""
    return encode(Codec.H264, 80, options=_x264("intra-refresh=1:bframes=0"))


def long_gop() -> Clip:
    """x264, one keyframe for the whole clip."""
    return encode(Codec.H264, 100, gop=500, options=X264)


def h265() -> Clip:
    """x265, closed GOPs, B-frames."""
    return encode(Codec.H265, b_frames=3, options=_x265("open-gop=0:bframes=3:b-adapt=0"))


def h265_open_gop() -> Clip:
    """x265 with open GOPs: CRA pictures with RASL pictures behind them."""
    return encode(Codec.H265, b_frames=3, options=_x265("open-gop=1:bframes=3:b-adapt=0"))


def vp8() -> Clip:
    return encode(Codec.VP8, options={"deadline": "realtime", "cpu-used": "8"})


def vp8_hidden() -> Clip:
    """VP8 in which every fifth frame is decoded and never shown, like an alternate reference frame: the bit that shows
    it is cleared.
    """
    hidden = [unit.payload[0] & ~0x10 if index % 5 == 3 else unit.payload[0] for index, unit in enumerate(vp8())]
    return tuple(u._replace(payload=bytes((first,)) + u.payload[1:]) for first, u in zip(hidden, vp8(), strict=True))


def vp9() -> Clip:
    return encode(Codec.VP9, options={"deadline": "realtime", "cpu-used": "8"})


def av1() -> Clip:
    return encode(Codec.AV1, 40, options={"preset": "11", "svtav1-params": "lp=1:pred-struct=1"})


def av1_hierarchical() -> Clip:
    """SVT-AV1 with hidden frames and frames shown again."""
    return encode(Codec.AV1, 40, options={"preset": "11", "svtav1-params": "lp=1:pred-struct=2"})


def jpeg() -> Clip:
    return encode(Codec.JPEG, 12)


def changing() -> Clip:
    """Parameter sets and size that change midway: 160x96 without B-frames, 96x64 with, 160x96 again."""
    parts = (
        encode(Codec.H264, 30, options=X264),
        encode(Codec.H264, 30, size=(96, 64), b_frames=2, options=_x264("b-adapt=0")),
        encode(Codec.H264, 25, options=_x264("bframes=0:ref=3")),
    )
    units: list[Encoded] = []
    for part in parts:
        start_us = sum({unit.pts_us: unit.duration_us for unit in units}.values())
        units += [unit._replace(pts_us=unit.pts_us + start_us) for unit in part]
    return tuple(units)


def silent() -> Clip:
    """`b_frames` as a camera sends it that says nothing of its pictures' order: no VUI in the parameter sets."""
    return tuple(unit._replace(payload=without_vui(unit.payload)) for unit in b_frames())


def marked(clip: Clip, *, every: int, at: int, mark: bytes = b"fishladder-chaos-poison") -> Clip:
    """An H.264 clip in which one of `every` units carries `mark` in a user-data SEI, which shows nothing."""
    body = bytes(range(1, 17)) + mark
    sei = b"\0\0\0\1\x06\x05" + bytes((len(body),)) + body + b"\x80"
    return tuple(
        unit._replace(payload=sei + unit.payload) if index % every == at else unit for index, unit in enumerate(clip)
    )


def without_vui(payload: bytes) -> bytes:
    """An H.264 unit of x264's with the VUI cut off its SPS."""
    start = payload.find(b"\0\0\1\x67")
    if start < 0:
        return payload
    end = payload.index(b"\0\0\1", start + 3)
    nal = unescape(payload[start + 3 : end].rstrip(b"\0"))
    bits = Bits(nal[1:])
    profile = bits.u(24) >> 16
    bits.ue()
    if profile >= 100:
        assert bits.ue() == 1
        bits.ue(), bits.ue()
        assert bits.u(2) == 0
    bits.ue()
    assert bits.ue() == 0
    bits.ue(), bits.ue(), bits.u(1), bits.ue(), bits.ue()
    assert bits.flag()
    bits.u(1)
    if bits.flag():
        bits.ue(), bits.ue(), bits.ue(), bits.ue()
    kept = 8 * len(nal) - bits.left  # the flag that says whether a VUI follows comes next
    value = int.from_bytes(nal, "big") >> bits.left
    value, kept = value << 2 | 1, kept + 2  # no VUI, then the stop bit
    value <<= -kept % 8
    cut = value.to_bytes((kept + 7) // 8, "big")
    escaped = re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", cut)
    return payload[: start + 3] + escaped + b"\0" + payload[end:]


def image(frame: VideoFrame) -> bytes:
    """The picture itself: its size and the bytes of its planes without padding."""
    return f"{frame.width}x{frame.height} {frame.format.name} ".encode() + frame.to_ndarray().tobytes()


def plain_decode(codec: Codec, payloads: Iterable[bytes]) -> dict[int, bytes]:
    """What an uninterrupted, ordinary PyAV decode shows: image by index of the unit it came from."""
    context = av.CodecContext.create(DECODERS[codec], "r")
    assert isinstance(context, av.VideoCodecContext)
    context.thread_count = 1
    shown: list[VideoFrame] = []
    for index, payload in enumerate(payloads):
        packet = av.Packet(payload)
        packet.pts = index
        shown += context.decode(packet)
    shown += context.decode(None)
    return {frame.pts: image(frame) for frame in shown if frame.pts is not None}
