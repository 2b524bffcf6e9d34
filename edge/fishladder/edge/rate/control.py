"""What each camera of a site may send at the moment: the estimator's rate, shared out by the budget, turned into bits
and pictures a second and a size by each camera's ladder. Pure: told what was sent and acknowledged, it gives orders.
"""

import math
from collections.abc import Collection, Mapping

from fishladder.edge.link_state import SILENT, LinkState
from fishladder.edge.rate.budget import Claim, share
from fishladder.edge.rate.camera_state import CameraState
from fishladder.edge.rate.estimator import AWAY_S, BEHIND_PAUSE_S, LEAST_BPS, Estimator
from fishladder.edge.rate.fullness import Fullness
from fishladder.edge.rate.on_the_way import InFlight, OnTheWay
from fishladder.edge.rate.orders import LEAST_ENCODED_BPS, Order, Wish, pictures
from fishladder.edge.rate.passing import PassingRung, need_bps, use_bps
from fishladder.edge.rate.proven import Proven
from fishladder.edge.rate.standing import FREE_S

#: Where a new connection begins, for each camera: enough to be useful, too little to fill a thin link for long.
FIRST_BPS = 300_000.0
#: A camera whose oldest picture has waited so long beyond the usual takes no more, until it is so much better again.
HOLD_S, GO_S = 0.3, 0.12
#: The same of one that passes on what it gets, whose keyframes take their time on a thin link.
PASSING_HOLD_S = 1.5
#: And of one that is encoded, on a link that has just become slower: some more pictures are made for what it was.
HOLD_LATE_S = 0.2
#: Of what large units show that a link has, so much is relied on.
SURE = 0.8
#: For so long after a queue stood the link counts as full.
FULL_S = 2.0
#: What a camera may use beyond what it does use: when more happens in it, its share follows.
GROWTH = 2.0
#: Of the link's rate for live units; the rest is what wraps them, and control.
PAYLOAD = 0.97
#: And where others shall not notice us, so that what is paced by the rate never piles up before it.
GENTLE_PAYLOAD = 0.9
#: Of the operator's limit, which counts what goes over the link: headers, and what is sent twice.
LIMIT_PAYLOAD = 0.92
#: What has piled up behind a pause drains by so much less of the rate, per second of it, and at most.
BEHIND, BEHIND_MOST = 1.4, 0.35
STEP_S = 0.1
#: What is on its way takes long if it takes this.
LONG_S = 0.2
#: Where something is late, as soon as this after the last time.
SOON_S = 0.02
#: Backfill has what live leaves, less some for live to grow into, and where that is nothing so much of the rate: on a
#: link that live could fill for ever, what was spooled would else never come.
BACKFILL_PART, BACKFILL_LEAST = 0.75, 0.05
#: It goes on as long as something of it was sent this lately.
BACKFILLS_S = 1.0
#: Nothing acknowledged for so long: the link was away, or a store. What was on its way then says nothing of the link,
#: and what waited for it has waited since the end of that.
STALL_S = 0.5
#: And for so long: what is captured will go to the spool, if there is one, and is as good as it was before.
GONE_S = 1.0
#: On a thin link keyframes, which hold up what is behind them, come so much apart at least; and so much where less than
#: this part of the pictures is made, or smaller ones: there they are too small to, and so poor that it takes pictures
#: to mend them. A ring asks for one itself when the last was 7.5 s ago.
THIN_KEYFRAME_S, LOWER_KEYFRAME_S, LOWER = 5.0, 7.0, 0.8


