"""A site on a modelled uplink, for the agent's rate control: encoders that make what they are told, a link of a given
capacity that serves in order, acknowledgements a round trip later. Time is simulated; the control is the real one.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from fishladder.edge.encode import SUDDEN
from fishladder.edge.link_state import LinkState
from fishladder.edge.rate.backfill import BackfillPace
from fishladder.edge.rate.control import RateControl
from fishladder.edge.rate.orders import Order, Wish
from fishladder.edge.schedule import backfill_fragment, fragment_size, unsent_bytes
from fishladder.edge.spool.spill import late_after_us

VBV_S = 0.12
#: How much larger a keyframe wants to be than the picture of a steady rate.
KEYFRAME_RATIO = 8.0
#: Of the rate it is told, what x264 makes with so short a buffer.
MADE = 0.9
_BACKFILL = -1  # in place of a channel
UPLOAD: Literal[0] = 0  # in place of a site
RISES_S = 5.0
#: Pictures of the old size that x264 still makes when told a lower rate, if it is not opened anew.
LAG = 3
#: TCP lets so much be on its way beyond what the link carries in a round trip, and sees a queue of this as one.
WINDOW_S, SEEN_S = 0.02, 0.06
TICK_S, CONTROL_TICKS = 0.005, 5
#: What TCP counts, and acknowledges by twos.
SEGMENT_BYTES = 2 * 1448
#: How TCP sees a queue, and none.
QUEUES = LinkState(rtt_us=200_000, min_rtt_us=20_000, notsent_bytes=0)
IDLE = LinkState(rtt_us=20_000, min_rtt_us=20_000, notsent_bytes=0)


@dataclass
class Unit:
    channel: int
    seq: int
    ready_s: float
    bytes: int
    logged_s: float = 0.0
    left: float = 0.0  # bytes of it before the bottleneck


@dataclass
class Camera:
    wish: Wish
    #: Bits a second its scene is worth; less than it may send, and it sends less.
    worth_bps: Callable[[float], float] = lambda now_s: 1e12
    order: Order = field(default_factory=lambda: Order(150_000))
    seq: int = 0
    shed: int = 0
    next_s: float = 0.0
    keyframe_s: float = 0.0
    thin_s: float = 0.0
    told: list[int] = field(default_factory=list)  # bit rates, as the encoder was told them with the last pictures
    units: list[Unit] = field(default_factory=list)

    def picture(self, now_s: float, rng: random.Random) -> int | None:
        """Bytes of the picture at this time; None if it is not made."""
        fps = min(self.order.fps or self.wish.fps, self.wish.fps)
        if self.order.hold:
            self.shed += 1
            return None
        if now_s < self.thin_s:
            return None
        self.thin_s = max(self.thin_s + 1 / fps, now_s - 1 / fps) if self.thin_s else now_s + 1 / fps
        rate = min(self._encoder_bps(now_s) * MADE, self.worth_bps(now_s))
        keyframe_s = self.order.keyframe_s or 2.0
        gop = max(fps * keyframe_s, 1.0)
        share = min(KEYFRAME_RATIO, max(fps * VBV_S, 1.0))
        size = rate / fps * gop / (gop - 1 + share)
        if now_s >= self.keyframe_s:
            self.keyframe_s = now_s + keyframe_s
            size *= share
        return max(round(size / 8 * rng.lognormvariate(0, 0.2)), 60)

    def _encoder_bps(self, now_s: float) -> int:
        """What the encoder goes by."""
        told = self.order.bitrate_bps
        if self.told and told < SUDDEN * self.told[-1]:
            self.told, self.keyframe_s = [], now_s  # another one is opened
        self.told = [*self.told[-LAG:], told]
        return max(self.told)


class Bottleneck:
    """A link of `capacity_bps(now)`; it serves whoever is on it in order of arrival."""

    def __init__(self, capacity_bps: Callable[[float], float]) -> None:
        self.capacity_bps = capacity_bps
        self._queue: deque[tuple[FluidSite | Literal[0], Unit]] = deque()

    def add(self, site: "FluidSite | Literal[0]", unit: Unit) -> None:
        unit.left = unit.bytes
        self._queue.append((site, unit))

    def holds(self, site: "FluidSite | Literal[0] | None" = None) -> float:
        """Bytes, of one or of all."""
        return sum(unit.left for whose, unit in self._queue if site in (None, whose))

    def sites(self) -> list["FluidSite"]:
        """Those that have something on it."""
        return list(dict.fromkeys(whose for whose, _ in self._queue if isinstance(whose, FluidSite)))

    def serve(self, now_s: float) -> None:
        capacity = self.capacity_bps(now_s)
        carried = capacity * TICK_S / 8
        while self._queue and carried > 0:
            site, unit = self._queue[0]
            part = min(carried, unit.left)
            unit.left -= part
            carried -= part
            if isinstance(site, FluidSite):
                site.passed(part, now_s)
            if unit.left <= 0:
                self._queue.popleft()
                if isinstance(site, FluidSite):
                    site.carried(unit, now_s - carried * 8 / max(capacity, 1.0))


class Lending(Bottleneck):
    """One that carries `lent_bps` while its bucket lasts, and fills that with what it is not asked for of `bps`."""

    def __init__(self, bps: float, bucket_bytes: float, lent_bps: float = 20e6) -> None:
        super().__init__(lambda _: self._now_bps)
        self._bps, self._bucket_bytes, self._lent_bps = bps, bucket_bytes, lent_bps
        self._left, self._now_bps = bucket_bytes, lent_bps

    def serve(self, now_s: float) -> None:
        self._left = min(self._left + self._bps * TICK_S / 8, self._bucket_bytes)
        self._now_bps = min(self._lent_bps, self._left * 8 / TICK_S)
        before = self.holds()
        super().serve(now_s)
        self._left -= before - self.holds()


@dataclass(frozen=True)
class Upload:
    """Somebody's long upload by ordinary TCP, which keeps so much of a queue from one time to another, and its part of
    the link. `falls`: by so much of the queue each `RISES_S`, as CUBIC's does after a loss.
    """

    begins_s: float
    ends_s: float
    queue_s: float
    part: float = 0.5
    falls: float = 0.0

    def tick(self, link: Bottleneck, now_s: float) -> None:
        if not self.begins_s <= now_s < self.ends_s:
            return
        capacity = link.capacity_bps(now_s) / 8
        queue_s = self.queue_s * (1 - self.falls * (1 - now_s % RISES_S / RISES_S))
        room = capacity * queue_s - link.holds()
        size = max(room, self.part * capacity * TICK_S if room > -0.1 * capacity else 0.0)
        if size > 0:
            link.add(UPLOAD, Unit(0, 0, now_s, math.ceil(size)))


class Cubic:
    """The same by CUBIC (RFC 9438), whose queue depends on what others leave it: a window of bytes on their way that
    grows until a buffer of `queue_s` is full, where it loses something. So do sites then, the surer the more of it is
    theirs: what they sent after that is there a round trip later.
    """

    _C, _BETA, _MSS = 0.4, 0.7, 1448

    def __init__(self, begins_s: float, ends_s: float, queue_s: float, *, rtt_s: float = 0.1, seed: int = 1) -> None:
        self._begins_s, self._ends_s, self._queue_s, self._rtt_s = begins_s, ends_s, queue_s, rtt_s
        self._window = 10.0 * self._MSS
        self._lost: tuple[float, float] | None = None  # when, and what the window was
        self._held, self._passed = 0.0, deque[tuple[float, float]]()  # bytes
        self._rng = random.Random(seed)

    def tick(self, link: Bottleneck, now_s: float) -> None:
        if not self._begins_s <= now_s < self._ends_s:
            return
        self._passed.append((now_s, self._held - link.holds(UPLOAD)))
        while self._passed[0][0] < now_s - self._rtt_s:
            self._passed.popleft()
        queue_s = link.holds() * 8 / link.capacity_bps(now_s)
        round_s = self._rtt_s + queue_s
        if queue_s > self._queue_s and (self._lost is None or now_s > self._lost[0] + round_s):
            self._lost, self._window = (now_s, self._window), self._window * self._BETA
            for site in link.sites():
                if self._rng.random() < 8 * link.holds(site) / link.holds():
                    site.holds_up(now_s + round_s)
        self._window = self._grown(now_s, round_s)
        on_the_way = link.holds(UPLOAD) + sum(size for _, size in self._passed)
        if (size := int((self._window - on_the_way) // self._MSS) * self._MSS) > 0:
            link.add(UPLOAD, Unit(0, 0, now_s, size))
        self._held = link.holds(UPLOAD)

    def _grown(self, now_s: float, round_s: float) -> float:
        if self._lost is None:
            return self._window * math.exp2(TICK_S / round_s)
        at_s, most = self._lost[0], self._lost[1] / self._MSS
        back_s = math.cbrt(most * (1 - self._BETA) / self._C)
        target = (self._C * (now_s - at_s - back_s) ** 3 + most) * self._MSS
        return max(self._window, min(target, self._window * (1 + 0.5 * TICK_S / round_s)))


def run(sites: Sequence["FluidSite"], seconds: float, upload: Upload | Cubic | None = None) -> None:
    """All of them, which share one link."""
    until_s = sites[0].now_s + seconds
    while sites[0].now_s < until_s:
        for site in sites:
            site.tick()
        if upload is not None:
            upload.tick(sites[0].link, sites[0].now_s)
        sites[0].link.serve(sites[0].now_s)


class FluidSite:
    """`link` is its own, or one shared with others, or the capacity of one of its own; `noise_s` is added at random to
    each acknowledgement (a busy host), and from one time to another of `silent` there is none (a store stands still):
    they all come at the end; without `tcp_says` they alone tell of a queue; `paused`: TCP says that it pauses.
    `backfill`: there is something to drain; at `ends_s` cameras end.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        link: Bottleneck | Callable[[float], float],
        *,
        rtt_s: float = 0.02,
        noise_s: float = 0.004,
        seed: int = 1,
        spooled: bool = True,
        begins_s: float = 0.0,
        ends_s: float = math.inf,
        tcp_says: bool = True,
        backfill: Callable[[float], bool] = lambda now_s: False,
        silent: Sequence[tuple[float, float]] = (),
        paused: Callable[[float], bool] = lambda now_s: False,
    ) -> None:
        self.cameras = cameras
        self.control = RateControl(len(cameras))
        self.now_s = 0.0
        self.units: list[Unit] = []
        self.rates: list[tuple[float, float]] = []
        self.link = link if isinstance(link, Bottleneck) else Bottleneck(link)
        self.backfilled: list[tuple[float, int]] = []  # when handed over, bytes
        self._begins_s = begins_s
        self._ends_s = ends_s
        self._tcp_says = tcp_says
        self._backfill = backfill
        self._pace = BackfillPace()
        self._rtt_s = rtt_s
        self._spooled = range(len(cameras)) if spooled else range(0)
        self._noise_s = noise_s
        self._silent = silent
        self._paused = paused
        self._rng = random.Random(seed)
        self.spilled = 0
        self.fewer = 0  # orders for fewer or smaller pictures
        self._queue: list[Unit] = []  # ready, not begun
        self._acks: list[tuple[float, int, int]] = []
        self._delivered: deque[tuple[float, float]] = deque([(0.0, 0.0)])  # when TCP hears of it, bytes in all
        self._held_up_s = 0.0  # nothing is there before that
        self._heard: deque[tuple[float, float]] = deque()  # when TCP looked, bytes in all by then
        self._delivers = 0.0  # bytes a second
        self._tells: float | None = None  # which Linux keeps until it knows better
        self._least_us = 1 << 40  # of round trips

    def run(self, seconds: float) -> None:
        run([self], seconds)

    def tick(self) -> None:
        self.now_s += TICK_S
        if self.now_s < self._begins_s:
            return
        for channel, camera in enumerate(self.cameras):
            camera.next_s = max(camera.next_s, self._begins_s)
            while camera.next_s <= min(self.now_s, self._ends_s):
                camera.next_s += 1 / camera.wish.fps
                size = camera.picture(self.now_s, self._rng)
                if size is not None:
                    camera.seq += 1
                    unit = Unit(channel, camera.seq, self.now_s, size)
                    camera.units.append(unit)
                    self.units.append(unit)
                    self._queue.append(unit)
        self._spill()
        self._send()
        while self._acks and self._acks[0][0] <= self.now_s:
            _, channel, seq = heapq.heappop(self._acks)
            self.control.logged(channel, seq, self.now_s)
        if round(self.now_s / TICK_S) % CONTROL_TICKS == 0:
            self._control()

    def _control(self) -> None:
        waiting: dict[int, float] = {}
        for unit in self._queue:
            waiting.setdefault(unit.channel, unit.ready_s)
        wishes = {channel: camera.wish for channel, camera in enumerate(self.cameras)}
        seen = self._tcp_says and self.link.holds() * 8 > SEEN_S * max(self.link.capacity_bps(self.now_s), 1.0)
        link = replace(self._tcp(seen), paused=self._paused(self.now_s))
        for channel, order in self.control.step(wishes, waiting, self.now_s, spooled=self._spooled, link=link):
            self.cameras[channel].order = order
            self.fewer += bool(order.fps or order.width or order.hold)
        alone = self.now_s > self._ends_s
        self._pace.measured(self.control.left_bps, self.now_s, queues=self.control.queues or seen, alone=alone)
        self.rates.append((self.now_s, self.control.estimator.rate_bps))

    def _tcp(self, seen: bool) -> LinkState:
        if not self._tcp_says:
            return LinkState()
        while len(self._delivered) > 1 and self._delivered[1][0] <= self.now_s:
            self._delivered.popleft()
        in_flight = self.link.holds(self) > 0 or len(self._delivered) > 1
        empty_us, carries = round(self._rtt_s * 1e6), self.link.capacity_bps(self.now_s) / 8
        queue_us = round(self.link.holds() * 1e6 / max(carries, 1.0))
        rtt_us = empty_us + (max(queue_us, 60_000) if seen else min(queue_us, 40_000))
        self._least_us = min(self._least_us, rtt_us)
        link = LinkState(rtt_us=rtt_us, min_rtt_us=self._least_us)
        if seen:
            shared = self.link.holds(UPLOAD) > 0
            self._tells = self._share(rtt_us / 1e6) if shared else carries
            link = replace(link, notsent_bytes=0)
        link = replace(link, rate_bytes_s=self._tells)
        segments, recovers = self._delivered[0][1] // SEGMENT_BYTES, self.now_s < self._held_up_s
        return replace(link, delivered_bytes=int(segments) * SEGMENT_BYTES, in_flight=in_flight, recovers=recovers)

    def _share(self, round_s: float) -> float:
        """What TCP delivers of a link that is others' too, in bytes a second: as much as in the last round trip, or as
        it did at best where it is given no more.
        """
        self._heard.append((self.now_s, self._delivered[0][1]))
        while len(self._heard) > 2 and self._heard[1][0] < self.now_s - round_s:
            self._heard.popleft()
        came = (self._heard[-1][1] - self._heard[0][1]) / max(self.now_s - self._heard[0][0], round_s)
        self._delivers = came if self._queue else max(came, self._delivers)
        return self._delivers

    def passed(self, size: float, now_s: float) -> None:
        """So many bytes went over the link, of which TCP hears half a round trip later."""
        self._delivered.append((now_s + self._rtt_s / 2, self._delivered[-1][1] + size))

    def _spill(self) -> None:
        """What has waited too long goes another way, and the camera goes on with a keyframe."""
        if not self.control.thin or not self._spooled:
            return
        late_s = late_after_us(hurries=self.control.hurries, paused=self.control.behind_pause(self.now_s)) / 1e6
        late = {unit.channel for unit in self._queue if self.now_s - unit.ready_s > late_s}
        for channel in late:
            self.cameras[channel].keyframe_s = 0.0
            self.spilled += sum(unit.channel == channel for unit in self._queue)
        self._queue = [unit for unit in self._queue if unit.channel not in late]

    def _send(self) -> None:
        """Hand on what TCP takes."""
        rate_bps = self.control.estimator.rate_bps
        upload_s = self.link.holds(UPLOAD) * 8 / max(self.link.capacity_bps(self.now_s), 1.0)
        room = rate_bps / 8 * (self._rtt_s + upload_s + WINDOW_S) + unsent_bytes(rate_bps)
        adapts = self._spooled and self.control.thin and not any(camera.wish.passing for camera in self.cameras)
        held_back = adapts and self.control.holds_back(self.now_s)
        while self._queue and not held_back and self.link.holds(self) < room and self.link.capacity_bps(self.now_s) > 0:
            unit = self._queue.pop(0)
            self.link.add(self, unit)
            self.control.taken(unit.channel, unit.seq, unit.bytes, unit.ready_s, self.now_s)
        while not self._queue and self._backfill(self.now_s) and not self._pace.wait_s(self.now_s):
            if self.link.holds(self) >= room:
                break
            size = backfill_fragment(fragment_size(rate_bps / 8))
            self.link.add(self, Unit(_BACKFILL, 0, self.now_s, size))
            self._pace.sent(size)
            self.control.backfilled(size, self.now_s)
            self.backfilled.append((self.now_s, size))

    def holds_up(self, until_s: float) -> None:
        """A packet was lost: what is on its way, and what comes after it, is there when that has come again."""
        self._held_up_s = until_s

    def carried(self, unit: Unit, at_s: float) -> None:
        """The bottleneck has sent the last byte of it."""
        if unit.channel == _BACKFILL:
            return
        unit.logged_s = max(at_s, self._held_up_s) + self._rtt_s / 2
        heard_s = unit.logged_s + self._rtt_s / 2 + self._rng.uniform(0, self._noise_s)
        heard_s = max([heard_s, *(until_s for since_s, until_s in self._silent if since_s <= heard_s < until_s)])
        heapq.heappush(self._acks, (heard_s, unit.channel, unit.seq))

    # -- what is asked of a run

    def used(self, since_s: float, until_s: float, channel: int | None = None) -> float:
        """Bits a second that reached the gateway."""
        came = sum(
            unit.bytes for unit in self.units if since_s <= unit.logged_s < until_s and channel in (None, unit.channel)
        )
        return came * 8 / (until_s - since_s)

    def ages_ms(self, since_s: float, until_s: float) -> list[float]:
        """From ready to the gateway, above the way of an empty link."""
        return sorted(
            (unit.logged_s - unit.ready_s - self._rtt_s / 2) * 1000
            for unit in self.units
            if since_s <= unit.ready_s < until_s and unit.logged_s
        )


def at(values: list[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)]
