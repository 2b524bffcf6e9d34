"""That a link carries less than it is given, read off what TCP says has come through: sooner than its own delivery
rate says so, which leaves out what was sent while everything fitted, and than units of which each has to come whole.
Pure.
"""

from collections import deque
from typing import NamedTuple

from fishladder.edge.link_state import LinkState

#: Looks are compared over so long; over less, single packets would count, and a queue grows meanwhile.
LEAST_S, MOST_S = 0.08, 0.25
#: And the end of it alone, of so long, in which what came before the link became slower has less part.
END_S = 0.055


class _Look(NamedTuple):
    at_s: float
    delivered_bytes: int


class Came(NamedTuple):
    """From `since_s` on, for `span_s`: bits a second, and those at the end of it."""

    since_s: float
    span_s: float
    bps: float
    end_bps: float


class Trickle:
    """One connection's. Times in seconds on one clock."""

    def __init__(self) -> None:
        self._looks: deque[_Look] = deque()

    def look(self, link: LinkState, now_s: float) -> None:
        """To be called often. Time in which nothing is on its way, or nothing comes, or TCP holds back, says nothing of
        how fast a link is: then it begins anew.
        """
        if link.delivered_bytes is None or not link.in_flight or link.paused or link.recovers:
            self._looks.clear()
            return
        if self._looks and link.delivered_bytes <= self._looks[-1].delivered_bytes:
            self._looks.clear()
        self._looks.append(_Look(now_s, link.delivered_bytes))
        while len(self._looks) > 2 and now_s - self._looks[1].at_s >= LEAST_S:
            self._looks.popleft()

    @property
    def seen(self) -> Came | None:
        """What came since something was on its way all the time, and came; None: for too short to tell."""
        if not self._looks:
            return None
        first, last = self._looks[0], self._looks[-1]
        if not LEAST_S <= last.at_s - first.at_s <= MOST_S:
            return None
        end = next(look for look in reversed(self._looks) if look.at_s <= last.at_s - END_S)
        return Came(first.at_s, last.at_s - first.at_s, _bps(first, last), _bps(end, last))


def _bps(first: _Look, last: _Look) -> float:
    return (last.delivered_bytes - first.delivered_bytes) * 8 / (last.at_s - first.at_s)
