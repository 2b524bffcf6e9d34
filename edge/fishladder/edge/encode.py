"""x264 as a live uplink needs it: no B-frames and no look-ahead, so each picture is out at once; constant bitrate
with a short buffer, opened at the maximum because x264 cannot be told to go above it later; keyframes when asked
for.
"""

import math
from fractions import Fraction

import av
import msgspec
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from fishladder.edge.cameras.container import reason
from fishladder.edge.rate.orders import LEAST_ENCODED_BPS
from fishladder.wire.errors import CameraError

#: How far above the rate wanted now an encoder is opened, since it cannot be told to go higher later; its buffer is
#: that of the rate wanted now.
ROOM = 1.6
#: Below this part of the rate it was opened for, another one with a shorter buffer takes over at a keyframe; sooner
#: where the link is thin, before which the buffer is what waits: with 133 kbit for 920 kbit/s half of the pictures are
#: 8 ms later than with 99.
TOO_LONG, TOO_LONG_IF_THIN = 0.6, 0.88
#: x264's rate buffer as a share of a second, least and most: it decides how long a keyframe holds up what follows.
VBV_S, VBV_MOST_S = 0.12, 0.2
#: Room for fewer pictures than this, but more than one, and x264 gives much less than it may: of 500 kbit/s at 10 fps
#: 61 % with room for 1.2 pictures and 74 % for 1.5, but 87 % for 2.0, and for exactly one.
_PICTURES = 2.0
#: So little that x264 makes it one picture, at whatever rate it is told to give later: then it follows at once, and may
#: be opened for far more than is wanted now.
_ONE_PICTURE_BITS = 1000
_ONE_PICTURE_ROOM = 4.0
#: For a higher rate another one is opened no sooner than this.
REOPEN_US = 800_000
#: Told so much less at once, x264 makes three more pictures of the old size (44 KB when going from 3.7 to 0.6 Mbit/s,
#: a third of a second of the link): then another one is opened, unless that was done just now.
SUDDEN, SUDDEN_US = 0.6, 300_000
#: With so short a buffer x264 makes 0.8 to 0.9 of what it is told at the limit of a link: it is told so much more than
#: the maximum at most, so that it may make that.
OVER = 1.25
#: Presets, and what a picture costs with them, as a multiple of the first (640x360 at 80 to 210 kbit/s: 1.3, 2.1, 3.1
#: and 5.6 ms of a core). What is saved by fewer or smaller pictures goes into better ones: of 80 kbit/s at 8 fps a
#: detector keeps an F1 of 0.70 with the first and 0.76 with the last.
PRESETS = {"superfast": 1.0, "veryfast": 1.7, "faster": 2.4, "medium": 4.2}
#: Where a link is thin and a pixel has fewer bits than this, no picture gets better than so much above `qp_min`: of 440
#: kbit/s at 640x360 and 30 fps that leaves out 154, most of them for noise, and of a detector's F1 0.901 becomes 0.887.
THIN_BITS_PER_PIXEL, THIN_QP = 0.1, 2
_TIME_BASE = Fraction(1, 1_000_000)
#: Of a camera that does not say.
USUAL_FPS = 25.0


class EncoderSettings(msgspec.Struct, frozen=True):
    """`bitrate_bps` is the maximum; `width` 0 keeps the camera's, else the height follows its shape.

    `qp_min` ends what bits buy: below it constant bitrate would spend a whole second's rate on two pictures that a
    detector reads no better (a square at 768x576 and 2 fps: 1.2 Mbit/s and 13.7 ms of CPU a picture
    without, 0.34 Mbit/s and 7.5 ms at 22).
    """

    codec: str = "libx264"  #: or a hardware encoder, see `hardware`
    bitrate_bps: int = 1_500_000
    keyframe_s: float = 2.0
    width: int = 0
    preset: str = "superfast"
    profile: str = "high"
    threads: int = 1
    qp_min: int = 22
    buffer_s: float = 0.0  #: x264's rate buffer in seconds of the rate; 0 = what suits a live uplink


class Encoded(msgspec.Struct, frozen=True):
    payload: bytes
    pts_us: int
    keyframe: bool


def vbv_s(fps: float) -> float:
    """The rate buffer at so many pictures a second: room for two of them, also when the rate has grown as far as it
    can, or for exactly one where that would be too long.
    """
    return 1 / fps if one_picture(fps) else max(_PICTURES * ROOM / fps, VBV_S)


def one_picture(fps: float) -> bool:
    """Whether so few come that the rate buffer has room for one."""
    return _PICTURES * ROOM / fps > VBV_MOST_S


def scaled(width: int, height: int, wanted: int) -> tuple[int, int]:
    """Even width and height with the shape kept; never larger than the source."""
    if not wanted or wanted >= width:
        return max(width & ~1, 2), max(height & ~1, 2)
    return max(wanted & ~1, 2), max(round(height * wanted / width / 2) * 2, 2)


def affordable(preset: str, spare: float) -> str:
    """The best preset that costs no more than `spare` times this one; another than those of `PRESETS` stays."""
    may = PRESETS.get(preset, math.inf) * spare
    return next((it for it, cost in reversed(PRESETS.items()) if PRESETS.get(preset, math.inf) < cost <= may), preset)


