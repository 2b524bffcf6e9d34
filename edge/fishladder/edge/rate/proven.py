"""What a link carries at least, read off large units: one of 20 KB that came 20 ms later than a small one went at
8 Mbit/s. Pure. A camera that sends little fills no link, so nothing else says what more of it would find.
"""

from collections import deque

#: Smaller ones say more of the gateway's and the host's own haste than of the link's.
LEAST_BYTES = 4_000
#: And such say how long the way is for nothing.
SMALL_BYTES = 2_500
#: What acknowledgements are late anyway.
_BLUR_S = 0.002
#: The last so many, of so long, are asked, and believed where they agree.
KEEP_S, ASKED = 60.0, 3


class Proven:
    """One connection's."""

    def __init__(self) -> None:
        self._came: deque[tuple[float, float]] = deque(maxlen=ASKED)
        self._base: tuple[float, float] | None = None  # when, delay

    def came(self, size: int, delay_s: float, now_s: float) -> None:
        """A unit that found nothing before it on the link was acknowledged after so long."""
        if size < SMALL_BYTES and (self._base is None or delay_s < self._base[1] or self._base[0] < now_s - KEEP_S):
            self._base = (now_s, delay_s)
        if size >= LEAST_BYTES:
            late_s = delay_s - (self._base[1] if self._base is not None else 0.0)
            self._came.append((now_s, size * 8 / max(late_s, _BLUR_S)))

    def bps(self, now_s: float) -> float:
        """What each of the last ones showed; 0 = not known. Whatever waited besides makes it less, never more."""
        recent = [bps for at_s, bps in self._came if at_s > now_s - KEEP_S]
        return min(recent) if len(recent) == ASKED else 0.0
