"""The ladder: fewer pictures before smaller ones, never below what is useful without need, and no flutter."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fishladder.edge.rate.ladder import LEAST_FPS, USEFUL_FPS, Ladder, Rung, fitting

HD = (1280, 720)


def test_pictures_go_first_then_pixels() -> None:
    assert fitting(3e6, *HD, 15) == Rung(15, 1.0)
    half = fitting(3e5, *HD, 15)
    assert half.width == 1.0
    assert USEFUL_FPS <= half.fps < 15
    thin = fitting(1e5, *HD, 15)
    assert thin.width < 1.0
    assert thin.fps >= USEFUL_FPS
    assert fitting(1e3, *HD, 15) == Rung(LEAST_FPS, 0.5)


def test_a_camera_of_few_pictures_a_second_keeps_them() -> None:
    assert fitting(1e5, *HD, 2) == Rung(2, 1.0)


@given(st.floats(1e3, 1e7), st.floats(1e3, 1e7), st.floats(1, 60))
def test_a_higher_rate_is_never_worse(one_bps: float, other_bps: float, fps: float) -> None:
    low, high = fitting(min(one_bps, other_bps), *HD, fps), fitting(max(one_bps, other_bps), *HD, fps)
    assert (high.width, high.fps) >= (low.width, low.fps) or high.width > low.width


def test_a_rate_that_swings_does_not_make_the_picture_flutter() -> None:
    ladder, rng = Ladder(), random.Random(3)
    seen = [ladder.step(3e5 * rng.uniform(0.8, 1.2), *HD, 15, second / 10) for second in range(600)]
    changes = sum(a != b for a, b in pairwise(seen))
    assert changes <= 6


def test_it_goes_down_at_once_and_up_after_a_while() -> None:
    ladder = Ladder()
    assert ladder.step(3e6, *HD, 15, 0.0).fps == 15
    low = ladder.step(2e5, *HD, 15, 3.0)
    assert low.fps < 10
    assert ladder.step(3e6, *HD, 15, 5.0) == low
    assert ladder.step(3e6, *HD, 15, 10.0) == Rung(15, 1.0)
