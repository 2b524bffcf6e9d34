"""Whether a link has become slower: the oldest unit is on its way for too long, or will be at the pace at which TCP
says that something comes through. What piled up before that was seen explains that units are late, so it is not seen
twice. Pure.
"""

from typing import NamedTuple

from fishladder.edge.link_state import LinkState
from fishladder.edge.rate.lately import Lately
from fishladder.edge.rate.trickle import Trickle

#: A unit on its way for so much longer than the queue and its own length explain: the link has become slower. Sooner
#: where TCP sees a queue as well, so that it cannot be our host or the gateway.
LATE_S, LATE_AND_SEEN_S, LATE_AND_DENIED_S = 0.15, 0.08, 0.45
#: The same where it delivers less than this part of the rate, or, by what came just now, of the rate and of what was
#: sent meanwhile (a new connection's rate is soon half as much again as its link carries); and it need not have waited
#: yet for so much longer, only for this, where at that pace it will.
SLOWER, SLOWER_AT_ONCE, WILL_BE_LATE_S = 0.6, 0.5, 0.06
#: What has piled up is waited for so long at most.
PILED_MOST_S = 2.0


class Oldest(NamedTuple):
    """The oldest unit not acknowledged: when it could have been sent, how long ago that is, and the bytes that explain
    it: its own, and what went before it and was not acknowledged then.
    """

    ready_s: float
    waits_s: float
    before_bytes: int


class Lateness:
    """One connection's. Times in seconds on one clock."""

    def __init__(self, lately: Lately) -> None:
        self.piled_bytes = 0  #: on the way when it was late last
        self.piled_to_s = 0.0  #: and until when they are
        self._lately = lately
        self._trickle = Trickle()

    def look(self, link: LinkState, now_s: float) -> None:
        """How TCP sees the link at the moment; to be called often."""
        self._trickle.look(link, now_s)

    def late(self, oldest: Oldest, base_s: float, rate_bps: float, link: LinkState) -> bool:
        """Whether it has become slower than `rate_bps`; `base_s`: what a small unit alone takes."""
        takes_s = oldest.before_bytes * 8 / rate_bps + max(self.piled_to_s - oldest.ready_s, 0.0)
        trickles = self._trickles_bps(rate_bps) is not None
        slower_bps = self.slower_bps(rate_bps, link)
        bound_s = LATE_AND_DENIED_S if link.idle else LATE_AND_SEEN_S if link.queues or slower_bps else LATE_S
        soon_s = LATE_AND_SEEN_S if trickles else LATE_S
        will_be = slower_bps is not None and oldest.before_bytes * 8 / slower_bps - takes_s > soon_s
        if oldest.waits_s - base_s <= (WILL_BE_LATE_S if will_be else takes_s + bound_s):
            return False
        return trickles or oldest.waits_s > self._lately.longest_s  # else as late as others: a busy host

    def slower_bps(self, rate_bps: float, link: LinkState) -> float | None:
        """What TCP delivers, if that is far less than the rate."""
        carries_bps, trickles_bps = link.carries_bps, self._trickles_bps(rate_bps)
        if carries_bps is None or carries_bps >= SLOWER * rate_bps:
            return trickles_bps
        return carries_bps if trickles_bps is None else min(carries_bps, trickles_bps)

    def _trickles_bps(self, rate_bps: float) -> float | None:
        """What came through just now, if that is far less than the rate and than what was sent."""
        if (came := self._trickle.seen) is None:
            return None
        sent_bps = self._lately.sent_since(came.since_s) * 8 / came.span_s
        slower = came.bps < SLOWER_AT_ONCE * min(rate_bps, sent_bps)
        return min(came.bps, came.end_bps) if slower else None

    def came_bps(self, since_s: float) -> float | None:
        """What comes through, if all of that was seen after `since_s`."""
        came = self._trickle.seen
        return came.bps if came is not None and came.since_s >= since_s else None

    def piles_up(self, since_s: float, carries_bps: float) -> None:
        """What had piled up by `since_s` goes over a link that carries so much."""
        self.piled_to_s = since_s + min(self.piled_bytes * 8 / carries_bps, PILED_MOST_S)
