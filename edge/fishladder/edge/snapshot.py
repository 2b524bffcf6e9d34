"""A camera's picture as a JPEG file, from the units it has just sent. Run as a process of its own, since a decoder that
crashes on a camera's stream must not end who asks: `python -m fishladder.edge.snapshot CODEC FILE < units`.
"""

import struct
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from fishladder.edge.capture_records import CapturedUnit
from fishladder.wire.unit import Codec, Flag

if TYPE_CHECKING:  # libav is loaded in the process of its own alone
    from av.video.frame import VideoFrame

_LENGTH = struct.Struct(">I")
_DECODERS = {Codec.H264: "h264", Codec.H265: "hevc", Codec.JPEG: "mjpeg", Codec.VP8: "vp8", Codec.VP9: "vp9"}
_PATIENCE_S = 20.0


def save(units: Sequence[CapturedUnit], file: Path) -> str:
    """Write the first picture that can be decoded; returns what went wrong, or ''."""
    entry = next((index for index, unit in enumerate(units) if unit.flags & (Flag.CLEAN | Flag.RECOVERY)), None)
    if entry is None:
        return "no keyframe came to begin with"
    payloads = [unit.payload for unit in units[entry:]]
    data = b"".join(_LENGTH.pack(len(payload)) + payload for payload in payloads)
    command = [sys.executable, "-m", "fishladder.edge.snapshot", units[entry].codec.label, str(file)]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=_PATIENCE_S)  # noqa: S603 - ourselves
    except subprocess.TimeoutExpired:
        return f"not decoded within {_PATIENCE_S:g} s"
    if done.returncode:
        return done.stderr.decode(errors="replace").strip().rpartition("\n")[2] or "its decoder crashed"
    return ""


def _read(data: bytes) -> list[bytes]:
    payloads = []
    while data:
        (length,) = _LENGTH.unpack_from(data)
        payloads.append(data[_LENGTH.size : _LENGTH.size + length])
        data = data[_LENGTH.size + length :]
    return payloads


def main() -> None:
    import av
    from av.video.codeccontext import VideoCodecContext

    label, file = sys.argv[1:]
    codec = next(codec for codec in _DECODERS if codec.label == label)
    decoder = av.CodecContext.create(_DECODERS[codec], "r")
    assert isinstance(decoder, VideoCodecContext)
    packets = [av.Packet(payload) for payload in _read(sys.stdin.buffer.read())]
    for packet in [*packets, None]:
        try:
            frames = decoder.decode(packet)
        except av.FFmpegError:
            continue  # the next one may do
        if frames:
            Path(file).write_bytes(_jpeg(frames[0]))
            return
    sys.exit("no picture in it could be decoded")


def _jpeg(frame: "VideoFrame") -> bytes:
    import av
    from av.video.codeccontext import VideoCodecContext

    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": "2", "qmax": "4"}
    picture = frame.reformat(format="yuvj420p")
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


if __name__ == "__main__":
    main()
