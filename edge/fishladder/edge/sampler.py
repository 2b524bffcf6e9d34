"""Which pictures an agent that encodes sends: as many a second as the gateway asked for and no more. Pure. What it
leaves out is declared, so nobody else has to be able to repeat the choice.
"""


class Sampler:
    """Picks pictures due every 1/fps seconds, by their pts, tolerating a camera's jitter of up to half an interval.

    `phase` (0 to 1, a share of 1/fps) says when within that time: cameras with phases of their own do not come to the
    encoder, the uplink and the model all at once.
    """

    def __init__(self, fps: float | None = None, phase: float = 0.0) -> None:
        self.fps = fps
        self.phase = phase
        self._due_us: float | None = None
        self._last_us: int | None = None
        self._interval_us = 0.0
        self._in_phase = False

    def set_fps(self, fps: float | None) -> None:
        """None = every picture."""
        if fps != self.fps:
            self.fps = fps
            self._due_us = None

    @property
    def camera_fps(self) -> float | None:
        """Pictures a second the camera delivers, as seen; None before the second one."""
        return 1e6 / self._interval_us if self._interval_us else None

    def wants(self, pts_us: int, mono_us: int) -> bool:
        """Whether to send the picture at `pts_us`, captured at `mono_us` by the clock that all cameras' phases refer
        to. Ask once for each picture, in order of pts.
        """
        if self._last_us is not None and 0 < pts_us - self._last_us < 10_000_000:
            seen_us = pts_us - self._last_us
            self._interval_us += (seen_us - self._interval_us) * (0.1 if self._interval_us else 1.0)
        self._last_us = pts_us
        if self.fps is None:
            return True
        period_us = 1e6 / self.fps
        if self._due_us is None or pts_us < self._due_us - 2 * period_us or pts_us > self._due_us + period_us:
            self._due_us = pts_us + period_us  # begin, or begin again after a jump or a gap
            self._in_phase = False
            return True
        if pts_us < self._due_us - min(self._interval_us, period_us) / 2:
            return False
        self._due_us += period_us
        if not self._in_phase:
            self._in_phase = True
            self._due_us += self._until_phase(mono_us, period_us)
        return True

    def _until_phase(self, mono_us: int, period_us: float) -> float:
        """How much later than now we would be in our phase, in whole pictures of the camera."""
        whole = round((self.phase * period_us - mono_us) % period_us / self._interval_us)
        return whole * self._interval_us if whole * self._interval_us < period_us else 0.0
