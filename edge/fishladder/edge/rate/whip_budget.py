"""What each WHIP camera of a site may send: nothing is acknowledged there, but receivers say what seems to come through
(REMB), how much is lost, and how long they have a report of ours. Their sum, or what the operator's limits let the site
have, is shared out by weight, and each camera's ladder makes pictures of it. Pure.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from fishladder.edge.rate.budget import Claim, share
from fishladder.edge.rate.control import PAYLOAD, THIN_KEYFRAME_S
from fishladder.edge.rate.estimator import LEAST_BPS
from fishladder.edge.rate.ladder import Ladder
from fishladder.edge.rate.orders import LEAST_ENCODED_BPS, Order, Wish, differs, pictures
from fishladder.edge.rate.passing import PassingLadder, PassingRung

#: Where a session begins when nobody has said anything yet.
FIRST_BPS = 500_000.0
#: By losses alone, as in draft-ietf-rmcat-gcc-02, 6: fewer than the first share, and more is tried; more than the
#: second, and it goes down by half of them. Reports are a second apart, more or less.
FEW, MANY, UP = 0.02, 0.10, 1.08
#: At most this much more than came through is tried.
AHEAD = 1.5
#: What a receiver said holds for so long.
SAID_S = 10.0
STEP_S = 0.2
#: With `yield`: a queue as long as this is one that others notice. How it goes down and up at each report.
GENTLE_QUEUE_S, GENTLE_DOWN, GENTLE_UP = 0.025, 0.8, 1.05
#: The least round trip is that of the last one or two of these; a queue is what even the shortest of a few shows beyond
#: it, since a report may wait in a busy host as well.
LEAST_S, FEW_TRIPS = 60.0, 3
#: Of a peer's rate for pictures; the rest is RTP's headers and what is sent again.
MEDIA = PAYLOAD * 0.93
_CLOSE = 0.05


@dataclass(slots=True)
class Peer:
    """One session, as its receiver sees it. Times in seconds on one clock."""

    loss_bps: float = FIRST_BPS  #: what losses allow
    remb_bps: float | None = None
    gentle_bps: float = FIRST_BPS  #: what leaves no queue behind that others notice
    queue_s: float = 0.0  #: by which the last round trips were longer than the least one
    lossy: bool = False  #: much was lost lately
    ladder: Ladder = field(default_factory=Ladder)
    passing: PassingLadder = field(default_factory=PassingLadder)
    order: Order | None = None
    _remb_s: float = 0.0
    _sent: int = 0
    _sent_s: float = 0.0
    sent_bps: float = 0.0
    _trips_s: deque[float] = field(default_factory=lambda: deque(maxlen=FEW_TRIPS))
    _least_s: float = math.inf  # of round trips since `_least_from_s`, and in the time before that
    _least_before_s: float = math.inf
    _least_from_s: float = 0.0

    def sent(self, size: int, now_s: float) -> None:
        self._sent += size
        if not self._sent_s:
            self._sent_s = now_s
        elif (passed_s := now_s - self._sent_s) >= 1.0:
            self.sent_bps, self._sent, self._sent_s = self._sent * 8 / passed_s, 0, now_s

    def remb(self, bps: float, now_s: float) -> None:
        """The receiver's own estimate."""
        self.remb_bps, self._remb_s = bps, now_s

    def report(self, lost: float) -> None:
        """A receiver report: the share of packets lost since the last one."""
        self.lossy = lost > MANY
        if self.lossy:
            self.loss_bps = max(min(self.loss_bps, self.sent_bps or self.loss_bps) * (1 - lost / 2), LEAST_BPS)
        elif lost < FEW:
            self.loss_bps = max(self.loss_bps, min(self.loss_bps * UP, max(self.sent_bps * AHEAD, FIRST_BPS)))

    def round_trip(self, took_s: float, now_s: float) -> None:
        """How long a report of ours and the receiver's word of it took on their ways."""
        if now_s - self._least_from_s > LEAST_S:
            self._least_before_s, self._least_s, self._least_from_s = self._least_s, math.inf, now_s
        self._least_s = min(self._least_s, took_s)
        self._trips_s.append(took_s)
        self.queue_s = min(self._trips_s) - min(self._least_s, self._least_before_s)
        if self.queue_s > GENTLE_QUEUE_S:
            self.gentle_bps = max(min(self.gentle_bps, self.sent_bps or self.gentle_bps) * GENTLE_DOWN, LEAST_BPS)
        else:
            most_bps = max(self.sent_bps * AHEAD, FIRST_BPS)
            self.gentle_bps = max(self.gentle_bps, min(self.gentle_bps * GENTLE_UP, most_bps))

    def bps(self, now_s: float, *, yields: bool = False) -> float:
        """What seems to come through: the receiver's word, and no more than losses allow; with `yields`, no more than
        leaves no queue either.
        """
        bps = self._through_bps(now_s)
        return min(bps, self.gentle_bps) if yields else bps

    def _through_bps(self, now_s: float) -> float:
        if self.remb_bps is None or now_s - self._remb_s > SAID_S:
            return self.loss_bps
        return max(min(self.remb_bps, self.loss_bps) if self.lossy else self.remb_bps, LEAST_BPS)

    @property
    def full(self) -> bool:
        """Whether less comes through than is sent."""
        return self.lossy or (self.remb_bps is not None and self.remb_bps < self.sent_bps)

    @property
    def thin(self) -> bool:
        """Whether anything says that the link has less than is wanted."""
        return self.remb_bps is not None or self.lossy


