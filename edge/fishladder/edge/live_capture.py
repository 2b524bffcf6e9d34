"""What becomes of each picture of a camera that is encoded: chosen or not, gated or not, encoded or not. Records come
out in the order of capture, one for each picture; a picture that waits at the gate is told of as soon as it is there.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from fishladder.edge.cameras.camera import Picture
from fishladder.edge.capture_records import Captured, Left, Record, Sampled
from fishladder.edge.encode import EncoderSettings
from fishladder.edge.gate import Gate, GateSettings, Sent
from fishladder.edge.live_encoder import LiveEncoder
from fishladder.edge.motion import GRID_WIDTH, Grid, Motion
from fishladder.edge.sampler import Sampler
from fishladder.wire.fates import Fate


class LiveCapture:
    """`gate` None: everything chosen is sent. Raises `CameraError`."""

    def __init__(
        self, encoder: EncoderSettings, gate: GateSettings | None, camera_fps: float | None, phase: float
    ) -> None:
        self._encoder = LiveEncoder(encoder, camera_fps, phase)
        self._gate: Gate[Picture] | None = None if gate is None else Gate(gate)
        self._motion = Motion() if gate is None else Motion(gate.sensitivity, gate.ignore)
        self._reducer = VideoReformatter()
        self._thinner = Sampler(phase=phase)
        self._hold = False
        self._pause = False

    def obey(self, *, fps: float | None, bitrate_bps: int, keyframe: bool, pause: bool = False) -> None:
        self._encoder.set_fps(fps)
        self._encoder.set_bitrate(bitrate_bps)
        if keyframe or (self._pause and not pause):
            self._encoder.force_keyframe()
        self._pause = pause

    def thin(self, *, fps: float | None, width: int, hold: bool, keyframe_s: float) -> None:
        """What the link allows: so many of the pictures wanted, at most so wide, or none at the moment, and keyframes
        so far apart at least.
        """
        self._thinner.set_fps(fps)
        self._encoder.set_thin_fps(fps)
        self._encoder.set_width(width)
        self._encoder.set_least_keyframe_s(keyframe_s)
        self._hold = hold

    def take(self, picture: Picture) -> Iterator[Record]:
        """Records, each to be passed on before the next is asked for."""
        frame = picture.frame
        if frame is None:
            if self._gate is not None:
                yield from self._told(self._gate.close())
            yield Captured(picture.mono_us)
            yield Left(Fate.ENCODER)
        elif self._pause:
            yield from self.close()
            yield Sampled(1)
        elif not self._encoder.wants(picture.pts_us, picture.mono_us):
            if self._gate is None or self._gate.open:
                yield Sampled(1)
            else:
                yield Captured(picture.mono_us)
                yield from self._told(self._gate.pass_over(picture.mono_us))
        elif self._gate is None:
            yield Captured(picture.mono_us)
            yield self._encode(picture, frame)
        else:
            yield Captured(picture.mono_us)
            moving = self._motion.look(self._reduced(frame), picture.mono_us)
            pixels = frame.width * frame.height
            yield from self._told(self._gate.take(picture, moving=moving, at_us=picture.mono_us, pixels=pixels))

    def close(self) -> Iterator[Record]:
        """The camera has no more."""
        if self._gate is not None:
            yield from self._told(self._gate.close())

    def _told(self, out: Iterable[Sent[Picture] | Fate]) -> Iterator[Record]:
        for it in out:
            if isinstance(it, Sent):
                if it.keyframe:
                    self._encoder.force_keyframe()
                assert it.picture.frame is not None
                yield self._encode(it.picture, it.picture.frame)
            else:
                yield Left(it)

    def _encode(self, picture: Picture, frame: VideoFrame) -> Record:
        if self._hold or not self._thinner.wants(picture.pts_us, picture.mono_us):
            return Left(Fate.SHED)
        return self._encoder.encode(frame, picture.pts_us, picture.mono_us) or Left(Fate.ENCODER)

    def _reduced(self, frame: VideoFrame) -> Grid:
        """The luma of a picture as a grid of means."""
        height = max(round(frame.height * GRID_WIDTH / frame.width), 2)
        small = self._reducer.reformat(frame, GRID_WIDTH, height, "gray", interpolation=Interpolation.AREA)
        plane = small.planes[0]
        return np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)[:height, :GRID_WIDTH]
