"""A camera's pictures thinned to the wanted rate and encoded, through changes of size, rate and bitrate. The encoder is
opened anew when size or rate change, since x264 plans its bits by them, or when its bitrate is outgrown. Where a
hardware encoder is to do it and fails, x264 takes over with the very picture it failed on.
"""

import math
import sys
from typing import Protocol

import msgspec
from av import FFmpegError
from av.video.frame import VideoFrame

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.encode import USUAL_FPS, X264, Encoded, EncoderSettings, scaled
from fishladder.edge.hardware import HardwareH264
from fishladder.edge.sampler import Sampler
from fishladder.runtime.heap import trim
from fishladder.wire.errors import CameraError
from fishladder.wire.unit import NO_FLAGS, Codec, Flag


class Encoder(Protocol):
    """For pictures of one size at about one rate."""

    settings: EncoderSettings
    source: tuple[int, int]
    fps: float
    width: int
    height: int
    keyframe_s: float  #: from one keyframe to the next

    def keeps(self, fps: float) -> bool:
        """Whether it is of use at about so many pictures a second."""

    def outgrown(self, bitrate_bps: int, pts_us: int, *, thin: bool = False) -> bool:
        """Whether the picture at `pts_us` is better given to one opened for that rate, and for a link that is thin or
        not.
        """

    def set_bitrate(self, bitrate_bps: int) -> None: ...

    def force_keyframe(self) -> None: ...

    def encode(self, frame: VideoFrame, pts_us: int) -> Encoded | None: ...


class LiveEncoder:
    """`camera_fps` is what the camera claims, None if it does not say; `phase` see `Sampler`. Raises `CameraError`."""

    def __init__(self, settings: EncoderSettings, camera_fps: float | None, phase: float = 0.0) -> None:
        self._settings = settings
        self._own_width = settings.width
        self._camera_fps = camera_fps
        self._sampler = Sampler(phase=phase)
        self._bitrate_bps = settings.bitrate_bps
        self._encoder: Encoder | None = None
        self._software = settings.codec == "libx264"
        self._last_pts_us: int | None = None
        self._thin_fps: float | None = None
        self._keyframe_s = settings.keyframe_s
        self._thin = False

    def set_fps(self, fps: float | None) -> None:
        self._sampler.set_fps(fps)

    def set_thin_fps(self, fps: float | None) -> None:
        """So many of the pictures wanted are given to `encode`; None = all."""
        self._thin_fps = fps

    def set_least_keyframe_s(self, seconds: float) -> None:
        """Keyframes that nobody asks for come no sooner than this after the one before; 0 = the link is not thin."""
        self._thin = seconds > 0
        self._keyframe_s = max(self._settings.keyframe_s, seconds)

    def set_width(self, width: int) -> None:
        """0 = as the settings say; larger than that changes nothing."""
        own = self._own_width
        wanted = min(width, own) if width and own else width or own
        if wanted != self._settings.width:
            self._settings = msgspec.structs.replace(self._settings, width=wanted)

    def set_bitrate(self, bitrate_bps: int) -> None:
        self._bitrate_bps = bitrate_bps

    def _nominal_bps(self, encoder: Encoder) -> int:
        """What to tell an encoder: it reckons with the pictures a second it was opened for, not with those it gets."""
        return round(self._bitrate_bps * encoder.fps / self.fps)

    def force_keyframe(self) -> None:
        if self._encoder is not None:
            self._encoder.force_keyframe()

    def wants(self, pts_us: int, mono_us: int) -> bool:
        return self._sampler.wants(pts_us, mono_us)

    @property
    def fps(self) -> float:
        """Pictures a second that come out, as far as known."""
        return min(self._wanted_fps, max(self._thin_fps, 0.1)) if self._thin_fps is not None else self._wanted_fps

    @property
    def _wanted_fps(self) -> float:
        claimed = self._camera_fps if 1 <= (self._camera_fps or 0) <= 120 else None
        camera = claimed or self._sampler.camera_fps or USUAL_FPS
        return min(max(min(camera, self._sampler.fps or math.inf), 0.1), 240.0)

    def _spare(self, source: tuple[int, int]) -> float:
        """How much more work a picture may take where fewer or smaller ones are made than the camera gives."""
        (width, _), (own_width, _) = scaled(*source, self._settings.width), scaled(*source, self._own_width)
        return (self._wanted_fps / self.fps) * (own_width / width) ** 2

    def encode(self, frame: VideoFrame, pts_us: int, mono_us: int) -> CapturedUnit | None:
        """None if the encoder failed on it; the next picture then gets a new one. Raises `CameraError`."""
        encoder = self._fitting(frame, pts_us)
        encoder.keyframe_s = self._keyframe_s
        try:
            encoder.set_bitrate(self._nominal_bps(encoder))
            encoded = encoder.encode(frame, pts_us)
        except CameraError as error:  # of a hardware encoder alone
            self._fall_back(error)
            return self.encode(frame, pts_us, mono_us)
        except FFmpegError:
            encoded = None
        if encoded is None:
            self._encoder = None
            return None
        before, self._last_pts_us = self._last_pts_us, pts_us
        duration_us = pts_us - before if before is not None and pts_us > before else round(1e6 / encoder.fps)
        return CapturedUnit(
            Codec.H264,
            Flag.SAMPLED | (Flag.CLEAN if encoded.keyframe else NO_FLAGS),
            encoder.width,
            encoder.height,
            duration_us,
            pts_us,
            mono_us,
            encoded.payload,
        )

    def _fitting(self, frame: VideoFrame, pts_us: int) -> Encoder:
        source, fps = (frame.width, frame.height), self.fps
        it = self._encoder
        if it is not None and it.source == source and it.keeps(fps):
            outgrown = it.settings != self._settings or it.outgrown(self._nominal_bps(it), pts_us, thin=self._thin)
            if not outgrown:
                return it
        if it is not None:
            it = self._encoder = None  # one at a time, and what it had goes back: encoders are changed for days
            trim()
        it = self._encoder = self._open(source, fps)
        return it

    def _open(self, source: tuple[int, int], fps: float) -> Encoder:
        if not self._software:
            try:
                return HardwareH264(self._settings, source, fps, self._bitrate_bps)
            except CameraError as error:
                self._fall_back(error)
        spare = self._spare(source)
        return X264(self._settings, source, fps, self._bitrate_bps, spare=spare, thin=self._thin)

    def _fall_back(self, error: CameraError) -> None:
        """To x264, for as long as this process lasts."""
        self._software, self._encoder = True, None
        sys.stderr.write(f"{error}: x264 takes over\n")  # the agent logs what a capture process says