class WhipBudget:
    """Sessions by the camera's index; `add` one when it is up."""

    def __init__(self) -> None:
        self.link_bps = math.inf  #: what all sessions may send, headers and all
        self._peers: dict[int, Peer] = {}
        self._step_s = 0.0

    def add(self, index: int, peer: Peer) -> None:
        self._peers[index] = peer

    def remove(self, index: int) -> None:
        self._peers.pop(index, None)

    def step(
        self, wishes: Mapping[int, Wish], now_s: float, *, limit_bps: float = math.inf, yields: bool = False
    ) -> list[tuple[int, Order]]:
        """Orders that are news; to be called often. `limit_bps`: what the operator lets the site have, IP bytes and
        all; `yields`: others shall not notice us.
        """
        if now_s - self._step_s < STEP_S:
            return []
        self._step_s = now_s
        up = [(index, wish, self._peers[index]) for index, wish in wishes.items() if index in self._peers]
        through = [peer.bps(now_s, yields=yields) for _, _, peer in up]
        self.link_bps = min(sum(through), limit_bps) if up else limit_bps
        claims = [Claim(wish.weight, min(LEAST_BPS, wish.most_bps), wish.most_bps) for _, wish, _ in up]
        limited = limit_bps < math.inf or yields
        news = []
        rates = share(self.link_bps * MEDIA, claims)
        for (index, wish, peer), most_bps, rate_bps in zip(up, through, rates, strict=True):
            order = _order(peer, wish, min(rate_bps, most_bps * MEDIA), now_s, limited=limited)
            if differs(order, peer.order, _CLOSE):
                peer.order = order
                news.append((index, order))
        return news


def _order(peer: Peer, wish: Wish, rate_bps: float, now_s: float, *, limited: bool) -> Order:
    bitrate = max(round(min(rate_bps, wish.most_bps)), LEAST_ENCODED_BPS)
    rung = PassingRung()
    if wish.passing is not None:
        full = peer.full or wish.capped or (limited and peer.sent_bps > rate_bps)
        rung = peer.passing.step(rate_bps, 0.0, wish.passing, now_s, full=full)
        if not rung.encoded:
            return Order(bitrate, passing=rung)
    if not wish.width or not wish.height or not (peer.thin or limited):
        return Order(bitrate, passing=rung)
    keyframe_s = THIN_KEYFRAME_S if rate_bps < wish.most_bps / 2 else 0.0
    return Order(bitrate, *pictures(peer.ladder, wish, rate_bps, now_s), keyframe_s=keyframe_s, passing=rung)
