"""H.264 by a hardware encoder, to the same terms as `encode.X264`: each picture out at once, keyframes when asked for,
a rate that can be changed and a buffer that is short for it. Which one, `runtime.encoders` finds out; when it is opened
anew, `reopening` says; what it makes is parsed, never taken on trust.
"""

from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from fishladder.edge.cameras.container import reason
from fishladder.edge.encode import OVER, ROOM, Encoded, EncoderSettings, scaled
from fishladder.edge.reopening import Reopening, buffer_bits
from fishladder.runtime.encoders import LIVE
from fishladder.wire.bitstream import ParameterSets, inspect
from fishladder.wire.errors import CameraError, WireError
from fishladder.wire.unit import Codec

_TIME_BASE = Fraction(1, 1_000_000)
#: These take a new rate as they run, up to what they were opened with; the others none.
_CHANGES_RATE = ("h264_nvenc", "h264_qsv")
#: Drivers refuse to be opened for next to nothing.
_LEAST_BPS = 10_000


class HardwareH264:
    """`settings.codec` for pictures of one source size, at about `fps` a second. Raises `CameraError` if it cannot be
    opened; `encode` raises it when the encoder fails or makes something a decoder could not begin with.
    """

    def __init__(self, settings: EncoderSettings, source: tuple[int, int], fps: float, bitrate_bps: int) -> None:
        self.settings = settings
        self.source = source
        self.fps = fps
        self.keyframe_s = settings.keyframe_s
        self.width, self.height = scaled(*source, settings.width)
        self._scaler = VideoReformatter()
        self._format = "nv12" if settings.codec.endswith("_qsv") else "yuv420p"
        self._sets = ParameterSets(Codec.H264)
        self._next_keyframe_us: int | None = None
        self._force = True
        self._changes_rate = settings.codec in _CHANGES_RATE
        self.set_bitrate(bitrate_bps)
        self._reopening = Reopening(self._wanted_bps, changes_rate=self._changes_rate)
        self._context: VideoCodecContext | None = self._open()

    def _open(self) -> VideoCodecContext:
        """At the most it may be told later, for which constant bitrate holds from the start."""
        name, rate = self.settings.codec, self._wanted_bps
        most = min(round(rate * ROOM), self._most_bps) if self._changes_rate else rate
        try:
            context = av.CodecContext.create(name, "w")
            assert isinstance(context, VideoCodecContext)
            context.width, context.height, context.pix_fmt = self.width, self.height, self._format
            context.time_base = _TIME_BASE
            context.framerate = Fraction(self.fps).limit_denominator(1001)
            context.bit_rate = most
            context.max_b_frames = 0
            context.gop_size = max(round(self.fps * 600), 600)  # keyframes come when we ask for them
            limits = {
                "maxrate": str(most),
                "bufsize": str(buffer_bits(rate, self.fps)),
                "profile": self.settings.profile,
            }
            context.options = {**LIVE.get(name, {}), **limits}
            context.open()
        except (av.FFmpegError, ValueError) as error:
            why = reason(error) if isinstance(error, av.FFmpegError) else str(error)
            raise CameraError(f"{name} refuses {self.width}x{self.height} at {self.fps:g} fps: {why}") from None
        if self._changes_rate:
            context.bit_rate = rate
        self._force = True
        self._maximum_bps = most
        return context

    @property
    def _most_bps(self) -> int:
        return max(round(self.settings.bitrate_bps * OVER), _LEAST_BPS)

    def keeps(self, fps: float) -> bool:
        """Whether it can go on at about so many pictures a second."""
        return 0.75 < fps / self.fps < 1.33

    def outgrown(self, bitrate_bps: int, pts_us: int, *, thin: bool = False) -> bool:
        """Never: it sees to that itself."""
        return False

    def set_bitrate(self, bitrate_bps: int) -> None:
        """From the next picture on, or where that takes another encoder when one is opened."""
        self._wanted_bps = max(min(bitrate_bps, self._most_bps), _LEAST_BPS)

    def _ready(self, pts_us: int, *, key: bool) -> VideoCodecContext:
        """The encoder for that picture. Raises `CameraError`."""
        if self._context is not None and self._reopening.due(self._wanted_bps, pts_us, keyframe=key):
            self._context = None  # one at a time: some hardware has no more
        if self._context is None:
            self._context = self._open()
            self._reopening.opened(self._wanted_bps, pts_us)
        elif self._changes_rate:
            self._context.bit_rate = min(self._wanted_bps, self._maximum_bps)
        return self._context

    def force_keyframe(self) -> None:
        self._force = True

    def encode(self, frame: VideoFrame, pts_us: int) -> Encoded | None:
        """Encode one picture of the source size. Raises `CameraError`."""
        picture = self._scaler.reformat(
            frame, self.width, self.height, self._format, interpolation=Interpolation.FAST_BILINEAR
        )
        due = self._next_keyframe_us is None or pts_us >= self._next_keyframe_us
        context = self._ready(pts_us, key=self._force or due)
        key = self._force or due
        picture.pts = pts_us
        picture.time_base = _TIME_BASE
        picture.pict_type = PictureType.I if key else PictureType.NONE
        try:
            data = b"".join(bytes(packet) for packet in context.encode(picture))
            clean = bool(data) and self._clean(data)
        except (av.FFmpegError, WireError) as error:
            why = reason(error) if isinstance(error, av.FFmpegError) else str(error)
            raise CameraError(f"{self.settings.codec}: {why}") from None
        if not data:
            raise CameraError(f"{self.settings.codec} holds pictures back")
        if key and not clean:
            raise CameraError(f"{self.settings.codec} makes no keyframe when asked for one")
        if key:
            self._force = False
            self._next_keyframe_us = pts_us + round(self.keyframe_s * 1e6)
        return Encoded(self._complete(data), pts_us, clean)

    def _clean(self, data: bytes) -> bool:
        access = inspect(Codec.H264, data)
        if access.parameter_sets:
            self._sets.remember(access.parameter_sets)
        return inspect(Codec.H264, self._complete(data)).clean

    def _complete(self, data: bytes) -> bytes:
        """With parameter sets in front where a decoder may start: some encoders give them only once."""
        return self._sets.completed(data, inspect(Codec.H264, data))
