"""What a sender is told at most, over a modelled link: pictures in packets, a bottleneck, another host's clock, and a
sender that always wants more than the link carries, as browsers do until they see it full.
"""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from fishladder.gateway.webrtc.ceiling import FIRST_HOLD_S, MOST_HOLD_S, PART, Ceiling

PACKET_BYTES = 1200
FPS = 15
#: Far from ours, and about to wrap.
SENDER_S = 60.0


class Sender:
    """Sends what it is told, or what it wants, over a link of `capacity_bps`, paced as browsers do it."""

    def __init__(self, capacity_bps: float, wants_bps: float, *, jitter_s: float = 0.002, seed: int = 1) -> None:
        self.capacity_bps, self.wants_bps, self.jitter_s = capacity_bps, wants_bps, jitter_s
        self.ceiling = Ceiling()
        self.stands: Callable[[float], bool] = lambda now: False  # our host
        self.others_wait_s: Callable[[float], float] = lambda now: 0.0  # another's traffic fills the queue
        self.now = 0.0
        self.queued_s: list[float] = []
        self.told: list[tuple[float, float | None]] = []
        self._free_at = self._arrived = 0.0
        self._came = 0
        self._random = random.Random(seed)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            bps = min(self.wants_bps, self.ceiling.bps or self.wants_bps)
            left = bps / FPS / 8 * self._random.lognormvariate(0, 0.15)
            at, first = self.now, True
            while left > 0:
                size = min(PACKET_BYTES, int(left) + 40)
                left -= size
                self._send(size, at, first)
                at += size * 8 / (1.4 * bps)
                first = False
            self.now += 1 / FPS

    def _send(self, size: int, at: float, first: bool) -> None:
        self.queued_s.append(max(self._free_at - at, 0.0))
        self._free_at = max(self._free_at, at) + size * 8 / self.capacity_bps
        jitter_s = self._random.uniform(0, self.jitter_s) + self.others_wait_s(at)
        arrives = max(self._free_at + 0.03 + jitter_s, self._arrived)
        while self.stands(arrives):
            arrives += 0.01
        self._arrived = arrives
        if first and self.ceiling.picture(self._came, int((at + SENDER_S) * (1 << 18)) & 0xFFFFFF, arrives + 1000):
            self.told.append((at, self.ceiling.bps))
        self._came += size


@pytest.mark.parametrize("capacity_bps", [250_000, 1_000_000, 4_000_000])
def test_what_queues_on_a_thin_link_is_told_of_less_than_it_carries(capacity_bps: float) -> None:
    it = Sender(capacity_bps, 1.3 * capacity_bps)
    it.run(2)
    assert it.ceiling.bps is not None
    assert 0.9 * PART < it.ceiling.bps / capacity_bps < 1.05 * PART
    it.queued_s.clear()
    it.run(120)
    assert sorted(it.queued_s)[int(len(it.queued_s) * 0.95)] < 0.06
    bounds = [bps for at, bps in it.told if at > 10]
    assert None not in bounds


@pytest.mark.parametrize("jitter_s", [0.002, 0.03, 0.06])
def test_where_nothing_queues_there_is_no_ceiling(jitter_s: float) -> None:
    it = Sender(20e6, 2.5e6, jitter_s=jitter_s)
    it.run(180)
    assert it.told == []


def test_a_host_that_stood_still_says_nothing_of_the_link() -> None:
    it = Sender(20e6, 2.5e6)
    it.stands = lambda now: now % 10 < 0.6
    it.run(60)
    assert it.told == []


def test_a_link_that_has_become_faster_is_found_to_be_and_a_thin_one_is_tried_less_and_less() -> None:
    it = Sender(1e6, 1.3e6)
    it.run(300)
    raised = [at for (_, before), (at, bps) in pairwise(it.told) if bps and before and bps > before]
    pauses = [later - earlier for earlier, later in pairwise(raised)]
    assert max(pauses) > 0.9 * MOST_HOLD_S
    assert len([pause for pause in pauses if pause > FIRST_HOLD_S]) < 7
    it.capacity_bps, it.wants_bps = 20e6, 2.5e6
    it.run(MOST_HOLD_S + 20)
    assert it.ceiling.bps is None


def test_a_sender_that_did_not_send_more_when_it_might_have_tells_nothing_of_the_link() -> None:
    it = Sender(1e6, 1.3e6)
    it.run(5)
    it.wants_bps = 700_000
    it.run(100)
    assert it.ceiling.bps is not None
    it.wants_bps = 1.3e6
    it.queued_s.clear()
    it.run(60)
    assert sorted(it.queued_s)[int(len(it.queued_s) * 0.95)] < 0.06


def test_a_host_that_pauses_time_and_again_does_not_lower_a_ceiling() -> None:
    it = Sender(1e6, 1.3e6)
    it.run(5)
    rng = random.Random(3)
    pauses = [rng.uniform(5, 120) for _ in range(60)]
    it.others_wait_s = lambda now: max((0.12 for at in pauses if at < now < at + 0.5), default=0.0)
    it.run(120)
    assert min(bps for _, bps in it.told if bps) > 0.75 * 1e6


def test_a_link_that_has_become_thinner_is_followed_at_once() -> None:
    it = Sender(1e6, 1.3e6)
    it.run(5)
    it.capacity_bps = 400_000
    it.run(2)
    assert it.ceiling.bps is not None
    assert it.ceiling.bps < 400_000


def test_where_anothers_traffic_keeps_the_queue_full_the_sender_is_not_told_of_ever_less() -> None:
    it = Sender(20e6, 1.3e6)
    it.others_wait_s = lambda now: 0.2 if now > 5 else 0.0
    it.run(200)
    assert min(bps for _, bps in it.told if bps) > 0.6 * 1.3e6
    assert it.ceiling.bps is None, "it makes no difference, so it was let go"
