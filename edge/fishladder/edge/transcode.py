"""A camera's own stream decoded and encoded anew, for a link that has not even room for its keyframes. Each unit that
goes in is told of at once and gets what became of it later, in the order in which pictures come out of the decoder;
one that brings none out is told as lost when it could not come any more.
"""

from collections.abc import Iterator

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from fishladder.edge.cameras.camera import Picture
from fishladder.edge.capture_records import Captured, CapturedUnit, Left, Record, Sampled
from fishladder.edge.live_capture import LiveCapture
from fishladder.edge.passthrough import CODECS
from fishladder.wire.errors import CameraError
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec

#: H.264 and H.265 reorder no further (16 pictures in a decoder's buffer): what did not come out by then was lost.
MOST_INSIDE = 17


class Transcoder:
    """One stream's, from a unit on where a decoder may start. Raises `CameraError`."""

    def __init__(self, codec: Codec, live: LiveCapture) -> None:
        name = next(name for name, it in CODECS.items() if it is codec)
        try:
            decoder = av.CodecContext.create(name, "r")
        except (av.FFmpegError, ValueError) as error:
            raise CameraError(f"{name} cannot be decoded here, and so not encoded anew: {error}") from None
        assert isinstance(decoder, VideoCodecContext)
        decoder.thread_count = 1  # no pictures held back by frame threads
        self.live = live
        self._decoder = decoder
        self._count = 0
        self._last_us = 0
        self._shown_us: int | None = None  # pts of the last picture
        self._inside: dict[int, int] = {}  # pts of units whose fate is not told yet, by number in decode order

    def take(self, unit: CapturedUnit) -> Iterator[Record]:
        yield Captured(unit.mono_us)
        yield from self.decode(unit, unit.mono_us)

    def decode(self, unit: CapturedUnit, now_us: int) -> Iterator[Record]:
        """The same for one that was told of already; what comes out came `now_us`."""
        self._count += 1
        self._inside[self._count] = unit.pts_us
        packet = av.Packet(unit.payload)
        packet.pts = packet.dts = self._count
        try:
            frames: list[VideoFrame] = self._decoder.decode(packet)
        except av.FFmpegError:
            frames = []
        for frame in frames:
            yield from self._shown(frame, now_us)
        for number in sorted(it for it in self._inside if it <= self._count - MOST_INSIDE):
            yield from self._lost(number)
        self._last_us = now_us

    def close(self) -> Iterator[Record]:
        """Whatever is still inside."""
        if self._inside:
            try:
                frames: list[VideoFrame] = self._decoder.decode(None)
            except av.FFmpegError:
                frames = []
            for frame in frames:
                yield from self._shown(frame, self._last_us)
        for number in sorted(self._inside):
            yield from self._lost(number)

    def _shown(self, frame: VideoFrame, now_us: int) -> Iterator[Record]:
        number = frame.pts if frame.pts is not None else min(self._inside, default=0)
        pts_us = self._inside.pop(number, None)
        if pts_us is None:
            return  # it was given up before
        if self._shown_us is not None:  # a file without a container has no pts but in decode order
            pts_us = max(pts_us, self._shown_us + 1)
        self._shown_us = pts_us
        *_, record = self.live.take(Picture(frame, pts_us, now_us))  # that it was captured is said already
        yield Left(Fate.SAMPLED_OUT) if isinstance(record, Sampled) else record

    def _lost(self, number: int) -> Iterator[Record]:
        del self._inside[number]
        yield Left(Fate.ENCODER)
