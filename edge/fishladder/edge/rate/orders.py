"""What a camera would send, and what it is told to. Pure."""

from typing import NamedTuple

from fishladder.edge.rate.ladder import Fitting, Ladder, fitting
from fishladder.edge.rate.passing import Passing, PassingRung, use_bps

#: Bitrates closer than this to the one in force are not worth an order.
_CLOSE = 0.03
#: No encoder is told less: x264 still makes pictures of 320x180 of it, some hundred bytes each.
LEAST_ENCODED_BPS = 4_000


class Wish(NamedTuple):
    """What a camera would send: at most so many bits and pictures a second, of that size (0 = not known yet)."""

    weight: float
    most_bps: float
    fps: float
    width: int
    height: int
    passing: Passing | None = None  #: it passes on what it gets, and these are its streams
    fit: Fitting = fitting  #: what it does at which rate

    @property
    def capped(self) -> bool:
        """Whether it passes on what it gets, and may not all of it."""
        return self.passing is not None and self.most_bps < use_bps(PassingRung(), self.passing)


class Order(NamedTuple):
    """What a camera is to send. `fps`, `width` and `keyframe_s` 0 = as it would; `hold`: nothing at the moment."""

    bitrate_bps: int
    fps: float = 0.0
    width: int = 0
    hold: bool = False
    keyframe_s: float = 0.0
    passing: PassingRung = PassingRung()


def pictures(ladder: Ladder, wish: Wish, rate_bps: float, now_s: float) -> tuple[float, int]:
    """An order's `fps` and `width` at a rate."""
    rung = ladder.step(rate_bps, wish.width, wish.height, wish.fps, now_s, wish.fit)
    fps = 0.0 if rung.fps >= wish.fps else rung.fps
    return fps, 0 if rung.width == 1.0 else max(round(wish.width * rung.width / 2) * 2, 64)


def differs(new: Order, old: Order | None, close: float = _CLOSE) -> bool:
    """Whether an order is news: bitrates that are so close are none."""
    return old is None or new[1:] != old[1:] or abs(new.bitrate_bps - old.bitrate_bps) > close * old.bitrate_bps
