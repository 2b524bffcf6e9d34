"""A site on a modelled uplink, for the agent's rate control: encoders that make what they are told, a link of a given
capacity that serves in order, acknowledgements a round trip later. Time is simulated; the control is the real one.
"""

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fishladder.edge.rate.control import Order, RateControl, Wish
from fishladder.edge.spool.spill import LATE_US

VBV_S = 0.12
#: How much larger a keyframe wants to be than the picture of a steady rate.
KEYFRAME_RATIO = 8.0
SPILL_S = LATE_US / 1e6


@dataclass
class Unit:
    channel: int
    seq: int
    ready_s: float
    bytes: int
    logged_s: float = 0.0


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
        rate = min(self.order.bitrate_bps, self.worth_bps(now_s))
        keyframe_s = self.order.keyframe_s or 2.0
        gop = max(fps * keyframe_s, 1.0)
        share = min(KEYFRAME_RATIO, max(fps * VBV_S, 1.0))
        size = rate / fps * gop / (gop - 1 + share)
        if now_s >= self.keyframe_s:
            self.keyframe_s = now_s + keyframe_s
            size *= share
        return max(round(size / 8 * rng.lognormvariate(0, 0.2)), 60)


class FluidSite:
    """`capacity_bps(now)` of the link; `noise_s` is added at random to each acknowledgement (a busy host), and from one
    time to another of `silent` there is none (a store stands still): they all come at the end.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        capacity_bps: Callable[[float], float],
        *,
        rtt_s: float = 0.02,
        noise_s: float = 0.004,
        seed: int = 1,
        spooled: bool = True,
        silent: Sequence[tuple[float, float]] = (),
    ) -> None:
        self.cameras = cameras
        self.control = RateControl(len(cameras))
        self.now_s = 0.0
        self.units: list[Unit] = []
        self.rates: list[tuple[float, float]] = []
        self._capacity = capacity_bps
        self._rtt_s = rtt_s
        self._spooled = range(len(cameras)) if spooled else range(0)
        self._noise_s = noise_s
        self._silent = silent
        self._rng = random.Random(seed)
        self._free_s = 0.0
        self.spilled = 0
        self.fewer = 0  # orders for fewer or smaller pictures
        self._queue: list[Unit] = []  # ready, not begun
        self._acks: list[tuple[float, int, int]] = []

    def run(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += 0.005
            for channel, camera in enumerate(self.cameras):
                while camera.next_s <= self.now_s:
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
            waiting: dict[int, float] = {}
            for unit in self._queue:
                waiting.setdefault(unit.channel, unit.ready_s)
            wishes = {channel: camera.wish for channel, camera in enumerate(self.cameras)}
            for channel, order in self.control.step(wishes, waiting, self.now_s, spooled=self._spooled):
                self.cameras[channel].order = order
                self.fewer += bool(order.fps or order.width or order.hold)
            self.rates.append((self.now_s, self.control.estimator.rate_bps))

    def _spill(self) -> None:
        """What has waited too long goes another way, and the camera goes on with a keyframe."""
        if not self.control.thin or not self._spooled:
            return
        late = {unit.channel for unit in self._queue if self.now_s - unit.ready_s > SPILL_S}
        for channel in late:
            self.cameras[channel].keyframe_s = 0.0
            self.spilled += sum(unit.channel == channel for unit in self._queue)
        self._queue = [unit for unit in self._queue if unit.channel not in late]

    def _send(self) -> None:
        """Hand on what the link has room for: it holds what it sends in 50 ms."""
        while self._queue and self._free_s - self.now_s < 0.05:
            unit = self._queue.pop(0)
            capacity = self._capacity(self.now_s)
            if capacity <= 0:
                self._queue.insert(0, unit)
                return
            self.control.taken(unit.channel, unit.seq, unit.bytes, unit.ready_s, self.now_s)
            self._free_s = max(self._free_s, self.now_s) + unit.bytes * 8 / capacity
            unit.logged_s = self._free_s + self._rtt_s / 2
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
