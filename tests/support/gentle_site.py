"""A site on a modelled uplink that yields, beside a flow of small packets like a phone call's: pieces paced by what the
control allows, a first-in-first-out queue, and what the packets of the other flow wait in it. Time is simulated; the
control and the pacer are the real ones.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from support.fluid_site import Camera

from fishladder.edge.limits.pacer import Pacer
from fishladder.edge.rate.control import RateControl
from fishladder.edge.schedule import fragment_size

TICK_S = 0.001
VOICE_S, VOICE_BYTES = 0.02, 200
HEADERS_BYTES = 82


@dataclass
class _Unit:
    channel: int
    seq: int
    bytes: int
    ready_s: float
    left: int


class GentleSite:
    """`capacity_bps(now)` of the link; `beside_bps(now)` is what a third flow puts on it."""

    def __init__(
        self,
        cameras: list[Camera],
        capacity_bps: Callable[[float], float],
        *,
        yields: bool = True,
        beside_bps: Callable[[float], float] = lambda now_s: 0.0,
        rtt_s: float = 0.02,
        noise_s: float = 0.004,
        seed: int = 1,
    ) -> None:
        self.cameras = cameras
        self.control = RateControl(len(cameras))
        self.control.yields = yields
        self.now_s = 0.0
        self.voice_ms: list[tuple[float, float]] = []
        self.came: list[tuple[float, int]] = []
        self._pacer = Pacer()
        self._capacity, self._beside, self._rtt_s, self._noise_s = capacity_bps, beside_bps, rtt_s, noise_s
        self._rng = random.Random(seed)
        self._units: deque[_Unit] = deque()
        self._backlog_bits = 0.0
        self._acks: list[tuple[float, int, int]] = []
        self._steps = 0

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.now_s += TICK_S
            self._steps += 1
            self._backlog_bits = max(self._backlog_bits - self._capacity(self.now_s) * TICK_S, 0.0)
            self._backlog_bits += self._beside(self.now_s) * TICK_S
            if self._steps % round(VOICE_S / TICK_S) == 0:
                self.voice_ms.append((self.now_s, 1000 * self._backlog_bits / self._capacity(self.now_s)))
                self._backlog_bits += VOICE_BYTES * 8
            self._capture()
            self._send()
            while self._acks and self._acks[0][0] <= self.now_s:
                _, channel, seq = heapq.heappop(self._acks)
                self.control.logged(channel, seq, self.now_s)
            if self._steps % 50 == 0:
                self._steer()

    def _capture(self) -> None:
        for channel, camera in enumerate(self.cameras):
            if camera.next_s <= self.now_s:
                camera.next_s += 1 / camera.wish.fps
                if (size := camera.picture(self.now_s, self._rng)) is not None:
                    camera.seq += 1
                    self._units.append(_Unit(channel, camera.seq, size, self.now_s, size))

    def _send(self) -> None:
        gentle = self.control.yields
        piece = fragment_size(self.control.estimator.rate_bps / 8, gentle=gentle)
        while self._units and self._pacer.wait_s(self.now_s) == 0:
            unit = self._units[0]
            if unit.left == unit.bytes:
                self.control.taken(unit.channel, unit.seq, unit.bytes, unit.ready_s, self.now_s)
            self.control.handed(unit.channel, self.now_s)
            size = min(piece, unit.left)
            unit.left -= size
            self._pacer.sent(size + HEADERS_BYTES)
            self._backlog_bits += (size + HEADERS_BYTES) * 8
            if not unit.left:
                self._units.popleft()
                there_s = self.now_s + self._backlog_bits / self._capacity(self.now_s) + self._rtt_s / 2
                self.came.append((there_s, unit.bytes))
                heard_s = there_s + self._rtt_s / 2 + self._rng.uniform(0, self._noise_s)
                heapq.heappush(self._acks, (heard_s, unit.channel, unit.seq))

    def _steer(self) -> None:
        if self.control.yields:
            self._pacer.set(self.control.estimator.rate_bps, gentle=True, now_s=self.now_s)
        wishes = {channel: camera.wish for channel, camera in enumerate(self.cameras)}
        for channel, order in self.control.step(wishes, {}, self.now_s, spooled=wishes):
            self.cameras[channel].order = order

    def voice(self, since_s: float, share: float) -> float:
        """What that share of the packets waited at most, ms."""
        waits = sorted(ms for at_s, ms in self.voice_ms if at_s >= since_s)
        return waits[min(int(len(waits) * share), len(waits) - 1)]

    def used_bps(self, since_s: float) -> float:
        return sum(size for at_s, size in self.came if since_s <= at_s < self.now_s) * 8 / (self.now_s - since_s)
