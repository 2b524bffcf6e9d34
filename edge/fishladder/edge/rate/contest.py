"""Whether somebody else keeps the queue before the uplink full, as a long upload by ordinary TCP does. Giving way to a
queue that others refill only gives them the link. Then delays are held against the round trip that TCP itself sees,
which is everybody's queue and not what waits at the agent, and TCP shares the link as it does with anybody. Pure.
"""

import math
from collections import deque
from typing import NamedTuple

#: A link that became slower is full at the same rate again and again, and one that another agent has come to at half of
#: it. Where it is full at ever less, by so much and so many times, each within so long but not before a queue of ours
#: would have drained, which is so long and so many times the delay, it may be somebody else's.
LESS, TIMES, WITHIN_S, DRAINS_S, DRAINS = 0.82, 3, 10.0, 0.6, 1.3
#: Then, and now and then while it is, so much of the rate is sent for a moment, or of what came through where far more
#: was tried: a queue that does not go, or comes back within so long, is not ours. Whoever fills a queue lets it rise
#: and fall, in some seconds; nobody leaves it as good as empty for so long.
GIVES, CHECK_S, EMPTY_S = 0.6, 7.0, 2.0
#: So long after that it is checked again, at first and at most; and it is not suspected for so long if it was ours.
AGAIN_S, AGAIN_MOST_S, CLEARED_S = 6.0, 12.0, 10.0
#: Where none was seen for long, but there is one again within so long, it is checked at once: theirs had only fallen.
BACK_S = 10.0
#: Fallen, and gone, is what has not been seen for so long.
FALLEN_S, GONE_S = 1.0, 4.0
#: Round trips of so long are looked at: TCP smooths them, and they fall as others' queue does.
LATELY_S = 1.0
#: Others' queue is the longest of so long before giving way ends, or before something is lost, which is where it ends;
#: beyond it, and some more, it is ours.
OTHERS_S, OURS = 4.0, 1.05
#: Of the rate, by how much more is tried at a step: TCP holds back what is too much until it is far too much. At first,
#: until it was too much, boldly, as in TCP's slow start: what giving way has cost is to be won back.
UP, UP_BEGINS = 0.04, 0.2
#: And so much of it is left at least when it was too much, once a round trip: beta of CUBIC, RFC 9438 section 4.6.
#: A packet that others' full queue has lost holds everything up, so that next to nothing seems to come through.
LEAVES = 0.7


class Seen(NamedTuple):
    """Seconds: the least of the delays just now, and of those of the last minute; by how much more there is a queue;
    what TCP sees, None where it does not say; whether it has lost something just now; and what came through lately.
    """

    least_s: float
    empty_s: float
    full_s: float
    rtt_s: float | None
    lost: bool = False
    came_bps: float = math.inf


class _Check(NamedTuple):
    since_s: float
    queue_s: float
    rate_bps: float  # before it
    empty_since_s: float | None = None  # it has fallen, and stayed so since


