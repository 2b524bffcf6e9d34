"""H.264 by a hardware encoder, to the same terms as `encode.X264`: each picture out at once, keyframes when asked for,
a rate that can be changed. Which one, `runtime.encoders` finds out; what it makes is parsed, never taken on trust.
"""

from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from fishladder.edge.cameras.container import reason
from fishladder.edge.encode import Encoded, EncoderSettings, scaled, vbv_s
from fishladder.runtime.encoders import LIVE
from fishladder.wire.bitstream import ParameterSets, inspect
from fishladder.wire.errors import CameraError, WireError
from fishladder.wire.unit import Codec

_TIME_BASE = Fraction(1, 1_000_000)
#: These take a new rate as they run; the others are opened anew, which costs a keyframe, once it differs by so much.
_CHANGES_RATE = ("h264_nvenc", "h264_qsv")
_REOPEN_SHARE = 0.2


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
        self._bitrate_bps = bitrate_bps
        self._context = self._open()

    def _open(self) -> VideoCodecContext:
        name, rate = self.settings.codec, self._bitrate_bps
        try:
            context = av.CodecContext.create(name, "w")
            assert isinstance(context, VideoCodecContext)
            context.width, context.height, context.pix_fmt = self.width, self.height, self._format
            context.time_base = _TIME_BASE
            context.framerate = Fraction(self.fps).limit_denominator(1001)
            context.bit_rate = rate
            context.max_b_frames = 0
            context.gop_size = max(round(self.fps * 600), 600)  # keyframes come when we ask for them
            limits = {
                "maxrate": str(rate),
                "bufsize": str(max(round(rate * vbv_s(self.fps)), 1)),
                "profile": self.settings.profile,
            }
            context.options = {**LIVE.get(name, {}), **limits}
            context.open()
        except (av.FFmpegError, ValueError) as error:
            why = reason(error) if isinstance(error, av.FFmpegError) else str(error)
            raise CameraError(f"{name} refuses {self.width}x{self.height} at {self.fps:g} fps: {why}") from None
        self._force = True
        return context

    def outgrown(self, bitrate_bps: int, pts_us: int) -> bool:
        """Never: it sees to that itself."""
        return False

    def set_bitrate(self, bitrate_bps: int) -> None:
        """From the next picture on; capped at the maximum in the settings. Raises `CameraError`."""
        wanted = max(min(bitrate_bps, self.settings.bitrate_bps), 10_000)
        if self.settings.codec in _CHANGES_RATE:
            self._bitrate_bps = self._context.bit_rate = wanted
        elif abs(wanted - self._bitrate_bps) > self._bitrate_bps * _REOPEN_SHARE:
            self._bitrate_bps = wanted
            self._context = self._open()

    def force_keyframe(self) -> None:
        self._force = True

    def encode(self, frame: VideoFrame, pts_us: int) -> Encoded | None:
        """Encode one picture of the source size. Raises `CameraError`."""
        picture = self._scaler.reformat(
            frame, self.width, self.height, self._format, interpolation=Interpolation.FAST_BILINEAR
        )
        key = self._force or self._next_keyframe_us is None or pts_us >= self._next_keyframe_us
        picture.pts = pts_us
        picture.time_base = _TIME_BASE
        picture.pict_type = PictureType.I if key else PictureType.NONE
        try:
            data = b"".join(bytes(packet) for packet in self._context.encode(picture))
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
