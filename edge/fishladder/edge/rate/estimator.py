"""How much an uplink carries, from what the gateway acknowledged and when. Pure. A link is full when even the quickest
of the last units waited (a standing queue); that a camera sends little says nothing about the link. How the rate is
shared out is for `budget`.
"""

from collections import deque
from typing import NamedTuple

#: Delays are compared with the shortest of so long: routes change.
BASE_S = 60.0
#: The delay of the quickest unit of so long, and of so many, is that of a standing queue: a keyframe's own length on the
#: wire delays those behind it, never all. (The idea is CoDel's, RFC 8289.)
WINDOW_S, WINDOW_UNITS = 0.4, 3
#: A standing queue means too much is sent, or that more may be tried.
FULL_S, FREE_S = 0.04, 0.02
#: Decisions are this far apart; after going down the effect is waited for.
STEP_S, SETTLE_S = 0.2, 0.6
#: Of what came through while the queue stood.
DOWN = 0.88
#: Up by this at each step: far from where it was full last, and near there.
UP_FAST, UP_NEAR = 1.2, 1.012
#: Near means from here up to there, of what it carried then.
NEAR_FROM, NEAR_TO = 0.8, 1.08
#: More is tried only while so much of the rate is used.
USED = 0.75
#: Nothing was acknowledged for so long beyond the usual: the link hangs.
HANGS_S = 0.5
LEAST_BPS = 24_000.0


class _Ack(NamedTuple):
    at_s: float
    delay_s: float
    bytes: int


class Estimator:
    """One connection's. `rate_bps` is what may be sent in all; `queue_s` the standing queue at the last step. Times in
    seconds on one clock.
    """

    def __init__(self, first_bps: float) -> None:
        self.rate_bps = max(first_bps, LEAST_BPS)
        self.queue_s = 0.0
        self.carried_bps: float | None = None  #: what came through when the link was last full; None = never was
        self._bases: deque[tuple[float, float]] = deque()  # (when, delay), delays ascending
        self._acks: deque[_Ack] = deque()
        self._sent: deque[tuple[float, int]] = deque()
        self._step_s = 0.0
        self._full_since_s: float | None = None

    @property
    def base_s(self) -> float | None:
        """The shortest delay of the last minute: the way there and back of a small unit alone."""
        return self._bases[0][1] if self._bases else None

    def sent(self, size: int, now_s: float) -> None:
        """So many bytes of live units were handed to the link."""
        self._sent.append((now_s, size))

    def acked(self, size: int, delay_s: float, now_s: float) -> None:
        """A unit was acknowledged `delay_s` after it was ready to be sent."""
        self._acks.append(_Ack(now_s, delay_s, size))
        while self._bases and self._bases[-1][1] >= delay_s:
            self._bases.pop()
        self._bases.append((now_s, delay_s))
        while self._bases[0][0] < now_s - BASE_S:
            self._bases.popleft()

    def step(self, now_s: float, oldest_s: float | None) -> None:
        """Decide; to be called often. `oldest_s`: for how long the oldest unit that is not acknowledged has been ready."""
        if now_s < self._step_s:
            return
        self._forget(now_s)
        base_s = self.base_s
        waits_s = None if oldest_s is None or base_s is None else oldest_s - base_s
        recent = self._recent(now_s)
        if waits_s is not None and waits_s > HANGS_S and not (recent and recent[-1].at_s > now_s - HANGS_S):
            self.queue_s = waits_s
            self._step_s = now_s + SETTLE_S
            self._full_since_s = None
            self.rate_bps = max(self.rate_bps * 0.7, LEAST_BPS)
            return
        if base_s is None or not recent:
            return
        self.queue_s = min(ack.delay_s for ack in recent) - base_s
        self._step_s = now_s + STEP_S
        if self.queue_s > FULL_S:
            self._down(now_s)
        else:
            self._full_since_s = None
            if self.queue_s < FREE_S:
                self._up(now_s)

    def _down(self, now_s: float) -> None:
        if self._full_since_s is None:
            self._full_since_s = now_s
        came_bps = self._came_bps(now_s)
        if came_bps is None:
            return
        self.carried_bps = came_bps
        # The longer it stands, the more room it needs to drain.
        drain = DOWN - min(self.queue_s, 0.5) * 0.4
        self.rate_bps = max(min(self.rate_bps, came_bps * drain), LEAST_BPS)
        self._step_s = now_s + SETTLE_S

    def _up(self, now_s: float) -> None:
        used_bps = sum(size for at_s, size in self._sent if at_s > now_s - 1.0) * 8
        if used_bps < USED * self.rate_bps:
            return
        near = self.carried_bps is not None and NEAR_FROM < self.rate_bps / self.carried_bps < NEAR_TO
        self.rate_bps *= UP_NEAR if near else UP_FAST

    def _came_bps(self, now_s: float) -> float | None:
        """What was acknowledged a second over about the last second."""
        acks = [ack for ack in self._acks if ack.at_s > now_s - 1.0]
        if len(acks) < 2:
            return None
        span_s = max(now_s - acks[0].at_s, 0.2)
        return sum(ack.bytes for ack in acks[1:]) * 8 / span_s

    def _recent(self, now_s: float) -> list[_Ack]:
        within = [ack for ack in self._acks if ack.at_s > now_s - WINDOW_S]
        return within if len(within) >= WINDOW_UNITS else list(self._acks)[-WINDOW_UNITS:]

    def _forget(self, now_s: float) -> None:
        while len(self._acks) > WINDOW_UNITS and self._acks[0].at_s < now_s - 2.0:
            self._acks.popleft()
        while self._sent and self._sent[0][0] < now_s - 2.0:
            self._sent.popleft()
