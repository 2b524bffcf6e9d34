"""What counts as decodable by its deadline, against a plain loop over the definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.loadtest.traffic import Outcome, Traffic, decodable, decodable_by_camera


def traffic(frames: list[tuple[int, int, bool]], *, deadline_us: int = 500, cameras: int = 3) -> Traffic:
    frames = sorted(frames, key=lambda frame: frame[1])
    return Traffic(
        cameras=cameras,
        fps=10,
        deadline_us=deadline_us,
        camera=np.array([frame[0] for frame in frames], np.int64),
        at_us=np.array([frame[1] for frame in frames], np.int64),
        size_bytes=np.full(len(frames), 1000, np.int64),
        key=np.array([frame[2] for frame in frames], bool),
    )


def by_the_definition(offered: Traffic, arrival_us: list[float]) -> list[bool]:
    good = []
    for i in range(len(offered)):
        needed, found = [], False
        for j in range(i, -1, -1):
            if offered.camera[j] == offered.camera[i]:
                needed.append(j)
                if offered.key[j]:
                    found = True
                    break
        due_us = offered.at_us[i] + offered.deadline_us
        good.append(found and all(arrival_us[j] <= due_us for j in needed))
    return good


@given(
    st.lists(
        st.tuples(
            st.tuples(st.integers(0, 2), st.integers(0, 5000), st.booleans()),
            st.one_of(st.just(math.nan), st.integers(0, 2000).map(float)),
        ),
        max_size=40,
    )
)
def test_it_is_what_the_definition_says(rows: list[tuple[tuple[int, int, bool], float]]) -> None:
    rows = sorted(rows, key=lambda row: row[0][1])
    offered = traffic([frame for frame, _ in rows])
    arrival_us = [frame[1] + age for frame, age in rows]
    got = decodable(offered, Outcome(np.array(arrival_us, float)))
    assert got.tolist() == by_the_definition(offered, arrival_us)


def test_a_late_keyframe_costs_the_frames_that_are_due_before_it_came() -> None:
    offered = traffic([(0, 0, True), (0, 100, False), (0, 700, False)], cameras=1)
    got = decodable(offered, Outcome(np.array([650.0, 150.0, 750.0])))
    assert got.tolist() == [False, False, True]


def test_each_camera_has_its_own_fraction_and_the_warm_up_does_not_count() -> None:
    offered = traffic([(0, 0, True), (1, 1, True), (0, 1000, True), (1, 1001, False)], cameras=3)
    outcome = Outcome(np.array([math.nan, 10.0, 1100.0, math.nan]))
    assert decodable_by_camera(offered, outcome)[:2].tolist() == [0.5, 0.5]
    assert decodable_by_camera(offered, outcome, from_us=1000)[:2].tolist() == [1.0, 0.0]
    assert math.isnan(decodable_by_camera(offered, outcome)[2])


def test_frames_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        Traffic(1, 10, 500, np.zeros(2, np.int64), np.array([5, 4]), np.ones(2, np.int64), np.ones(2, bool))
