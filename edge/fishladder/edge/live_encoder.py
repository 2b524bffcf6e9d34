"""A camera's pictures thinned to the wanted rate and encoded, through changes of size, rate and bitrate. The encoder is
opened anew when size or rate change, since x264 plans its bits by them, or when the bitrate leaves what it can do.
"""

import msgspec
from av import FFmpegError
from av.video.frame import VideoFrame

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.encode import X264, EncoderSettings
from fishladder.edge.sampler import Sampler
from fishladder.wire.unit import NO_FLAGS, Codec, Flag

_USUAL_FPS = 25.0
_REOPEN_US = 800_000


class LiveEncoder:
    """`camera_fps` is what the camera claims, None if it does not say; `phase` see `Sampler`. Raises `CameraError`."""

    def __init__(self, settings: EncoderSettings, camera_fps: float | None, phase: float = 0.0) -> None:
        self._settings = settings
        self._own_width = settings.width
        self._camera_fps = camera_fps
        self._sampler = Sampler(phase=phase)
        self._bitrate_bps = settings.bitrate_bps
        self._encoder: X264 | None = None
        self._last_pts_us: int | None = None
        self._opened_us = 0
        self._thin_fps: float | None = None

    def set_fps(self, fps: float | None) -> None:
        self._sampler.set_fps(fps)

    def set_thin_fps(self, fps: float | None) -> None:
        """So many of the pictures wanted are given to `encode`; None = all."""
        self._thin_fps = fps

    def set_width(self, width: int) -> None:
        """0 = as the settings say; larger than that changes nothing."""
        own = self._own_width
        wanted = min(width, own) if width and own else width or own
        if wanted != self._settings.width:
            self._settings = msgspec.structs.replace(self._settings, width=wanted)

    def set_bitrate(self, bitrate_bps: int) -> None:
        if bitrate_bps != self._bitrate_bps:
            self._bitrate_bps = bitrate_bps
            if self._encoder is not None:
                self._encoder.set_bitrate(bitrate_bps)

    def force_keyframe(self) -> None:
        if self._encoder is not None:
            self._encoder.force_keyframe()

    def wants(self, pts_us: int, mono_us: int) -> bool:
        return self._sampler.wants(pts_us, mono_us)

    @property
    def fps(self) -> float:
        """Pictures a second that come out, as far as known."""
        claimed = self._camera_fps if 1 <= (self._camera_fps or 0) <= 120 else None
        camera = claimed or self._sampler.camera_fps or _USUAL_FPS
        limits = [fps for fps in (camera, self._sampler.fps, self._thin_fps) if fps is not None]
        return min(max(min(limits), 0.1), 240.0)

    def encode(self, frame: VideoFrame, pts_us: int, mono_us: int) -> CapturedUnit | None:
        """None if the encoder failed on it; the next picture then gets a new one."""
        encoder = self._fitting(frame, pts_us)
        try:
            encoded = encoder.encode(frame, pts_us)
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

    def _fitting(self, frame: VideoFrame, pts_us: int) -> X264:
        source, fps = (frame.width, frame.height), self.fps
        it = self._encoder
        if it is not None and it.source == source and 0.75 < fps / it.fps < 1.33 and it.settings == self._settings:
            # Opening costs a keyframe: where one is due it costs nothing, and a higher rate is worth one.
            higher = self._bitrate_bps > it.maximum_bps and pts_us - self._opened_us >= _REOPEN_US
            if it.suits(self._bitrate_bps) or not (higher or it.keyframe_due(pts_us)):
                return it
        it = self._encoder = X264(self._settings, source, fps, self._bitrate_bps)
        self._opened_us = pts_us
        return it
