"""What no queue may do, whatever comes: lose account, reorder, serve faster than its rate, hold more than its limit.
And that all at once is what one by one gives, on every preset.
"""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.loadtest.links.link import Direction, Link, Step
from fishladder.loadtest.links.link import Trace as Opportunities
from fishladder.loadtest.links.load import load_link, preset_names
from fishladder.loadtest.links.reference import arrivals_ms
from fishladder.loadtest.model.capacity import ConstantRate, Steps, Trace
from fishladder.loadtest.model.datagrams import carry, packetise
from fishladder.loadtest.model.way import Way
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.frames import draw
from fishladder.loadtest.traffic import Floats, Ints

packets = st.lists(st.tuples(st.integers(0, 20_000), st.integers(40, 1500)), min_size=1, max_size=120).map(sorted)
limits = st.sampled_from([1500, 6000, 10**9])
buckets = st.sampled_from([0, 1514, 5000])
plain = Direction(8e6, 10**9)
schedules = [(), (Step(4, "up", rate_bps=1e6), Step(9, "up", rate_bps=20e6, delay_ms=3))]
directions = st.sampled_from(
    [
        (plain, ()),
        (replace(plain, rate_bps=1e6), ()),
        (plain, schedules[1]),
        (replace(plain, trace=Opportunities("t", (0, 1, 1, 3, 7, 7))), ()),
    ]
)


def way(direction: Direction, schedule: tuple[Step, ...] = ()) -> Way:
    return Way(Link("some", direction, plain, schedule=schedule), "up", 1)


def arrays(rows: list[tuple[int, int]]) -> tuple[Floats, Ints]:
    return np.array([row[0] for row in rows], float), np.array([row[1] for row in rows], np.int64)


@given(packets, directions, limits, buckets)
def test_order_rate_limit_and_account_hold(
    rows: list[tuple[int, int]], given_direction: tuple[Direction, tuple[Step, ...]], limit: int, bucket: int
) -> None:
    direction, schedule = given_direction
    bucket = 0 if direction.trace else bucket
    at_us, size = arrays(rows)
    it = way(replace(direction, queue_bytes=limit, bucket_bytes=bucket), schedule)
    leave_us = it.departures(at_us, size)
    expected = list(map(it.queue().offer, (at_us / 1000).tolist(), size.tolist()))
    np.testing.assert_allclose(leave_us, [np.nan if ms is None else ms * 1000 for ms in expected], atol=1e-3)
    sent = ~np.isnan(leave_us)
    assert np.all(np.diff(leave_us[sent]) >= -1e-6)
    assert np.all(leave_us[sent] >= at_us[sent] - 1e-6)
    # Between the arrival of any packet and the departure of any later one no more passes than the link can serve.
    work_in, work_out = it.capacity.served(at_us[sent]), it.capacity.served(leave_us[sent] + 1e-3)
    passed = np.cumsum(size[sent])
    opportunity = 1500 if direction.trace else 0
    for first in range(len(passed)):
        since = passed[first:] - passed[first] + size[sent][first]
        assert np.all(since <= work_out[first:] - work_in[first] + bucket + opportunity + 0.1)
    for index, at in enumerate(at_us):
        waiting = sum(size[k] for k in range(index + 1) if sent[k] and leave_us[k] > at + 1e-3)
        assert waiting <= limit


@pytest.mark.parametrize("name", preset_names())
def test_all_at_once_is_what_one_by_one_gives(name: str) -> None:
    """Every datagram of two bursty cameras, on a link they overfill, to the microsecond."""
    link = load_link(name)
    up = link.up
    fill_bps = (up.trace.mean_bps if up.trace else up.rate_bps) * 0.55
    found = packetise(draw(replace(CameraSpec(), bitrate_bps=min(fill_bps, 10e6)), 2, 4, 3))
    if fill_bps > 10e6:
        link = replace(link, up=replace(up, rate_bps=18e6, queue_bytes=40_000))
    arrived_us, _, _ = carry(found, Way(link, "up", 5))
    expected_ms = arrivals_ms(link, "up", 5, found.at_us / 1000, found.size_bytes)
    np.testing.assert_allclose(arrived_us, expected_ms * 1000, atol=1)


def test_a_full_queue_drops_what_does_not_fit_and_serves_the_rest_at_the_rate() -> None:
    leave_us = way(replace(plain, queue_bytes=4000)).departures(np.zeros(10), np.full(10, 1000, np.int64))
    assert leave_us[:4].tolist() == [1000.0, 2000.0, 3000.0, 4000.0]
    assert np.isnan(leave_us[4:]).all()


def test_a_full_bucket_lets_a_burst_pass_at_once() -> None:
    leave_us = way(replace(plain, bucket_bytes=2000)).departures(np.zeros(4), np.full(4, 1000, np.int64))
    assert leave_us.tolist() == [0.0, 0.0, 1000.0, 2000.0]


def test_a_trace_repeats_and_what_is_not_used_is_lost() -> None:
    it = way(replace(plain, trace=Opportunities("t", (2, 5))))
    leave_us = it.departures(np.array([0.0, 3000.0, 5500.0]), np.array([1500, 1500, 1500]))
    assert leave_us.tolist() == [2000.0, 5000.0, 7000.0]


def test_nothing_arrives_during_an_outage() -> None:
    it = way(plain, (Step(1, "up", outage=True), Step(5, "up", outage=False)))
    arrival_us, lost = it.arrivals(np.array([500.0, 2000.0, 6000.0]))
    assert lost.tolist() == [False, True, False]
    assert arrival_us[[0, 2]].tolist() == [500.0, 6000.0]


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
    leave_us = way(replace(plain, queue_bytes=10**12)).departures(at_us, np.full(count, 1000, np.int64))
    return float(np.mean(leave_us - at_us - 1000)) / 1000


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_mean_wait_is_pollaczek_and_khinchine_s(load: float) -> None:
    """M/D/1: load / (2 (1 - load)) service times."""
    assert poisson_queue(load, 400_000, 1) == pytest.approx(load / (2 * (1 - load)), rel=0.05)


def test_pie_holds_a_standing_queue_near_its_target() -> None:
    """Half again what the link carries, for 20 s: drop-tail would stand at its full 400 ms."""
    rng = random.Random(1)
    at_us = np.cumsum([rng.expovariate(1.5 / 1000) for _ in range(30_000)])
    it = way(replace(plain, discipline="pie", queue_bytes=400_000, pie_target_ms=10))
    leave_us = it.departures(at_us, np.full(len(at_us), 1000, np.int64))
    settled = ~np.isnan(leave_us) & (at_us > 5e6)
    assert 3_000 < np.mean(leave_us[settled] - at_us[settled]) < 20_000
    assert np.isnan(leave_us).mean() == pytest.approx(1 / 3, abs=0.03)
