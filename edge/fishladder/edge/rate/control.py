"""What each camera of a site may send at the moment: the estimator's rate, shared out by the budget, turned into bits
and pictures a second and a size by each camera's ladder. Pure: told what was sent and acknowledged, it gives orders.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fishladder.edge.rate.budget import Claim, share
from fishladder.edge.rate.estimator import LEAST_BPS, Estimator
from fishladder.edge.rate.ladder import Ladder
from fishladder.edge.rate.passing import Passing, PassingLadder, PassingRung, need_bps, use_bps
from fishladder.edge.rate.proven import Proven

#: Where a new connection begins, for each camera: enough to be useful, too little to fill a thin link for long.
FIRST_BPS = 300_000.0
#: A camera whose oldest picture has waited so long beyond the usual takes no more, until it is so much better again.
HOLD_S, GO_S = 0.3, 0.12
#: The same of one that passes on what it gets, whose keyframes take their time on a thin link.
PASSING_HOLD_S = 1.5
#: Of what large units show that a link has, so much is relied on.
SURE = 0.8
#: For so long after a queue stood the link counts as full.
FULL_S = 2.0
#: What a camera may use beyond what it does use: when more happens in it, its share follows.
GROWTH = 2.0
_FOLLOW_S = 0.4
#: Of the link's rate for live units; the rest is what wraps them, and control.
PAYLOAD = 0.97
STEP_S = 0.1
#: Nothing acknowledged for so long: the link was away, or a store. What was on its way then says nothing of the link.
STALL_S = 0.5
#: On a thin link keyframes, which hold up what is behind them, come so much apart at least.
THIN_KEYFRAME_S = 5.0
#: Bitrates closer than this to the one in force are not worth an order.
_CLOSE = 0.03


class Wish(NamedTuple):
    """What a camera would send: at most so many bits and pictures a second, of that size (0 = not known yet)."""

    weight: float
    most_bps: float
    fps: float
    width: int
    height: int
    passing: Passing | None = None  #: it passes on what it gets, and these are its streams


class Order(NamedTuple):
    """What a camera is to send. `fps`, `width` and `keyframe_s` 0 = as it would; `hold`: nothing at the moment."""

    bitrate_bps: int
    fps: float = 0.0
    width: int = 0
    hold: bool = False
    keyframe_s: float = 0.0
    passing: PassingRung = PassingRung()


class _InFlight(NamedTuple):
    seq: int
    ready_s: float
    taken_s: float
    bytes: int


@dataclass(slots=True)
class _Camera:
    ladder: Ladder = field(default_factory=Ladder)
    passing: PassingLadder = field(default_factory=PassingLadder)
    in_flight: deque[_InFlight] = field(default_factory=deque)
    used_bps: float = 0.0
    produced: int = 0  # bytes since the last step
    waiting: int = 0  # bytes on their way
    hold: bool = False
    order: Order | None = None
    _smooth_bps: float = 0.0

    def used(self, passed_s: float) -> None:
        """Follow what is sent: at once upwards, slowly down."""
        rate = self.produced * 8 / min(passed_s, 1.0)
        self._smooth_bps += (rate - self._smooth_bps) * min(passed_s / _FOLLOW_S, 1.0)
        self.used_bps = max(self._smooth_bps, self.used_bps * (1 - min(passed_s / 2.0, 1.0)))
        self.produced = 0


class RateControl:
    """One connection's; cameras by channel. Times in seconds on one clock. `before` is that of the connection before:
    what cameras pass on does not change because a link was made anew.
    """

    def __init__(self, cameras: int, before: "RateControl | None" = None) -> None:
        self.estimator = Estimator(FIRST_BPS * max(cameras, 1))
        known: dict[int, _Camera] = {} if before is None else before._cameras
        self._cameras: dict[int, _Camera] = {
            channel: _Camera(passing=camera.passing) for channel, camera in known.items()
        }
        self._step_s = 0.0
        self._heard_s = 0.0
        self._stalled_to_s = 0.0
        self._proven = Proven()
        self._alone: tuple[int, int] | None = None  # the last unit that found nothing on its way
        self._full_s = -FULL_S

    @property
    def thin(self) -> bool:
        """Whether the link was full lately: before that nothing is known of it, and only the bitrate begins low."""
        return self.estimator.carried_bps is not None

    def taken(self, channel: int, seq: int, size: int, ready_s: float, now_s: float) -> None:
        """A live unit goes onto the link; `ready_s` is when it could have."""
        camera = self._cameras.setdefault(channel, _Camera())
        if not any(it.in_flight for it in self._cameras.values()):
            self._alone = (channel, seq)
        camera.in_flight.append(_InFlight(seq, ready_s, now_s, size))
        camera.produced += size
        camera.waiting += size
        self.estimator.sent(size, now_s)

    def logged(self, channel: int, seq: int, now_s: float) -> None:
        """Everything of a camera up to `seq` has reached the gateway."""
        camera = self._cameras.setdefault(channel, _Camera())
        if not camera.in_flight or camera.in_flight[0].seq > seq:
            return
        first = camera.in_flight[0]
        silent_s = now_s - max(self._heard_s, first.taken_s)
        if silent_s > max(STALL_S, 3 * first.bytes * 8 / self.estimator.rate_bps):
            self._stalled_to_s = now_s
        self._heard_s = now_s
        while camera.in_flight and camera.in_flight[0].seq <= seq:
            unit = camera.in_flight.popleft()
            camera.waiting -= unit.bytes
            if unit.ready_s >= self._stalled_to_s:
                self.estimator.acked(unit.bytes, now_s - unit.ready_s, now_s)
                if self._alone == (channel, unit.seq):
                    self._proven.came(unit.bytes, now_s - unit.ready_s, now_s)

    def forget(self, channel: int) -> None:
        """What was on its way of a camera is not any more."""
        if camera := self._cameras.get(channel):
            camera.in_flight.clear()
            camera.waiting = 0

    def released(self) -> list[tuple[int, Order]]:
        """Orders for when the link is gone: what is captured then goes to the spool, or fills the ring."""
        held = [(channel, it) for channel, it in self._cameras.items() if it.order is not None and it.order.hold]
        for _, camera in held:
            assert camera.order is not None
            camera.hold, camera.order = False, camera.order._replace(hold=False)
        return [(channel, camera.order) for channel, camera in held if camera.order is not None]

    def step(
        self,
        wishes: Mapping[int, Wish],
        unsent_ready_s: Mapping[int, float],
        now_s: float,
        *,
        spooled: Collection[int] = (),
        denied: bool = False,
    ) -> list[tuple[int, Order]]:
        """Orders that are news; to be called often. `unsent_ready_s`: since when each camera's oldest unsent unit could
        have been sent, of those that have one; `spooled`: cameras of which nothing is lost that comes late; `denied`:
        TCP sees no queue.
        """
        passed_s = now_s - self._step_s
        if passed_s < STEP_S:
            return []
        self._step_s = now_s
        ages = {}
        for channel in wishes:
            self._cameras.setdefault(channel, _Camera())
        beside_bps = 0.0  # what cameras send that pass on what they get
        for channel, camera in self._cameras.items():
            waiting = [unsent_ready_s[channel]] if channel in unsent_ready_s else []
            waiting += [camera.in_flight[0].ready_s] if camera.in_flight else []
            ages[channel] = now_s - min(waiting) if waiting else 0.0
            camera.used(passed_s)
            if channel not in wishes:
                beside_bps += camera.used_bps
        oldest_s = max(ages.values(), default=0.0)
        waiting_bytes = sum(camera.waiting for camera in self._cameras.values())
        rate_bps = self.estimator.rate_bps
        self.estimator.step(now_s, oldest_s or None, waiting_bytes, denied=denied)
        if self.estimator.rate_bps < rate_bps:
            self._full_s = now_s
        claims = [self._claim(channel, wish) for channel, wish in wishes.items()]
        least_bps = sum(claim.least_bps for claim in claims)
        total_bps = max(self.estimator.rate_bps * PAYLOAD - beside_bps, least_bps)
        shares = share(total_bps, claims)
        if any(wish.passing for wish in wishes.values()):
            self._pass_on(wishes, shares, claims, now_s)
            shares = share(max(total_bps, sum(claim.least_bps for claim in claims)), claims)
        news = []
        for (channel, wish), rate in zip(wishes.items(), shares, strict=True):
            camera = self._cameras[channel]
            waits_s = ages[channel] - (self.estimator.base_s or 0.0)
            hold_s, go_s = (HOLD_S, GO_S) if wish.passing is None else (PASSING_HOLD_S, HOLD_S)
            may_hold = self.thin if wish.passing else channel not in spooled
            camera.hold = may_hold and waits_s > (go_s if camera.hold else hold_s)
            order = self._order(camera, wish, rate, now_s)
            if camera.order is None or _differs(order, camera.order):
                camera.order = order
                news.append((channel, order))
        return news

    def _claim(self, channel: int, wish: Wish) -> Claim:
        used = self._cameras[channel].used_bps
        least = min(LEAST_BPS, wish.most_bps)
        if wish.passing:
            return Claim(wish.weight, least, wish.most_bps)
        return Claim(wish.weight, least, min(max(used * GROWTH, FIRST_BPS / 2, least), wish.most_bps))

    def _pass_on(self, wishes: Mapping[int, Wish], shares: list[float], claims: list[Claim], now_s: float) -> None:
        """Decide what cameras send that are not encoded, and leave the rest of their claims to the others."""
        needs = {channel: camera.used_bps for channel, camera in self._cameras.items()}
        for channel, wish in wishes.items():
            if wish.passing is not None:  # what it will use, where it has begun to just now
                needs[channel] = max(needs[channel], use_bps(self._cameras[channel].passing.rung, wish.passing))
        proven_bps, full = self._proven.bps(now_s) * PAYLOAD, now_s - self._full_s < FULL_S
        for index, (channel, wish) in enumerate(wishes.items()):
            if wish.passing is None:
                continue
            ladder = self._cameras[channel].passing
            before, others_bps = ladder.rung, sum(needs.values()) - needs[channel]
            room_bps = proven_bps - others_bps
            rung = ladder.step(shares[index], room_bps, wish.passing, now_s, full=full)
            least = claims[index].least_bps
            most = max(min(use_bps(rung, wish.passing), wish.most_bps), least)
            needs[channel] = most
            claims[index] = claims[index]._replace(most_bps=most, least_bps=min(max(least, room_bps * SURE), most))
            if rung != before and not full:  # more may be tried than the estimator knows of
                least = need_bps(rung, wish.passing)
                self.estimator.rate_bps = max(self.estimator.rate_bps, others_bps + min(least, most))

    def _order(self, camera: _Camera, wish: Wish, rate_bps: float, now_s: float) -> Order:
        bitrate = max(round(min(rate_bps, wish.most_bps)), 10_000)
        if wish.passing:
            return Order(bitrate, hold=camera.hold, passing=camera.passing.rung)
        if not wish.width or not wish.height or not self.thin:
            return Order(bitrate, hold=camera.hold, keyframe_s=THIN_KEYFRAME_S if self.thin else 0.0)
        rung = camera.ladder.step(rate_bps, wish.width, wish.height, wish.fps, now_s)
        fps = 0.0 if rung.fps >= wish.fps else rung.fps
        width = 0 if rung.width == 1.0 else max(round(wish.width * rung.width / 2) * 2, 64)
        return Order(bitrate, fps, width, camera.hold, THIN_KEYFRAME_S)


def _differs(new: Order, old: Order) -> bool:
    return new[1:] != old[1:] or abs(new.bitrate_bps - old.bitrate_bps) > _CLOSE * old.bitrate_bps
