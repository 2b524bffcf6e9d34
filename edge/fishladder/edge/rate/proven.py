"""What a link carries at least, read off large units: one of 20 KB that came 20 ms later than a small one went at
8 Mbit/s. Pure. A camera that sends little fills no link, so nothing else says what more of it would find.
"""

import math
from collections import deque

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


class Proven:
    """One connection's."""

    def __init__(self) -> None:
        self._came: deque[tuple[float, int, float]] = deque(maxlen=ASKED)  # when, bytes, delay
        self._mid: deque[tuple[float, int, float]] = deque(maxlen=ASKED)  # also those not so large
        self._base: tuple[float, float] | None = None  # when, delay

    def came(self, size: int, delay_s: float, now_s: float) -> None:
        """A unit that found nothing before it on the link was acknowledged after so long."""
        if size < SMALL_BYTES and (self._base is None or delay_s < self._base[1] or self._base[0] < now_s - KEEP_S):
            self._base = (now_s, delay_s)
        if size >= LEAST_BYTES:
            self._came.append((now_s, size, delay_s))
        if size >= MID_BYTES:
            self._mid.append((now_s, size, delay_s))

    def bps(self, now_s: float, least_s: float | None = None, *, since_s: float = -math.inf) -> float:
        """What each of the last ones showed, of those that came after `since_s`; 0 = not known. With `least_s`, which
        is how long the way is for nothing where that is known better than from small units, what most of them did:
        whatever waited besides makes it less, never more.
        """
        base_s = least_s if least_s is not None else self._base[1] if self._base is not None else 0.0
        recent = [it for it in (self._came if least_s is None else self._mid) if it[0] > max(now_s - KEEP_S, since_s)]
        if len(recent) < ASKED:
            return 0.0
        showed = sorted(size * 8 / max(delay_s - base_s, _BLUR_S) for _, size, delay_s in recent)
        return showed[0] if least_s is None else showed[ASKED // 2]