class Contest:
    """One connection's. Times in seconds on one clock."""

    def __init__(self) -> None:
        self.base_s: float | None = None  #: what delays are held against while it is; None: it is not
        self._queued_s = -math.inf  # when a queue was seen last
        self._gone_s = 0.0  # for so long none is
        self._from: tuple[float, float, float] | None = None  # when a queue was seen, rate and delay then
        self._less = 0
        self._seen: deque[tuple[float, float]] = deque()  # (when, round trip or delay)
        self._others_s = 0.0  # the way there and back with their queue
        self._check: _Check | None = None
        self._next_s, self._again_s = -math.inf, AGAIN_S  # not before, and how long after a check the next one is
        self._back_s = -math.inf  # a queue that is there before that is checked
        self._tcp_says = False
        self._begins = False  # and it was not too much yet

    @property
    def gives_way(self) -> bool:
        """No more than `GIVES` of the rate is to be sent for a moment."""
        return self._check is not None

    @property
    def holds(self) -> bool:
        """No more is to be tried: it gives way, or others' queue is not seen, and what came next would be ours."""
        return self.gives_way or (self.base_s is not None and self._gone_s > FALLEN_S)

    @property
    def as_tcp(self) -> bool:
        """TCP says how long others' queue is: then more and less is sent as TCP does. (Where it does not say, what is
        ours of a queue is not known, so less has to do.)
        """
        return self.base_s is not None and self._tcp_says

    @property
    def up_most(self) -> float:
        """By which part of the rate to go up at most."""
        if self.base_s is None:
            return math.inf
        return UP_BEGINS if self._begins and self._tcp_says else UP

    def too_much(self) -> None:
        """A queue of ours stood behind theirs."""
        self._begins = False

    def look(self, seen: Seen, rate_bps: float, now_s: float, *, lowest: bool = False, obeys: bool = True) -> float:
        """What may be sent from now on, which is `rate_bps` but where giving way begins or ends; `lowest`: it is hardly
        ever less; `obeys`: what is sent follows it.
        """
        self._tcp_says = seen.rtt_s is not None
        self._seen.append((now_s, seen.least_s if seen.rtt_s is None else seen.rtt_s))
        while self._seen[0][0] < now_s - OTHERS_S:
            self._seen.popleft()
        queue_s = seen.least_s - seen.empty_s
        self._queued_s = now_s if queue_s > seen.full_s else self._queued_s
        self._gone_s = now_s - self._queued_s
        if (check := self._check) is not None:
            self._judge(check, queue_s, seen, now_s)
            if not self.gives_way:
                rate_bps = max(rate_bps / GIVES, check.rate_bps if self.as_tcp else 0.0)
        elif self._gone_s > GONE_S:
            self._back_s = now_s + BACK_S if self.base_s is not None else self._back_s
            self._ours()
        elif self._gone_s == 0.0 and obeys and self._due(seen.least_s, rate_bps, now_s, lowest=lowest):
            if self.base_s is None:  # else what came may be little because something was lost
                rate_bps = min(rate_bps, max(seen.came_bps, rate_bps * GIVES))
            self._check = _Check(now_s, queue_s, rate_bps)
            rate_bps *= GIVES
        if self.base_s is not None and seen.lost:
            self._others_s = max(self._others_s, self._most_s(OTHERS_S, now_s))
        if self.base_s is not None and seen.rtt_s is not None:
            self.base_s = min(self._most_s(LATELY_S + seen.least_s, now_s), self._others_s * OURS)
        return rate_bps

    def slower(self) -> None:
        """The link itself has become slower: that it is full at less than before says nothing of others."""
        self._from, self._less = None, 0

    def _due(self, delay_s: float, rate_bps: float, now_s: float, *, lowest: bool) -> bool:
        """Whether it is to be seen if a queue is ours."""
        if now_s < self._next_s:
            return False
        known = self.base_s is not None or now_s < self._back_s
        return known or self._suspect(delay_s, rate_bps, now_s, lowest)

    def _suspect(self, delay_s: float, rate_bps: float, now_s: float, lowest: bool) -> bool:
        """Whether the link was full at ever less, or at the least there is."""
        rose = self._from is not None and rate_bps > self._from[1] and not lowest
        if self._from is None or rose or now_s - self._from[0] > WITHIN_S + 2 * self._from[2]:
            self._from, self._less = (now_s, rate_bps, delay_s), 0
        elif (lowest or rate_bps < LESS * self._from[1]) and now_s - self._from[0] > DRAINS_S + DRAINS * self._from[2]:
            self._from, self._less = (now_s, rate_bps, delay_s), self._less + 1
        return self._less >= TIMES

    def _judge(self, check: _Check, queue_s: float, seen: Seen, now_s: float) -> None:
        """Whose it is, as far as one can see already."""
        passed_s = now_s - check.since_s
        if (empty_since_s := check.empty_since_s) is not None:
            if queue_s > seen.full_s:
                self._others(now_s)
            elif passed_s > CHECK_S or now_s - empty_since_s > EMPTY_S:
                self._ours()
                self._next_s, self._back_s = now_s + CLEARED_S, -math.inf
            elif queue_s > seen.full_s / 2:
                self._check = check._replace(empty_since_s=now_s)
        elif queue_s < seen.full_s:
            self._check = check._replace(empty_since_s=now_s)
        elif passed_s > 1.0 + seen.empty_s + 2 * check.queue_s / (1 - GIVES):
            self._others(now_s)

    def _others(self, now_s: float) -> None:
        if self.base_s is None:
            self._again_s, self._begins = AGAIN_S, True
        self.base_s = self._others_s = self._most_s(OTHERS_S, now_s)
        self._check = None
        self._next_s, self._again_s = now_s + self._again_s, min(2 * self._again_s, AGAIN_MOST_S)

    def _ours(self) -> None:
        self.base_s, self._check, self._from, self._less = None, None, None, 0

    def _most_s(self, span_s: float, now_s: float) -> float:
        return max(it for at_s, it in self._seen if at_s >= now_s - span_s)