class X264:
    """An encoder for pictures of one source size, at about `fps` a second. `spare`: how much work a picture may take,
    as a multiple of what it takes with the preset that was set; `thin`: so is the link. Raises `CameraError`.
    """

    def __init__(
        self,
        settings: EncoderSettings,
        source: tuple[int, int],
        fps: float,
        bitrate_bps: int,
        *,
        spare: float = 1.0,
        thin: bool = False,
    ) -> None:
        self.settings = settings
        self.source = source
        self.fps = fps
        self.keyframe_s = settings.keyframe_s
        self.width, self.height = scaled(*source, settings.width)
        self._scaler = VideoReformatter()
        self._next_keyframe_us: int | None = None
        self._force = True
        self._opened_us: int | None = None  # pts of its first picture
        self._one_picture = not settings.buffer_s and one_picture(fps)
        self._over_bps = round(settings.bitrate_bps * OVER)
        most_bps = self._over_bps if bitrate_bps > settings.bitrate_bps else settings.bitrate_bps
        room = _ONE_PICTURE_ROOM if self._one_picture else ROOM
        self.maximum_bps = min(most_bps, round(max(bitrate_bps, LEAST_ENCODED_BPS) * room))
        self._opened_for_bps = min(max(bitrate_bps, LEAST_ENCODED_BPS), most_bps)
        self._qp_min = self._best_qp(self._opened_for_bps, thin=thin)
        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = self.width, self.height, "yuv420p"
        context.time_base = _TIME_BASE
        context.framerate = Fraction(fps).limit_denominator(1001)
        context.bit_rate = self.maximum_bps
        context.max_b_frames = 0
        context.thread_count = settings.threads
        context.options = {
            "preset": affordable(settings.preset, spare),
            "tune": "zerolatency",
            "profile": settings.profile,
            "forced-idr": "1",
            "maxrate": str(self.maximum_bps),
            "bufsize": str(self._buffer_bits()),
            "x264-params": f"keyint=infinite:scenecut=0:qpmin={self._qp_min}",
        }
        try:
            context.open()
        except av.FFmpegError as error:
            raise CameraError(
                f"x264 refuses {self.width}x{self.height} at {fps:g} fps, {self.maximum_bps} bit/s, "
                f"preset {settings.preset!r}: {reason(error)}"
            ) from None
        self._context = context
        self.set_bitrate(bitrate_bps)

    def _buffer_bits(self) -> int:
        if self._one_picture:
            return _ONE_PICTURE_BITS
        return max(round(self._opened_for_bps * (self.settings.buffer_s or vbv_s(self.fps))), _ONE_PICTURE_BITS)

    def _best_qp(self, bitrate_bps: int, *, thin: bool) -> int:
        least = self.settings.qp_min
        few = bitrate_bps < THIN_BITS_PER_PIXEL * self.width * self.height * self.fps
        return least + THIN_QP if least and thin and few else least

    def set_bitrate(self, bitrate_bps: int) -> None:
        """From the next picture on; capped at the maximum it was opened with."""
        self._told_bps = self._context.bit_rate = max(min(bitrate_bps, self.maximum_bps), LEAST_ENCODED_BPS)

    def keeps(self, fps: float) -> bool:
        """Whether it can go on at about so many pictures a second, if it is told a rate for those it was opened for."""
        if self._one_picture and one_picture(fps):
            return 0.5 < fps / self.fps < 2.0
        return 0.75 < fps / self.fps < 1.33

    def outgrown(self, bitrate_bps: int, pts_us: int, *, thin: bool = False) -> bool:
        """Whether it cannot give that rate, or its buffer is much too long for it, and this is the picture to open
        another one with: that costs a keyframe, which costs nothing where one is due, and a higher rate is worth one.
        """
        wanted = min(max(bitrate_bps, LEAST_ENCODED_BPS), self._over_bps)
        since_us = REOPEN_US if self._opened_us is None else pts_us - self._opened_us
        if wanted < SUDDEN * self._told_bps and since_us >= SUDDEN_US and not self._one_picture:
            return True
        if self.keyframe_due(pts_us):
            least = TOO_LONG_IF_THIN if thin else TOO_LONG
            fits = least * self._opened_for_bps <= wanted <= min(self.maximum_bps, ROOM * self._opened_for_bps)
            return not fits or self._best_qp(wanted, thin=thin) != self._qp_min
        return wanted > self.maximum_bps and since_us >= REOPEN_US

    def keyframe_due(self, pts_us: int) -> bool:
        """Whether the picture at `pts_us` will be a keyframe."""
        return self._force or self._next_keyframe_us is None or pts_us >= self._next_keyframe_us

    def force_keyframe(self) -> None:
        self._force = True

    def encode(self, frame: VideoFrame, pts_us: int) -> Encoded | None:
        """Encode one picture of the source size; None if nothing came out of it. Raises `av.FFmpegError`."""
        picture = self._scaler.reformat(
            frame, self.width, self.height, "yuv420p", interpolation=Interpolation.FAST_BILINEAR
        )
        key = self.keyframe_due(pts_us)
        self._opened_us = pts_us if self._opened_us is None else self._opened_us
        picture.pts = pts_us
        picture.time_base = _TIME_BASE
        picture.pict_type = PictureType.I if key else PictureType.NONE
        packets = self._context.encode(picture)
        if key:
            self._force = False
            self._next_keyframe_us = pts_us + round(self.keyframe_s * 1e6)
        if not packets:
            return None
        return Encoded(b"".join(bytes(packet) for packet in packets), pts_us, packets[0].is_keyframe)
