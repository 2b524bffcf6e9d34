"""How boldly more of a link is tried at each step: little near where it was full lately, bolder further away, and at
once where what came shows that it carries more. Pure; when to try is `estimator`'s.
"""

import math
from typing import NamedTuple

from fishladder.edge.link_state import LinkState

#: Up by this at each step near where it was full lately; beyond, each step is so much bolder than the one before.
UP_NEAR, BOLDER, UP_MOST = 0.02, 3.0, 0.25
#: That is at this rate; it is as many bits a second at any, within bounds. So of two agents on one link the smaller one
#: gains on the other: additive increase and multiplicative decrease lead to equal shares (Chiu and Jain 1989).
UP_NEAR_BPS, UP_NEAR_LEAST, UP_NEAR_MOST = 1e6, 0.004, 0.08
#: So many times as fast where TCP sees that nothing queues.
UP_FREE = 2.0
#: Where units show that the link carries so many times the rate, half of the way at once; but not for so long after
#: that was wrong, as it is where a link lends for a moment what it does not carry.
PROVEN, PROVEN_PART, DISPROVED_S = 1.2, 0.5, 60.0
#: It ends at so many times what they showed: encoders and acknowledgements follow a little later.
PROVEN_MOST = 1.1
#: And no bolder than this for so long after they showed more, as far as TCP sees no queue.
UP_PROVEN, PROVEN_S = 0.18, 3.0
#: Below this part of what it carried lately there is a little way to go first: so many times as fast.
UP_BACK_BELOW, UP_BACK, UP_BACK_MOST = 0.9, 3.0, 0.05
#: Near means from here up to there, of the most it carried lately.
NEAR_FROM, NEAR_TO = 0.75, 1.05
#: Where others on the link shall not notice us: smaller steps.
GENTLE_UP, GENTLE_UP_MOST = 0.01, 0.05


class Tried(NamedTuple):
    """Bits a second: what may be sent, and is, the most the link carried lately (None: nobody knows), and what units
    that came lately show it to carry at least; and what of the rate is made.
    """

    rate_bps: float
    sent_bps: float
    most_bps: float | None
    proven_bps: float
    made: float


class Growth:
    """One connection's. Times in seconds on one clock."""

    def __init__(self) -> None:
        self._part = UP_MOST
        self._knew = False  # at some time what the link carries
        self._believed_s = -math.inf  # when units that showed more were believed last
        self._disproved_s = -math.inf  # and when that was wrong

    @property
    def steady(self) -> bool:
        """Whether the last step was a small one."""
        return self._part <= UP_NEAR_MOST

    def believes(self, now_s: float) -> bool:
        """Whether units showed lately that the link carries more."""
        return now_s - self._believed_s < PROVEN_S

    def full(self, came_bps: float, proven_bps: float, within_s: float, now_s: float) -> None:
        """The link is full at `came_bps`: if more was believed within so long before, that was wrong."""
        if now_s - self._believed_s < within_s and came_bps * PROVEN < proven_bps:
            self._disproved_s = now_s

    def step(self, tried: Tried, link: LinkState, now_s: float, *, yields: bool, up_most: float = math.inf) -> float:
        """By which part of the rate to go up, and no more than `up_most`."""
        rate_bps, sent_bps, most_bps, proven_bps, made = tried
        self._knew |= most_bps is not None
        if most_bps is None and self._knew:
            part = min(self._part * BOLDER, UP_MOST)
        elif most_bps is None or rate_bps < NEAR_FROM * most_bps:
            part = UP_MOST
        elif sent_bps < NEAR_TO * most_bps:
            near = UP_NEAR * UP_NEAR_BPS / rate_bps * (UP_FREE if link.idle else 1.0)
            if sent_bps < UP_BACK_BELOW * most_bps:
                near = max(near, min(UP_BACK * near, UP_BACK_MOST))
            part = GENTLE_UP if yields else min(max(near, UP_NEAR_LEAST), UP_NEAR_MOST)
        else:
            part = min(self._part * BOLDER, UP_MOST)
        enough = max(proven_bps / made * PROVEN_MOST / rate_bps - 1, UP_NEAR_LEAST) if proven_bps else UP_MOST
        if yields and most_bps is not None:
            part = min(part, GENTLE_UP_MOST)
        elif link.calm and proven_bps > PROVEN * rate_bps and now_s - self._disproved_s > DISPROVED_S:
            part = min(max(part, (proven_bps / rate_bps - 1) * PROVEN_PART), UP_MOST, enough)
            self._believed_s = now_s
        elif self.believes(now_s):
            part = min(part, UP_NEAR if link.queues else UP_PROVEN, enough)
        self._part = min(part, up_most)
        return self._part
