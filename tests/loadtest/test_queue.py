"""What no queue may do, whatever comes: lose account, reorder, serve faster than its rate, hold more than its limit."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.loadtest.model.capacity import Capacity, ConstantRate, Steps, Trace
from fishladder.loadtest.model.pie import Pie
from fishladder.loadtest.model.queue import Queue, departures

packets = st.lists(st.tuples(st.integers(0, 20_000), st.integers(40, 1500)), min_size=1, max_size=120).map(sorted)
capacities = st.sampled_from(
    [
        ConstantRate(1e6),
        ConstantRate(8e6),
        Steps(np.array([0.0, 4000.0, 9000.0]), np.array([2e6, 0.0, 8e6])),
        Trace(np.array([0, 1, 1, 3, 7, 7])),
    ]
)
limits = st.sampled_from([1500, 6000, 10**9])
buckets = st.sampled_from([0, 1500, 5000])


def arrays(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row[0] for row in rows], float), np.array([row[1] for row in rows], np.int64)


@given(packets, capacities, limits, buckets)
def test_all_at_once_is_what_one_by_one_gives(
    rows: list[tuple[int, int]], capacity: Capacity, limit: int, bucket: int
) -> None:
    at_us, size = arrays(rows)
    queue = Queue(capacity, limit, bucket_bytes=bucket)
    expected = [queue.offer(at, int(length)) for at, length in zip(at_us, size, strict=True)]
    got = departures(capacity, at_us, size, limit, bucket_bytes=bucket)
    np.testing.assert_allclose(got, expected, atol=1e-6)


@given(packets, capacities, limits, buckets)
def test_order_rate_limit_and_account_hold(
    rows: list[tuple[int, int]], capacity: Capacity, limit: int, bucket: int
) -> None:
    at_us, size = arrays(rows)
    queue = Queue(capacity, limit, bucket_bytes=bucket)
    leave_us = np.array([queue.offer(at, int(length)) for at, length in zip(at_us, size, strict=True)])
    sent = ~np.isnan(leave_us)
    assert queue.packets == len(rows)
    assert queue.dropped == (~sent).sum()
    assert np.all(np.diff(leave_us[sent]) >= -1e-9)
    assert np.all(leave_us[sent] >= at_us[sent])
    # Between the arrival of any packet and the departure of any later one no more passes than the link can serve.
    work_in, work_out = capacity.served(at_us[sent]), capacity.served(leave_us[sent] + 1e-6)
    passed = np.cumsum(size[sent])
    opportunity = 1500 if isinstance(capacity, Trace) else 0
    for first in range(len(passed)):
        since = passed[first:] - passed[first] + size[sent][first]
        assert np.all(since <= work_out[first:] - work_in[first] + bucket + opportunity + 1e-3)
    for index, at in enumerate(at_us):
        waiting = sum(size[k] for k in range(index + 1) if sent[k] and leave_us[k] > at)
        assert waiting <= limit


def test_a_full_queue_drops_what_does_not_fit_and_serves_the_rest_at_the_rate() -> None:
    at_us, size = np.zeros(10), np.full(10, 1000, np.int64)
    leave_us = departures(ConstantRate(8e6), at_us, size, 4000)
    assert leave_us[:4].tolist() == [1000.0, 2000.0, 3000.0, 4000.0]
    assert np.isnan(leave_us[4:]).all()


def test_a_full_bucket_lets_a_burst_pass_at_once() -> None:
    leave_us = departures(ConstantRate(8e6), np.zeros(4), np.full(4, 1000, np.int64), 10**6, bucket_bytes=2000)
    assert leave_us.tolist() == [0.0, 0.0, 1000.0, 2000.0]


def test_nothing_is_served_during_an_outage() -> None:
    capacity = Steps(np.array([0.0, 1000.0, 5000.0]), np.array([8e6, 0.0, 8e6]))
    leave_us = departures(capacity, np.array([0.0, 500.0, 2000.0]), np.array([1000, 1000, 500]), 10**6)
    assert leave_us.tolist() == [1000.0, 6000.0, 6500.0]


def test_a_trace_repeats_and_what_is_not_used_is_lost() -> None:
    capacity = Trace(np.array([2, 5]))
    leave_us = departures(capacity, np.array([0.0, 3000.0, 5500.0]), np.array([1500, 1500, 1500]), 10**6)
    assert leave_us.tolist() == [2000.0, 5000.0, 7000.0]


@given(st.floats(0, 1e8))
def test_when_is_the_first_time_that_serves_so_much(work: float) -> None:
    for capacity in (
        ConstantRate(3e6),
        Steps(np.array([0.0, 1000.0, 5000.0]), np.array([8e6, 0.0, 1e6])),
        Trace(np.array([1, 4, 4, 6])),
    ):
        at = capacity.when_one(work)
        assert capacity.served_one(at + 1e-3) >= work - 1e-3
        assert at <= 0 or capacity.served_one(at - 1e-3) <= work + 1e-3


def poisson_queue(load: float, count: int, seed: int) -> float:
    """The mean wait in service times of an M/D/1 queue."""
    rng = np.random.default_rng(seed)
    at_us = np.cumsum(rng.exponential(1000 / load, count))
    leave_us = departures(ConstantRate(8e6), at_us, np.full(count, 1000, np.int64), 10**12)
    return float(np.mean(leave_us - at_us - 1000)) / 1000


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_mean_wait_is_pollaczek_and_khinchine_s(load: float) -> None:
    """M/D/1: load / (2 (1 - load)) service times."""
    assert poisson_queue(load, 400_000, 1) == pytest.approx(load / (2 * (1 - load)), rel=0.05)


def test_pie_holds_a_standing_queue_near_its_target() -> None:
    """Half again what the link carries, for 20 s: drop-tail would stand at its full 400 ms."""
    random = Random(1)
    queue = Queue(ConstantRate(8e6), 400_000, pie=Pie(1, target_ms=10))
    waits, at_us = [], 0.0
    while at_us < 20e6:
        at_us += random.expovariate(1.5 / 1000)
        leave_us = queue.offer(at_us, 1000)
        if not math.isnan(leave_us) and at_us > 5e6:
            waits.append(leave_us - at_us)
    assert 3_000 < sum(waits) / len(waits) < 20_000
    assert queue.dropped / queue.packets == pytest.approx(1 / 3, abs=0.03)


def test_pie_lets_a_burst_pass() -> None:
    queue = Queue(ConstantRate(8e6), 400_000, pie=Pie(1, target_ms=10))
    assert not any(math.isnan(queue.offer(0.0, 1000)) for _ in range(130))
