"""What a link carries at least, read off large units: one of 20 KB that came 20 ms later than a small one went at
8 Mbit/s. Pure. A camera that sends little fills no link, so nothing else says what more of it would find.
"""

from collections import deque
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

#: Smaller ones say more of the gateway's and the host's own haste than of the link's.
LEAST_BYTES = 4_000
#: Where it is known how long the way is for nothing, that makes them show less, and these will do.
MID_BYTES = 2_000
#: And such say how long the way is for nothing.
SMALL_BYTES = 2_500
#: What acknowledgements are late anyway.
_BLUR_S = 0.002
#: The last so many, of so long, are asked, and believed where they agree.
KEEP_S, ASKED = 60.0, 3


class _Unit(NamedTuple):
    at_s: float
    bytes: int
    delay_s: float


class Proven:
    """One connection's."""

    def __init__(self) -> None:
        self._large: deque[_Unit] = deque(maxlen=ASKED)
        self._mid: deque[_Unit] = deque(maxlen=ASKED)  # and those not so large
        self._base: tuple[float, float] | None = None  # when, delay
        self._delivered: tuple[float, float] | None = None  # since when, bits a second

    def came(self, size: int, delay_s: float, now_s: float) -> None:
        """A unit that found nothing before it on the link was acknowledged after so long."""
        if size < SMALL_BYTES and (self._base is None or delay_s < self._base[1] or self._base[0] < now_s - KEEP_S):
            self._base = (now_s, delay_s)
        if size >= LEAST_BYTES:
            self._large.append(_Unit(now_s, size, delay_s))
        if size >= MID_BYTES:
            self._mid.append(_Unit(now_s, size, delay_s))

    def delivers(self, bps: float, now_s: float) -> None:
        """What TCP delivered at best, or last, of what it was given."""
        if self._delivered is None or bps != self._delivered[1]:
            self._delivered = now_s, bps

    def bps(self, now_s: float) -> float:
        """What each of the last large ones showed; 0 = not known."""
        base_s = self._base[1] if self._base is not None else 0.0
        return min(_showed(self._large, base_s, now_s - KEEP_S), default=0.0)

    def usual_bps(self, now_s: float, least_s: float | None, since_s: float) -> float:
        """What most of the last ones showed, of those that came after `since_s`; 0 = not known. `least_s`: how long the
        way is for nothing, which small units say too late; None = not known, and so is this.
        """
        if least_s is None:
            return 0.0
        since_s = max(since_s, now_s - KEEP_S)
        delivered_bps = self._delivered[1] if self._delivered is not None and self._delivered[0] > since_s else 0.0
        return max(median(_showed(self._mid, least_s, since_s) or [0.0]), delivered_bps)


def _showed(units: Iterable[_Unit], base_s: float, since_s: float) -> list[float]:
    """Bits a second; nothing where they are too few. Whatever waited besides makes it less, never more."""
    recent = [it for it in units if it.at_s > since_s]
    return [it.bytes * 8 / max(it.delay_s - base_s, _BLUR_S) for it in recent] if len(recent) == ASKED else []
