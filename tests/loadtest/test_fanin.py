"""Sets of frames that belong together: whole or not, as old as their latest, and who wins."""

from dataclasses import replace

import numpy as np
import pytest

from fishladder.loadtest.fanin.contest import MEASURED, Cell, share_to_measure, slowed
from fishladder.loadtest.fanin.sets import FanIn, of_run, simulated
from fishladder.loadtest.links.link import Direction, Jitter, Link
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.traffic import Outcome, Traffic

CAMERA = CameraSpec(width=640, height=360, fps=5, bitrate_bps=200_000, phases="aligned", deadline_ms=150)


def link(jitter_ms: float, rate_bps: float = 50e6) -> Link:
    up = Direction(rate_bps, round(rate_bps / 40), delay_ms=40, jitter=Jitter("uniform", jitter_ms))
    return Link("some", up, replace(up, jitter=Jitter()))


def test_a_set_is_as_late_as_its_latest_and_whole_or_not() -> None:
    at_us = np.repeat(np.array([0, 1000, 2000]), 2)
    offered = Traffic(2, 1000, 500, np.tile([0, 1], 3), at_us, np.ones(6, np.int64), np.ones(6, bool))
    found = of_run(offered, Outcome(at_us + np.array([100, 300, 100, 100, 100, 900.0])), from_us=0)
    assert found.complete == pytest.approx(2 / 3)
    assert found.single == pytest.approx(5 / 6)
    assert found.set_p50_ms == pytest.approx(0.3)
    assert found.parallelism == pytest.approx((1600 / 6) / (1300 / 3))
    assert found.independent == pytest.approx((5 / 6) ** 2)


def test_independent_links_give_f_to_the_n() -> None:
    """With a link for each camera and delays that know nothing of each other, sets are F^N complete."""
    scenario = Scenario(link(150), CAMERA, seconds=60)
    found = [simulated(scenario, [4], seed, "per-site")[0] for seed in range(6)]
    complete = np.mean([one.complete for one in found])
    independent = np.mean([one.single for one in found]) ** 4
    assert 0.05 < independent < 0.95
    assert complete == pytest.approx(independent, abs=0.08)
    assert np.mean([one.parallelism for one in found]) < 0.85


def test_frames_of_a_steady_link_come_together() -> None:
    jittery = simulated(Scenario(link(100), CAMERA, seconds=20), [4], 1, "per-site")[0]
    steady = simulated(Scenario(link(0), CAMERA, seconds=20), [4], 1, "per-site")[0]
    assert steady.parallelism > jittery.parallelism
    assert steady.complete == 1.0


def cell(cameras: int, share: float, fast: float, steady: float, ages: tuple[float, float] = (50, 50)) -> Cell:
    def one(complete: float, age_ms: float) -> FanIn:
        return FanIn(cameras, complete, complete, 1.0, age_ms, age_ms)

    return Cell("shared", share, one(fast, ages[0]), one(steady, ages[1]))


def test_complete_sets_decide_then_their_age() -> None:
    assert cell(4, 0.5, 0.9, 0.95).winner == "steady"
    assert cell(4, 0.5, 0.95, 0.9).winner == "fast"
    assert cell(4, 0.5, 1.0, 1.0, (50, 40)).winner == "steady"
    assert cell(4, 0.5, 1.0, 1.0, (50, 50)).winner == "neither"
    assert cell(4, 0.5, 0.0, 0.0).winner == "neither"


def test_it_is_measured_at_the_border_and_on_until_each_has_won() -> None:
    shares = (0.125, 0.25, 0.5, 0.75, 1.0)
    cells = [cell(n, share, 0.5, 0.2 if share < 0.5 else 0.9) for n in MEASURED for share in shares]
    assert share_to_measure(cells, []) == 0.25
    lost = [cell(n, 0.25, 0.5, 0.2) for n in MEASURED]
    assert share_to_measure(cells, lost) == 0.5
    assert share_to_measure(cells, [*lost, cell(4, 0.5, 0.9, 0.95)]) is None
    even = [cell(n, 0.5, 0.9, 0.9) for n in MEASURED]
    assert share_to_measure(cells, lost + even) == 0.75, "not what the model said: further from the border"
    assert share_to_measure(cells, lost + even + [cell(4, share, 0.9, 0.9) for share in (0.75, 1.0)]) is None
    assert share_to_measure(cells, even) == 0.25


def test_who_wins_nothing_is_not_looked_for() -> None:
    cells = [cell(n, share, 0.9, 0.2) for n in MEASURED for share in (0.75, 1.0)]
    assert share_to_measure(cells, []) == 1.0
    assert share_to_measure(cells, [cell(4, 1.0, 0.9, 0.2)]) is None


def test_a_slowed_link_keeps_its_queue_in_time() -> None:
    fast = link(0)
    slow = slowed(fast, 5e6)
    assert slow.up.rate_bps == 5e6
    assert slow.up.queue_ms == pytest.approx(fast.up.queue_ms)