class RateControl:
    """One connection's; cameras by channel. Times in seconds on one clock. `before` is that of the connection before:
    what cameras send, and what their link has carried until now, do not change because it was made anew.
    """

    def __init__(self, cameras: int, before: "RateControl | None" = None) -> None:
        self.estimator = Estimator(FIRST_BPS * max(cameras, 1))
        if before is not None:
            self.estimator.go_on_from(before.estimator)
        self.left_bps: float | None = None  #: for backfill; None: nobody knows what the link carries
        self.queues = False  #: live waits for the link, as far as its acknowledgements say
        self._way = OnTheWay()
        self._backfill_s = -BACKFILLS_S  # when something was sent last
        self._leaves = False  # whether live leaves more than that least part
        self.limit_bps = math.inf  #: what the operator lets the uplink have in all
        self._limited = False  # and whether that is less than what is wanted
        self._fullness = Fullness()
        known: dict[int, CameraState] = {} if before is None else before._cameras
        self._cameras: dict[int, CameraState] = {
            channel: CameraState(camera.ladder, camera.passing) for channel, camera in known.items()
        }
        self._step_s = 0.0
        self._heard_s = 0.0
        self._stalled_to_s = 0.0
        self._paused_to_s = -math.inf  #: TCP sent next to nothing until then, of its own accord
        self._proven = Proven()

    @property
    def yields(self) -> bool:
        """Whether others on the link shall not notice us."""
        return self.estimator.yields

    @yields.setter
    def yields(self, yields: bool) -> None:
        self.estimator.yields = yields

    @property
    def thin(self) -> bool:
        """Whether the link was full lately, or may not be: before that nothing is known of it, and only the bitrate
        begins low.
        """
        return self._limited or self.estimator.carried_bps is not None

    @property
    def hurries(self) -> bool:
        """The link has just become slower, and what is on its way already will keep it busy for long."""
        return self.estimator.drains and self._way.bytes * 8 > LONG_S * (self.estimator.carried_bps or math.inf)

    def holds_back(self, now_s: float) -> bool:
        """Nothing is to be put on top of that, for a moment."""
        return self.hurries and self.estimator.piled_up(now_s)

    def behind_pause(self, now_s: float) -> bool:
        """TCP paused a moment ago, of its own accord: what that kept back comes soon."""
        return now_s < self._paused_to_s + BEHIND_PAUSE_S

    def taken(self, channel: int, seq: int, size: int, ready_s: float, now_s: float) -> None:
        """A live unit goes onto the link; `ready_s` is when it could have."""
        self._way.taken(channel, seq, size, ready_s, now_s)
        self._cameras.setdefault(channel, CameraState()).produced += size
        self.estimator.sent(size, now_s)

    def latest(self, channel: int) -> float | None:
        """When the unit a camera sent last could have been sent; None if it is there."""
        last = self._way.last(channel)
        return None if last is None else last.ready_s

    def take_back(self, channel: int) -> None:
        """That unit does not come."""
        self._way.take_back(channel)

    def backfilled(self, size: int, now_s: float) -> None:
        """So many bytes of backfill go onto the link."""
        self._way.backfilled(size)
        self._backfill_s = now_s
        self.estimator.sent(size, now_s)

    def handed(self, channel: int, now_s: float) -> None:
        """Another piece of the unit taken last is handed to the link."""
        if (last := self._way.last(channel)) is not None:
            last.handed_s = now_s

    def logged(self, channel: int, seq: int, now_s: float) -> None:
        """Everything of a camera up to `seq` has reached the gateway."""
        first = self._way.first(channel)
        if first is None or first.seq > seq:
            return
        if self._silent_s(now_s, first) > STALL_S:
            self._stalled_to_s = now_s
        self._heard_s = now_s
        stood_to_s = max(self._stalled_to_s, self._paused_to_s)
        for unit in self._way.logged(channel, seq):
            if unit.taken_s < stood_to_s:
                continue
            self.estimator.acked(unit.bytes, now_s - max(self._since(unit), stood_to_s), now_s, before=unit.before)
            if unit.alone and unit.ready_s >= stood_to_s:
                self._proven.came(unit.bytes, now_s - unit.ready_s, now_s)

    def _since(self, unit: InFlight) -> float:
        """Since when a unit waits for the link. One that is paced does not before its last piece may go."""
        return unit.handed_s if self.yields else unit.ready_s

    def forget(self, channel: int) -> None:
        """What was on its way of a camera is not any more."""
        self._way.forget(channel)

    def order(self, channel: int) -> Order | None:
        """What is in force; None before the first."""
        camera = self._cameras.get(channel)
        return camera.order if camera is not None else None

    def released(self, channels: Collection[int] | None = None) -> list[tuple[int, Order]]:
        """Orders that are news, for when the link is gone, of all cameras or of these; see `CameraState.released`."""
        which = self._cameras if channels is None else channels
        return [(channel, order) for channel in which if (order := self._cameras[channel].released()) is not None]

    def step(
        self,
        wishes: Mapping[int, Wish],
        unsent_ready_s: Mapping[int, float],
        now_s: float,
        *,
        spooled: Collection[int] = (),
        link: LinkState = SILENT,
    ) -> list[tuple[int, Order]]:
        """Orders that are news; to be called often. `unsent_ready_s`: since when each camera's oldest unsent unit could
        have been sent, of those that have one; `spooled`: cameras of which nothing is lost that comes late; `link`:
        how TCP sees it.
        """
        passed_s = now_s - self._step_s
        if link.paused:
            self._paused_to_s = now_s
            self.estimator.paused(now_s)
        self.estimator.looked(link, now_s)
        waits_s, before_bytes = self._oldest(unsent_ready_s, now_s)
        late = self.estimator.late(now_s, waits_s, before_bytes, link)
        self.queues = late or self.estimator.queue_s > FREE_S
        if passed_s < SOON_S or (passed_s < STEP_S and not late):
            return []
        self._step_s = now_s
        for channel in wishes:
            self._cameras.setdefault(channel, CameraState())
        if waits_s > GONE_S and self._silent_s(now_s) > GONE_S:
            return self.released([channel for channel, it in wishes.items() if channel in spooled and not it.passing])
        ages = {}
        beside_bps = 0.0  # what cameras send that pass on what they get
        for channel, camera in self._cameras.items():
            waiting = [unsent_ready_s[channel]] if channel in unsent_ready_s else []
            waiting += [self._since(first)] if (first := self._way.first(channel)) is not None else []
            ages[channel] = now_s - min(waiting) if waiting else 0.0
            camera.used(passed_s)
            if channel not in wishes:
                beside_bps += camera.used_bps
        if link.rate_bytes_s is not None:
            self._proven.delivers(link.rate_bytes_s * 8, now_s)
        proven_bps = self._proven.usual_bps(now_s, link.least_s, since_s=self.estimator.full_s)
        self.estimator.backfills = self._leaves and now_s - self._backfill_s < BACKFILLS_S
        self.estimator.step(
            now_s, waits_s or None, before_bytes, link, on_the_way_bytes=self._way.bytes, proven_bps=proven_bps
        )
        oldest_s = max(ages.values(), default=0.0)
        claims = [self._claim(channel, wish) for channel, wish in wishes.items()]
        payload = GENTLE_PAYLOAD if self.yields else PAYLOAD
        if self.thin and self.behind_pause(now_s):
            payload *= 1 - min(self.estimator.behind_s * BEHIND, BEHIND_MOST)
        may_bps = min(self.estimator.rate_bps * payload, self.limit_bps * LIMIT_PAYLOAD) - beside_bps
        self._limited = sum(wish.most_bps for wish in wishes.values()) + beside_bps > self.limit_bps * LIMIT_PAYLOAD
        least_of_backfill_bps = max(may_bps, 0.0) * BACKFILL_LEAST
        backfill_bps = least_of_backfill_bps if now_s - self._backfill_s < BACKFILLS_S else 0.0
        total_bps = max(may_bps - backfill_bps, LEAST_BPS)
        shares = share(total_bps, claims)
        full = now_s - self.estimator.full_s < FULL_S or link.queues or (self.thin and oldest_s > HOLD_S)
        self._fullness.look(
            min(passed_s, 1.0),
            link,
            full=full and now_s - self._heard_s < AWAY_S,
            stalled=now_s - self._stalled_to_s < FULL_S,
            waits=oldest_s > HOLD_S,
        )
        if any(wish.passing for wish in wishes.values()):
            self._pass_on(wishes, shares, claims, now_s)
            sure_bps = min(sum(claim.least_bps for claim in claims), self._proven.bps(now_s))
            shares = share(max(total_bps, sure_bps), claims)
        live_bps = sum(min(self._cameras[channel].used_bps, most) for channel, most in zip(wishes, shares, strict=True))
        left_bps = max((may_bps - live_bps) * BACKFILL_PART, least_of_backfill_bps)
        self._leaves = left_bps > least_of_backfill_bps
        self.left_bps = left_bps if self.thin else None
        news = []
        for (channel, wish), rate in zip(wishes.items(), shares, strict=True):
            camera = self._cameras[channel]
            beyond_s = ages[channel] - (self.estimator.base_s or 0.0)
            encoded = wish.passing is None or camera.passing.rung.encoded
            hold_s, go_s = (HOLD_S, GO_S) if encoded else (PASSING_HOLD_S, HOLD_S)
            if self.estimator.drains and encoded:
                hold_s = HOLD_LATE_S
            may_hold = channel not in spooled and (self.thin or not wish.passing)
            camera.hold = may_hold and beyond_s > (go_s if camera.hold else hold_s)
            if (order := camera.told(self._order(camera, wish, rate, now_s))) is not None:
                news.append((channel, order))
            if not late and not self.estimator.drains:
                camera.good = camera.order
        return news

    def _silent_s(self, now_s: float, first: InFlight | None = None) -> float:
        """For how long nothing was heard that should have been; 0 where `first`, or the oldest, may be just slow."""
        first = first or min(self._way.firsts(), key=self._since, default=None)
        if not self.estimator.heard:
            return 0.0
        if first is None:
            return now_s - self._heard_s
        silent_s = now_s - max(self._heard_s, first.taken_s)
        return silent_s if silent_s > 3 * first.bytes * 8 / self.estimator.rate_bps else 0.0

    def _oldest(self, unsent_ready_s: Mapping[int, float], now_s: float) -> tuple[float, int]:
        """For how long the oldest unit has waited for the link, and the bytes that explain it: its own, those on their
        way before it, and what others had in turn with it.
        """
        waiting_bytes, firsts = self._way.bytes, self._way.firsts()
        first = min(firsts, key=self._since, default=None)
        unsent_s = min(unsent_ready_s.values(), default=math.inf)
        if first is None or unsent_s < self._since(first):
            return max(now_s - max(unsent_s, self._paused_to_s), 0.0) if unsent_s < math.inf else 0.0, waiting_bytes
        before_bytes = min(first.ahead + first.bytes * len(firsts), waiting_bytes)
        return now_s - max(self._since(first), self._paused_to_s), before_bytes

    def _claim(self, channel: int, wish: Wish) -> Claim:
        used = self._cameras[channel].used_bps
        least = min(LEAST_BPS, wish.most_bps)
        if wish.passing:
            return Claim(wish.weight, least, wish.most_bps)
        return Claim(wish.weight, least, min(max(used * GROWTH, FIRST_BPS / 2, least), self._most_bps(wish)))

    def _most_bps(self, wish: Wish) -> float:
        """What a camera is told at most: encoders near the limit make less of it."""
        return wish.most_bps / (self.estimator.made if self.thin and wish.passing is None else 1.0)

    def _pass_on(self, wishes: Mapping[int, Wish], shares: list[float], claims: list[Claim], now_s: float) -> None:
        """Decide what cameras send that are not encoded, and leave the rest of their claims to the others."""
        needs = {channel: camera.used_bps for channel, camera in self._cameras.items()}
        for channel, wish in wishes.items():
            if wish.passing is not None:  # what it will use, where it has begun to just now
                needs[channel] = max(needs[channel], use_bps(self._cameras[channel].passing.rung, wish.passing))
        proven_bps = min(self._proven.bps(now_s) * PAYLOAD, self.limit_bps * LIMIT_PAYLOAD)
        full = self._limited or now_s - self.estimator.full_s < FULL_S
        thin = self._limited or self._fullness.thin
        for index, (channel, wish) in enumerate(wishes.items()):
            if wish.passing is None:
                continue
            ladder = self._cameras[channel].passing
            before, others_bps = ladder.rung, sum(needs.values()) - needs[channel]
            room_bps = proven_bps - others_bps
            may_bps = min(room_bps, wish.most_bps) if wish.capped else room_bps
            # Encoded anew nothing is lost for good, so that a share far too small has made much wait will do.
            sure = wish.capped or ("transcode" in wish.passing.steps and self._fullness.holds_up)
            rung = ladder.step(shares[index], may_bps, wish.passing, now_s, full=full or sure, thin=thin or sure)
            least = claims[index].least_bps
            most = max(min(use_bps(rung, wish.passing), wish.most_bps), least)
            needs[channel] = most
            claims[index] = claims[index]._replace(most_bps=most, least_bps=min(max(least, room_bps * SURE), most))
            if rung != before and not full:  # more may be tried than the estimator knows of
                least = need_bps(rung, wish.passing)
                self.estimator.rate_bps = max(self.estimator.rate_bps, others_bps + min(least, most))

    def _order(self, camera: CameraState, wish: Wish, rate_bps: float, now_s: float) -> Order:
        bitrate = max(round(min(rate_bps, self._most_bps(wish))), LEAST_ENCODED_BPS)
        rung = camera.passing.rung if wish.passing else PassingRung()
        if wish.passing and not rung.encoded:
            return Order(bitrate, hold=camera.hold, passing=rung)
        if not wish.width or not wish.height or not self.thin:
            return Order(bitrate, hold=camera.hold, keyframe_s=THIN_KEYFRAME_S if self.thin else 0.0, passing=rung)
        fps, width = pictures(camera.ladder, wish, rate_bps, now_s)
        lower = width > 0 or 0 < fps < LOWER * wish.fps
        keyframe_s = LOWER_KEYFRAME_S if lower else THIN_KEYFRAME_S
        return Order(bitrate, fps, width, camera.hold, keyframe_s, rung)
