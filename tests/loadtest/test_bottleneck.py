"""The queue and the line of a direction, packet by packet, against what anyone can work out by hand."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.links import link

from fishladder.loadtest.links.bottleneck import Bottleneck
from fishladder.loadtest.links.impairments import LossProcess, jitter_ms, loss_schedule
from fishladder.loadtest.links.link import Jitter, Loss
from fishladder.loadtest.links.medium import Medium
from fishladder.loadtest.links.timeline import Timeline


def queue(up: str, rest: str = "", seed: str = "1") -> Bottleneck:
    return Bottleneck(Timeline(link(up, rest=rest), "up"), seed)


def medium(up: str, rest: str = "") -> Medium:
    return Medium(Timeline(link(up, rest=rest), "up"), "1")


def test_a_full_queue_delays_by_its_length() -> None:
    it = queue("rate_mbps = 12\nqueue_ms = 100")  # 150 000 bytes: 100 packets of 1 ms each
    waits = [departs for _ in range(101) if (departs := it.offer(0.0, 1500)) is not None]
    assert len(waits) == 100
    assert waits[-1] == pytest.approx(100)
    assert it.offer(1.0, 1500) == pytest.approx(101)  # one has left


def test_a_bucket_lets_a_burst_pass_and_then_holds_the_rate() -> None:
    it = queue("rate_mbps = 12\nqueue_ms = 100\nbucket_bytes = 4500")
    assert [it.offer(0.0, 1500) for _ in range(5)] == pytest.approx([0, 0, 0, 1, 2])
    assert it.offer(100.0, 1500) == 100.0  # full again


def test_a_bucket_fills_at_the_rate_of_that_time() -> None:
    change = '[[schedule]]\nat_s = 0.004\ndirection = "up"\nrate_mbps = 1'
    it = queue("rate_mbps = 8\nqueue_ms = 100\nbucket_bytes = 5000", change)
    assert it.offer(0.0, 5000) == 0.0
    assert it.offer(4.0, 4000) == 4.0  # filled before the change
    assert it.offer(4.0, 125) == pytest.approx(5.0)


def test_a_change_of_rate_holds_for_what_waits() -> None:
    it = queue("rate_mbps = 12\nqueue_ms = 100", '[[schedule]]\nat_s = 0.01\ndirection = "up"\nrate_mbps = 1.2')
    departs = [it.offer(0.0, 1500) for _ in range(12)]
    assert departs[9] == pytest.approx(10)
    assert departs[10:] == pytest.approx([20, 30])


def test_a_trace_carries_1500_bytes_at_a_time_and_begins_again() -> None:
    it = queue("rate_mbps = 1\nqueue_ms = 1000\ntrace = { sigma = 0 }")  # 1 Mbit/s: one opportunity in 12 ms
    departs = [it.offer(0.0, 1500) for _ in range(10)]
    gaps = [later - earlier for earlier, later in pairwise(t for t in departs if t is not None)]
    assert sum(gaps) / len(gaps) == pytest.approx(12, abs=0.5)
    far = it.offer(1_000_003.0, 100)
    assert far is not None
    assert 1_000_003 <= far <= 1_000_016


def test_pie_holds_the_delay_near_its_target() -> None:
    it = queue('rate_mbps = 10\nqueue_ms = 500\ndiscipline = "pie"')
    waits = []
    for index in range(30_000):  # 30 s at 1.2 times the rate
        now_ms = index * 1.0
        departs = it.offer(now_ms, 1500)
        if departs is not None and now_ms > 15_000:
            waits.append(departs - now_ms)
    assert 2 < sum(waits) / len(waits) < 40


def standing(it: Bottleneck, from_ms: float, until_ms: float, queue_ms: float) -> list[float]:
    """Packets of 1500 bytes, 1 ms each at 12 Mbit/s, so that the queue stays about that long; when one was dropped."""
    now_ms, dropped, leaves_ms = from_ms, [], from_ms
    while now_ms < until_ms:
        while leaves_ms < now_ms + queue_ms:
            departs_ms = it.offer(now_ms, 1500)
            if departs_ms is None:
                dropped.append(now_ms)
                break
            leaves_ms = departs_ms
        now_ms += 0.5
    return dropped


def test_pie_leaves_a_queue_alone_that_never_filled_a_third_of_its_buffer() -> None:
    """RFC 8034 has that of cable modems, RFC 8033 has not; a sender that never fills more meets no early drop."""
    up = 'rate_mbps = 12\nqueue_ms = 90\ndiscipline = "pie"'
    assert not standing(queue(up), 0, 20_000, 28)  # three times the target
    assert standing(queue(up), 0, 20_000, 32)


def test_pie_grants_a_burst_after_its_first_drop_and_sleeps_after_a_calm_second() -> None:
    it = queue('rate_mbps = 12\nqueue_ms = 90\ndiscipline = "pie"')
    first, second, *_ = standing(it, 0, 5_000, 32)
    assert second - first >= 142
    calm_ms = 20_000  # the probability fades, and then a second is counted
    assert not standing(it, 5_000 + calm_ms, 10_000 + calm_ms, 28)
    assert standing(it, 10_000 + calm_ms, 20_000 + calm_ms, 32)
    restless = queue('rate_mbps = 12\nqueue_ms = 90\ndiscipline = "pie"')
    standing(restless, 0, 5_000, 32)
    assert standing(restless, 5_500, 15_000, 28)  # awake still


def test_grants_hold_until_the_next_cycle() -> None:
    it = medium("rate_mbps = 10\nqueue_ms = 100\ngrant_ms = 2\ndelay_ms = 5")
    assert [it.cross(at) for at in (0.1, 1.9, 2.0, 2.1)] == [7, 7, 7, 9]


def test_nothing_arrives_in_an_outage() -> None:
    it = medium("rate_mbps = 10\nqueue_ms = 100\ndelay_ms = 5", "[[schedule]]\nat_s = 1\noutage_s = 2")
    assert [it.cross(at) for at in (999.0, 1000.0, 2999.0, 3000.0)] == [1004, None, None, 3005]


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(40, 1500)), max_size=60), st.integers(2000, 20_000))
def test_first_in_first_out_within_its_bounds(arrivals: list[tuple[float, int]], queue_bytes: int) -> None:
    it = queue(f"rate_mbps = 2\nqueue_bytes = {queue_bytes}")
    now_ms, last_ms, accepted = 0.0, 0.0, 0
    for gap_ms, size in arrivals:
        now_ms += gap_ms
        departs_ms = it.offer(now_ms, size)
        if departs_ms is None:
            continue
        accepted += size
        assert departs_ms >= max(last_ms, now_ms + size * 8 / 2000) - 1e-6
        assert departs_ms - now_ms <= queue_bytes * 8 / 2000 + 1e-6
        last_ms = departs_ms
    assert last_ms >= accepted * 8 / 2000 - 1e-6


@given(st.lists(st.floats(0, 30), max_size=80), st.sampled_from(["normal", "uniform", "steps"]))
def test_order_is_kept_and_delay_stays_in_bounds(gaps: list[float], kind: str) -> None:
    it = medium(f'rate_mbps = 10\nqueue_ms = 100\ndelay_ms = 8\njitter = {{ kind = "{kind}", ms = 5, period_ms = 10 }}')
    now_ms = last_ms = 0.0
    for gap_ms in gaps:
        now_ms += gap_ms
        arrives_ms = it.cross(now_ms)
        assert arrives_ms is not None
        assert arrives_ms >= last_ms
        assert 0 <= arrives_ms - now_ms <= 8 + 15 + 10
        last_ms = arrives_ms


@pytest.mark.parametrize("burst", [1.0, 4.0])
def test_losses_have_their_rate_and_bursts_and_follow_the_seed(burst: float) -> None:
    lost = loss_schedule(Loss(0.05, burst), "seed", 40_000)
    assert len(lost) / 40_000 == pytest.approx(0.05, rel=0.2)
    runs = 1 + sum(later != earlier + 1 for earlier, later in pairwise(lost))
    assert len(lost) / runs == pytest.approx(burst, rel=0.2)
    assert lost == loss_schedule(Loss(0.05, burst), "seed", 40_000)
    assert lost != loss_schedule(Loss(0.05, burst), "other", 40_000)
    process = LossProcess(burst, "seed")
    assert not any(process.next(0.0) for _ in range(1000))


def test_jitter_has_its_spread() -> None:
    normal = [jitter_ms(Jitter("normal", 3), "seed", slot) for slot in range(3000)]
    assert sum(normal) / 3000 == pytest.approx(0, abs=0.3)
    assert math.sqrt(sum(x * x for x in normal) / 3000) == pytest.approx(3, rel=0.1)
    assert max(map(abs, normal)) <= 9
    uniform = [jitter_ms(Jitter("uniform", 4), "seed", slot) for slot in range(3000)]
    assert 0 <= min(uniform) < 0.1
    assert 3.9 < max(uniform) <= 4
