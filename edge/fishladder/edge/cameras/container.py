"""A camera behind libav: an open container's video stream as packets or pictures. How it is opened, and when its
packets come, is for the kinds of cameras that use this.
"""

import time
from collections.abc import Iterable, Iterator

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fishladder.edge.cameras.camera import Description, Packet, Picture, to_us
from fishladder.wire.errors import CameraError


def reason(error: av.FFmpegError) -> str:
    """What libav says, without the URL it appends (which may hold a password)."""
    return error.strerror or type(error).__name__


def open_container(
    what: str, url: str, *, format: str | None = None, options: dict[str, str] | None = None, timeout_s: float = 10.0
) -> InputContainer:
    """Open `url`; `what` names it in errors. Raises `CameraError`."""
    try:
        return av.open(url, "r", format=format, options=options or {}, timeout=(timeout_s, timeout_s))
    except av.error.ExitError:
        raise CameraError(f"{what}: no answer within {timeout_s:g} s") from None
    except av.FFmpegError as error:
        raise CameraError(f"{what}: {reason(error)}") from error
    except ValueError as error:
        raise CameraError(f"{what}: {error}") from None


def video_stream(container: InputContainer, what: str) -> VideoStream:
    """The first video stream. Raises `CameraError`."""
    if not container.streams.video:
        raise CameraError(f"{what}: there is no video in it")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise CameraError(f"{what}: its codec is none that is known here: set the camera to H.264 or H.265")
    return stream


def describe(stream: VideoStream) -> Description:
    context = stream.codec_context
    rate = stream.average_rate or stream.guessed_rate
    name = context.codec.canonical_name
    return Description(
        name,
        context.width,
        context.height,
        float(rate) if rate else None,
        context.extradata or b"",
        bool(context.has_b_frames),
    )


def demuxed(container: InputContainer, stream: VideoStream, what: str, timeout_s: float) -> Iterator[Packet]:
    """The stream's packets as they come. A missing pts is taken from the dts and the other way about; where both are
    missing, the last dts goes on by the frame's duration. Raises `CameraError`.
    """
    base = stream.time_base
    if base is None:
        raise CameraError(f"{what}: its stream has no time base")
    rate = stream.average_rate or stream.guessed_rate
    step = round(1 / (rate * base)) if rate else 0
    last: int | None = None
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.ExitError:
            raise CameraError(f"{what}: nothing came for {timeout_s:g} s") from None
        except av.FFmpegError as error:
            raise CameraError(f"{what}: {reason(error)}") from error
        if packet is None or packet.size == 0:  # an empty packet marks the end
            return
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is None:
            dts = 0 if last is None else last + (packet.duration or step)
        last = dts
        pts = packet.pts if packet.pts is not None else dts
        packet.dts, packet.pts = dts, pts
        yield Packet(packet, to_us(pts, base), to_us(dts, base), time.monotonic_ns() // 1000)


def decoded(packets: Iterable[Packet], stream: VideoStream) -> Iterator[Picture]:
    """Decode packets. A picture counts as arrived with the packet that brought it out of the decoder."""
    stream.codec_context.thread_count = 1  # no pictures held back by frame threads
    shift_us = 0
    for item in packets:
        base = item.packet.time_base
        shift_us = item.pts_us - to_us(item.packet.pts or 0, base)
        try:
            frames: list[VideoFrame] = stream.codec_context.decode(item.packet)
        except av.error.InvalidDataError:
            yield Picture(None, item.pts_us, item.mono_us)
            continue
        for frame in frames:
            at = frame.pts if frame.pts is not None else item.packet.pts
            yield Picture(frame, to_us(at or 0, base) + shift_us, item.mono_us)
    try:
        rest = stream.codec_context.decode(None)
    except av.FFmpegError:
        return
    for frame in rest:
        if frame.pts is not None and frame.time_base is not None:
            yield Picture(frame, to_us(frame.pts, frame.time_base) + shift_us, time.monotonic_ns() // 1000)
