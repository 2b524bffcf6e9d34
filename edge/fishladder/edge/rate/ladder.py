"""What a camera sends at a given rate: first fewer bits a picture, then fewer pictures, then smaller ones, and at the
bottom keyframes now and then; or what a profile says that the detector needs. Pure. Steps are taken with hysteresis,
and not often.
"""

from typing import NamedTuple, Protocol

#: Bits a pixel below which a detector loses more than it would by fewer pictures (720p: 43 kbit a picture).
BITS_PER_PIXEL = 0.047
#: Pictures a second that are kept as long as smaller ones help.
USEFUL_FPS = 5.0
LEAST_FPS = 1.0
#: Shares of the full width.
WIDTHS = (1.0, 0.75, 0.5)
#: Up only with so much to spare, and so long after the last change; down at once, but not again before.
SPARE, UP_S, DOWN_S = 1.3, 6.0, 2.0


class Rung(NamedTuple):
    """`fps` at most, `width` as a share of the full one."""

    fps: float
    width: float


class Fitting(Protocol):
    """The highest rung a rate is enough for. `fps` is what is wanted at most."""

    def __call__(self, rate_bps: float, width: int, height: int, fps: float) -> Rung: ...


def fitting(rate_bps: float, width: int, height: int, fps: float) -> Rung:
    """By what a picture costs, as `Fitting`."""
    for share in WIDTHS:
        picture_bits = BITS_PER_PIXEL * width * height * share * share
        affordable = rate_bps / picture_bits
        if affordable >= min(USEFUL_FPS, fps):
            return Rung(min(fps, affordable), share)
    return Rung(min(fps, max(affordable, LEAST_FPS)), WIDTHS[-1])


class Ladder:
    """One camera's; keeps its rung until another is clearly right."""

    def __init__(self) -> None:
        self._rung: Rung | None = None
        self._wanted_fps = 0.0
        self._changed_s = 0.0

    def step(self, rate_bps: float, width: int, height: int, fps: float, now_s: float, fit: Fitting = fitting) -> Rung:
        """What to send from now on."""
        best = fit(rate_bps, width, height, fps)
        rung = self._rung
        if rung is None or fps != self._wanted_fps:
            return self._take(best, fps, now_s)
        down = best.width < rung.width or (best.width == rung.width and best.fps < rung.fps * 0.8)
        if down and now_s - self._changed_s >= DOWN_S:
            return self._take(best, fps, now_s)
        if now_s - self._changed_s >= UP_S:
            spare = fit(rate_bps / SPARE, width, height, fps)
            if spare.width > rung.width or (spare.width == rung.width and spare.fps > rung.fps):
                return self._take(spare, fps, now_s)
        return rung

    def _take(self, rung: Rung, fps: float, now_s: float) -> Rung:
        self._rung, self._wanted_fps, self._changed_s = rung, fps, now_s
        return rung
