"""How much an uplink carries, from what the gateway acknowledged and when. Pure. A link is full when even the quickest
of the last units waited (a standing queue), or when one waits far too long; that a camera sends little says nothing
about the link. How the rate is shared out is for `budget`.
"""

import math
from collections import deque
from statistics import median

from fishladder.edge.link_state import SILENT, LinkState
from fishladder.edge.rate.contest import LEAVES, Contest, Seen
from fishladder.edge.rate.growth import Growth, Tried
from fishladder.edge.rate.lately import WINDOW_UNITS, Ack, Lately
from fishladder.edge.rate.lateness import Lateness, Oldest
from fishladder.edge.rate.standing import FULL_S, GENTLE, Standing, patience, standing

#: Delays are compared with the shortest of so long: routes change.
BASE_S = 60.0
#: So it goes down far enough that the queue goes also where somebody else has come.
GENTLE_DOWN, GENTLE_DRAIN = 0.93, 2.0
#: TCP sees no queue on its way: then a short one is our host's or the gateway's, and only a long one (of a proxy, which
#: ends TCP early) is believed.
DENIED = 3.0
#: Then so much of what comes through is sent, less what has to drain, in which so much time may be taken.
LATE_DOWN, LATE_LEAST, DRAIN_S = 0.85, 0.3, 0.7
#: And once it has drained, this of what came through meanwhile, for then the link was full.
DRAINED = 0.92
#: Links do not become slower again and again: where one seems to within so long, it may be others who take it.
AGAIN_S = 20.0
#: Nothing was acknowledged for so long: the link is away.
AWAY_S = 0.5
#: Decisions are this far apart; after going down the effect is waited for.
STEP_S, SETTLE_S = 0.2, 0.4
#: What has piled up behind a pause makes units late for so long; and if it is more than this, nothing is decided.
BEHIND_PAUSE_S, BEHIND_S = 1.0, 0.1
#: Of what came through while the queue stood; less the longer the queue, which has to drain.
DOWN, DRAIN = 0.96, 0.6
#: And of the same once it has.
RESTORED = 0.97
#: Encoders make somewhat less than they are told; by no more than this is it made up for.
LEAST_MADE = 0.8
#: What the link carried is known for so long.
LATELY_S = 15.0
#: So long after the link was full it is looked whether some of what is sent waits all the time, if less than then.
HOLDS_S = 5.0
#: More is tried only while so much of the rate is used.
USED = 0.75
LEAST_BPS = 24_000.0
#: Up to so many times that, a little more or less than before says nothing: it may be all that others leave.
LOWEST = 2.0
#: Where this much more is sent than may be, as many cameras do of which each sends its least, nobody can give way.
OBEYED = 1.2


