"""Clips as files a camera can play, and the units a demuxer finds in them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
from support.clips import Clip, Encoded

from fishladder.wire.unit import Codec

_MUXED = {Codec.H264: "h264", Codec.H265: "hevc"}


def write_ts(path: Path, codec: Codec, clip: Sequence[Encoded], fps: int | None = None) -> Path:
    """Mux a clip into an MPEG transport stream, which carries Annex B as it is; `fps` plays it at another rate."""
    scale = Fraction(1)
    if fps is not None:
        scale = Fraction(1_000_000, fps * clip[0].duration_us)
    delay_us = max(rank * unit.duration_us - unit.pts_us for rank, unit in enumerate(clip))
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_mux_stream(_MUXED[codec], rate=fps or round(1e6 / clip[0].duration_us))
        stream.time_base = Fraction(1, 90_000)
        for rank, unit in enumerate(clip):
            packet = av.Packet(unit.payload)
            packet.stream = stream
            packet.time_base = Fraction(1, 90_000)
            packet.pts = round((unit.pts_us + delay_us) * scale * 9 / 100)
            packet.dts = round(rank * unit.duration_us * scale * 9 / 100)
            container.mux_one(packet)
    return path


def read_units(path: Path) -> Clip:
    """A file's video packets as units, in decode order, without their times."""
    with av.open(str(path)) as container:
        return tuple(Encoded(bytes(packet), 0, 0) for packet in container.demux(video=0) if packet.size)
