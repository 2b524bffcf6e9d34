"""What a link carries at least, read off large units: one of 20 KB that came 20 ms later than a small one went at
8 Mbit/s. Pure. A camera that sends little fills no link, so nothing else says what more of it would find.
"""

from collections import deque

#: Smaller ones say more of the gateway's and the host's own haste than of the link's.
LEAST_BYTES = 4_000
#: What acknowledgements are late anyway.
_BLUR_S = 0.002
#: The last so many, of so long, are asked, and believed where they agree.
KEEP_S, ASKED = 20.0, 3


class Proven:
    """One connection's."""

    def __init__(self) -> None:
        self._came: deque[tuple[float, float]] = deque(maxlen=ASKED)

    def came(self, size: int, late_s: float, now_s: float) -> None:
        """A unit was acknowledged so much later than the quickest."""
        if size >= LEAST_BYTES:
            self._came.append((now_s, size * 8 / max(late_s, _BLUR_S)))

    def bps(self, now_s: float) -> float:
        """What each of the last ones showed; 0 = not known. Whatever waited besides makes it less, never more."""
        recent = [bps for at_s, bps in self._came if at_s > now_s - KEEP_S]
        return min(recent) if len(recent) == ASKED else 0.0