class Estimator:
    """One connection's. `rate_bps` is what may be sent in all; `queue_s` the standing queue at the last step. Times in
    seconds on one clock.
    """

    def __init__(self, first_bps: float, *, yields: bool = False) -> None:
        self.yields = yields
        self.rate_bps = max(first_bps, LEAST_BPS)
        self.backfills = False  #: what is sent besides live units is what the link is filled with
        self.queue_s = 0.0
        self.full_s = -math.inf  #: when acknowledgements, or TCP, showed last that a queue stood
        self._carried: deque[tuple[float, float]] = deque()  # (when, bps) that came through when the link was full
        self._guessed = False  # the last of them was taken from TCP, which follows in a moment only
        self._growth = Growth()
        self._bases: deque[tuple[float, float]] = deque()  # (when, delay), delays ascending
        self._lately = Lately()
        self._lateness = Lateness(self._lately)
        self.made = 1.0  #: of the rate, what is sent by those who use it: encoders make less than they are told
        self._step_s = 0.0
        self._late_s = 0.0
        self._slower_s = -math.inf  # when it was late last
        self._drains_s: float | None = None  # since when
        self._first_base_s: float | None = None  # as TCP says, until that has happened
        self._contest = Contest()
        self._looked_s = 0.0
        self._paused = False  # and nothing heard yet of what went after that
        self._cut_bps = 0.0  # what came when it went down for a queue that has not drained yet
        self._paused_s, self._paused_bps = 0.0, 0.0  # since when, and what was sent before
        self.behind_s = 0.0  #: what a pause kept back, in seconds of what was sent before, until it has drained
        self._doubted_bps = 0.0  # what it was before a link on which nothing queued was late

    def go_on_from(self, before: "Estimator") -> None:
        """The same link, as far as anybody knows, by another connection: what it carried lately holds for a while."""
        if before.carried_bps is not None:
            self.rate_bps = max(min(self.rate_bps, max(before.rate_bps, before.carried_bps)), LEAST_BPS)
            self._carried.extend(before._carried)

    @property
    def carried_bps(self) -> float | None:
        """What came through when the link was last full; None: it has not been lately, so nobody knows."""
        return self._carried[-1][1] if self._carried else None

    @property
    def drains(self) -> bool:
        """It was late, and what has piled up is on its way still."""
        return self._drains_s is not None

    def piled_up(self, now_s: float) -> bool:
        """Whether what had piled up when it was late is on its way still, as far as one can tell: not for long, since
        where it does not drain it may be others'.
        """
        return self.drains and now_s < self._lateness.piled_to_s

    @property
    def heard(self) -> bool:
        """Whether anything was acknowledged yet."""
        return bool(self._lately.acks)

    @property
    def base_s(self) -> float | None:
        """The shortest delay of the last minute: the way there and back of a small unit alone. TCP's least round trip
        while what was sent before anything was known has not drained; what it is with others' queue where they keep
        one.
        """
        return self._contest.base_s or self._first_base_s or (self._bases[0][1] if self._bases else None)

    def sent(self, size: int, now_s: float) -> None:
        """So many bytes of live units were handed to the link."""
        self._lately.sent(size, now_s)

    def acked(self, size: int, delay_s: float, now_s: float, *, before: int = 0) -> None:
        """A unit was acknowledged `delay_s` after it was ready to be sent; `before`: bytes of something else that went
        before it on the same way.
        """
        if self._paused:
            self._paused, self._lately.since_s = False, now_s
            self._hold_still(now_s)
        if self.behind_s and delay_s < (self.base_s or 0.0) + FULL_S:
            self.behind_s, self._step_s = 0.0, min(self._step_s, now_s + SETTLE_S)
        self._lately.acks.append(Ack(now_s, delay_s, size, size + before))
        while self._bases and self._bases[-1][1] >= delay_s:
            self._bases.pop()
        self._bases.append((now_s, delay_s))
        while self._bases[0][0] < now_s - BASE_S:
            self._bases.popleft()

    def looked(self, link: LinkState, now_s: float) -> None:
        """How TCP sees the link at the moment; to be called often, and before `late`."""
        known = link if self._carried else SILENT  # what is tried of a link nobody knows may be far too much
        self._lateness.look(known, now_s)
        if self._guessed and self._drains_s is not None and self._carried:
            bps = self._lateness.came_bps(self._drains_s)
            if bps is not None:  # nothing of it came before the link was slower
                self._piles_up(bps)

    def late(self, now_s: float, oldest_s: float, before_bytes: int, link: LinkState = SILENT) -> bool:
        """Whether the link has become slower, so that deciding cannot wait; see `step`. Where others keep a queue full
        packets are lost, and everything is late for some round trips.
        """
        if self.base_s is None or not self._lately.acks or now_s < self._late_s or self._contest.base_s is not None:
            return False
        oldest = Oldest(now_s - oldest_s, oldest_s, before_bytes)
        return self._lateness.late(oldest, self.base_s, self.rate_bps, link)

    def paused(self, now_s: float) -> None:
        """Nothing went until now, which was not the link's fault: decide when what comes next has been seen."""
        if not self._paused:
            self._paused, self._paused_s, self._paused_bps = True, now_s, self._lately.sent_bps(now_s)
        went_s = self._lately.sent_since(self._paused_s) * 8 / max(self._paused_bps, LEAST_BPS)
        self.behind_s = max(now_s - self._paused_s - went_s, 0.0)
        self._hold_still(now_s)

    def _hold_still(self, now_s: float) -> None:
        self._late_s = now_s + BEHIND_PAUSE_S
        self._step_s = now_s + (BEHIND_PAUSE_S if self.behind_s > BEHIND_S else SETTLE_S)

    def step(
        self,
        now_s: float,
        oldest_s: float | None,
        before_bytes: int = 0,
        link: LinkState = SILENT,
        *,
        on_the_way_bytes: int = 0,
        proven_bps: float = 0.0,
    ) -> None:
        """Decide; to be called often. `oldest_s`: how long the oldest unit not acknowledged has been ready;
        `before_bytes`: it, and what went before it and was not acknowledged then; `on_the_way_bytes`: of all that are
        not; `proven_bps`: what units that came lately show the link to carry at least.
        """
        while self._carried and self._carried[0][0] < now_s - LATELY_S:
            self._carried.popleft()
        base_s = self.base_s
        if base_s is None or not self._lately.acks:
            self._begin(now_s, link)
            return
        if self._lately.acks[-1].at_s < now_s - AWAY_S:
            if oldest_s is None:
                self.queue_s = 0.0  # nothing was sent, so nothing waits
            return  # else it is away rather than slow, of which nothing follows
        if oldest_s is not None and self.late(now_s, oldest_s, before_bytes, link):
            self._slow_down(now_s, oldest_s - base_s, before_bytes, max(on_the_way_bytes, before_bytes), link)
            return
        if now_s < self._step_s:
            return
        self._lately.forget(now_s)
        recent = self._lately.recent(now_s)
        if self._drains_s is not None:
            recent = [ack for ack in recent if ack.at_s > self._drains_s]
        if not recent or recent[-1].at_s <= self._looked_s:
            return  # nothing new was heard
        self._looked_s = now_s
        doubted_bps, self._doubted_bps = self._doubted_bps, 0.0
        least_s = min(ack.delay_s for ack in recent)
        more = DENIED if link.idle and not self.yields else 1.0
        delivers_bps = max(self.rate_bps, (link.rate_bytes_s or 0.0) * 8)
        full_s, free_s = self._standing(recent, self.rate_bps, now_s, self._patience(link, now_s)).times(more)
        others = self._standing(recent, delivers_bps, now_s).times(more)  # the rate may be what they left: too little
        self._contended(least_s, others.full_s, link, now_s)
        self.queue_s = least_s - (self.base_s or base_s)
        self._step_s = now_s + STEP_S
        made = self._lately.sent_bps(now_s) / self.rate_bps
        steady = self._growth.steady  # else it is what was made of less
        if steady and made >= USED and not self.yields:  # what is paced by the rate is not to be let out faster
            self.made += (max(min(made, 1.0), LEAST_MADE) - self.made) * 0.1
        if self.queue_s > full_s and self.piled_up(now_s):
            return  # as is to be expected
        if self.queue_s > full_s:
            came_bps = self._lately.came_bps(now_s, 0.6)
            if self._guessed:
                self._carried.clear()
                self._guessed = False
            self._carried.append((now_s, came_bps))
            self.full_s = now_s
            self._growth.full(came_bps, proven_bps, SETTLE_S + STEP_S, now_s)
            down, drain = (GENTLE_DOWN, GENTLE_DRAIN) if self.yields else (DOWN, DRAIN)
            less_bps = came_bps * max(down - min(self.queue_s, 0.5) * drain, LATE_LEAST)
            settle_s = SETTLE_S
            if self._contest.as_tcp:
                less_bps = max(less_bps, LEAVES * self.rate_bps * self.made)
                settle_s = max(settle_s, base_s)
            self._contest.too_much()
            self.rate_bps = max(min(max(self.rate_bps, doubted_bps), less_bps / self.made), LEAST_BPS)
            self._step_s = now_s + settle_s
            self._cut_bps = 0.0 if self.yields else came_bps
        elif self.queue_s < free_s and not self._contest.holds:
            if self._drains_s is not None:
                self._drained(self._drains_s, now_s)
                return
            self.rate_bps = max(self.rate_bps, self._cut_bps * RESTORED / self.made)
            self._cut_bps = 0.0
            if self._uses_it(now_s):
                self._up(now_s, link, proven_bps)
        elif self._carried and self._carried[-1][0] < now_s - HOLDS_S and self._uses_it(now_s):
            self._carried.append((now_s, self._lately.came_bps(now_s, 1.0)))  # some of it waits all the time: used up

    def _slow_down(self, now_s: float, waits_s: float, before_bytes: int, piled_bytes: int, link: LinkState) -> None:
        """The link has become slower: send what comes through, less what has to drain."""
        self._late_s = self._step_s = now_s + SETTLE_S / 2
        self._drains_s, self._cut_bps = now_s, 0.0
        self.queue_s = waits_s
        came_bps, drain_s = self._lately.came_bps(now_s, 0.2), self.queue_s
        if (slower_bps := self._lateness.slower_bps(self.rate_bps, link)) is not None:
            drain_s = before_bytes * 8 / slower_bps
            came_bps = min(came_bps, slower_bps)  # part of what came lately did so before
        if len(self._lately.acks) <= WINDOW_UNITS and link.queues and link.carries_bps is not None:
            came_bps = link.carries_bps  # too few to tell
        share = max(LATE_DOWN - drain_s / DRAIN_S, LATE_LEAST)
        if self._carried or link.queues:  # what it was is no measure any more
            self._carried.clear()
            self._carried.append((now_s, came_bps))
            self._guessed = slower_bps is not None
            self._lateness.piled_bytes = piled_bytes if self._guessed else 0
            self._piles_up(came_bps)
            if now_s - self._slower_s > AGAIN_S:
                self._contest.slower()
            self._slower_s = self.full_s = now_s
        else:  # it may as well stand still: that it is thin its acknowledgements have to say
            self._doubted_bps = max(self._doubted_bps, self.rate_bps)
        self.rate_bps = max(min(self.rate_bps * 0.7, came_bps * share / self.made), LEAST_BPS)

    def _piles_up(self, carries_bps: float) -> None:
        """What was on its way when it was late goes over a link that carries so much."""
        since_s = self._carried[-1][0]
        self._carried[-1] = since_s, carries_bps
        self._lateness.piles_up(since_s, max(carries_bps, LEAST_BPS))

    def _uses_it(self, now_s: float) -> bool:
        """Whether about as much is sent as may be."""
        return self._lately.uses(USED * self.made * self.rate_bps, now_s)

    def _contended(self, least_s: float, full_s: float, link: LinkState, now_s: float) -> None:
        """Whether others keep the queue full, for who does not yield to them anyway; now and then less is sent, to see
        whether it is ours after all.
        """
        if self.yields:
            self._contest = Contest()
            return
        rtt_s = None if link.rtt_us is None else link.rtt_us / 1e6
        lowest, obeys = self.rate_bps <= LOWEST * LEAST_BPS, self._lately.sent_bps(now_s) < OBEYED * self.rate_bps
        came_bps = self._lately.came_bps(now_s, 0.6) / self.made
        seen = Seen(least_s, self._bases[0][1], full_s, rtt_s, link.recovers, came_bps)
        self.rate_bps = self._contest.look(seen, self.rate_bps, now_s, lowest=lowest, obeys=obeys)
        if self._contest.base_s is not None:
            self._drains_s = self._first_base_s = None  # what stands is theirs

    def _begin(self, now_s: float, link: LinkState) -> None:
        """Nothing was acknowledged yet: what TCP says has to do. That of the first unit would be a poor least delay:
        it waits behind what was sent before anybody knew.
        """
        if (
            not link.queues
            or link.carries_bps is None
            or link.least_s is None
            or link.carries_bps * LATE_DOWN > self.rate_bps
        ):
            return
        self._first_base_s, self._drains_s = link.least_s, self._drains_s or now_s
        self._carried.append((now_s, link.carries_bps))
        self.full_s = now_s
        self.rate_bps = max(link.carries_bps * LATE_DOWN, LEAST_BPS)

    def _drained(self, since_s: float, now_s: float) -> None:
        self._drains_s = self._first_base_s = None
        came_bps = self._lately.drained_bps(since_s, now_s)
        self.rate_bps = max(self.rate_bps, came_bps * DRAINED / self.made)

    def _standing(self, recent: list[Ack], bps: float, now_s: float, patient: float = 1.0) -> Standing:
        """Which queue counts, if the link carries `bps`. Where it has just become faster, units are larger than those
        by which the least delay was seen.
        """
        if self.yields:
            return GENTLE
        unit_s = median(ack.bytes for ack in recent) * 8 / bps
        own_s = unit_s if self._growth.believes(now_s) else unit_s / 2
        return standing(unit_s, own_s=own_s, backfills=self.backfills, patient=patient)

    def _patience(self, link: LinkState, now_s: float) -> float:
        """See `patience`; it is for live units, where others do not keep the queue full whatever we do."""
        if link.rate_bytes_s is None or self.backfills or self.yields or self._contest.base_s is not None:
            return 1.0
        return patience(self._lately.came_bps(now_s, 1.0), link.rate_bytes_s * 8)

    def _up(self, now_s: float, link: LinkState, proven_bps: float) -> None:
        most_bps = max((bps for _, bps in self._carried), default=None)
        tried = Tried(self.rate_bps, self._lately.sent_bps(now_s), most_bps, proven_bps, self.made)
        up_most = self._contest.up_most
        self.rate_bps *= 1 + self._growth.step(tried, link, now_s, yields=self.yields, up_most=up_most)
