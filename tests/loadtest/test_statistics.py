"""Student's t against published tables, its bounds against their promise, and the search against all n tried."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.loadtest.saturation.search import find_knee
from fishladder.loadtest.saturation.statistics import Sample, Verdict, t_quantile


@pytest.mark.parametrize(
    ("level", "freedom", "expected"),
    [
        (0.95, 1, 6.3138),
        (0.95, 2, 2.9200),
        (0.95, 5, 2.0150),
        (0.95, 29, 1.6991),
        (0.975, 29, 2.0452),
        (0.99, 10, 2.7638),
        (0.95, 120, 1.6577),
        (0.95, 1000, 1.6464),
        (0.05, 29, -1.6991),
    ],
)
def test_the_quantiles_are_those_of_the_tables(level: float, freedom: int, expected: float) -> None:
    assert t_quantile(level, freedom) == pytest.approx(expected, abs=6e-5)


def test_the_bound_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    below = sum(Sample(tuple(rng.normal(0.99, 0.01, 30))).lower < 0.99 for _ in range(4000))
    assert below / 4000 == pytest.approx(0.95, abs=0.01)


def test_one_value_decides_nothing() -> None:
    assert Sample((1.0,)).verdict(0.5) is Verdict.UNSURE
    assert math.isinf(Sample((1.0,)).half_width)


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 4))
def test_a_clean_knee_is_found_from_any_guess(knee: int, guess: int, unsure: int) -> None:
    asked = []

    def evaluate(cameras: int, seeds: int) -> Sample:
        asked.append(cameras)
        if cameras <= knee:
            return Sample((1.0,) * seeds)
        if cameras <= knee + unsure:
            return Sample((1.0, 0.98) * (seeds // 2))
        return Sample((0.5,) * seeds)

    found = find_knee(evaluate, target=0.99, guess=guess, seeds=30, limit=70)
    assert found.passing == knee
    assert found.failing == knee + unsure + 1
    assert found.every_n
    assert set(range(1, knee + 1)) <= set(asked)


@given(st.integers(3, 40), st.integers(1, 60), st.integers(0, 3), st.integers(0, 3))
def test_few_seeds_say_where_to_look_and_all_of_them_what_is_so(knee: int, guess: int, worse: int, better: int) -> None:
    """Of some n that pass the first seeds say otherwise, and of some that do not."""
    whole: set[int] = set()

    def evaluate(cameras: int, seeds: int) -> Sample:
        if seeds == 30:
            whole.add(cameras)
        if knee - worse < cameras <= knee:
            return Sample(((0.98, 0.99) * 3 + (1.0,) * 24)[:seeds])
        if knee < cameras <= knee + better:
            return Sample(((1.0, 0.985) * 3 + (0.98,) * 24)[:seeds])
        return Sample((1.0 if cameras <= knee else 0.5,) * seeds)

    found = find_knee(evaluate, target=0.99, guess=guess, seeds=30, limit=70)
    assert (found.passing, found.failing) == (knee, knee + 1)
    assert whole <= set(range(knee - worse, knee + better + 2)), "nowhere else are all seeds run"


@given(st.integers(2, 40), st.data())
def test_an_n_below_that_fails_ends_it_there(knee: int, data: st.DataObject) -> None:
    """Nobody can have 7 cameras on a link where 5 do not work but 7 do."""
    hole = data.draw(st.integers(1, knee - 1))

    def evaluate(cameras: int, seeds: int) -> Sample:
        return Sample(((1.0 if cameras <= knee and cameras != hole else 0.5),) * seeds)

    found = find_knee(evaluate, target=0.99, guess=knee, seeds=30, limit=70)
    assert found.passing == hole - 1
    assert found.failing == hole


def test_a_link_without_end_says_so() -> None:
    found = find_knee(lambda _, seeds: Sample((1.0,) * seeds), target=0.99, guess=4, seeds=30, limit=20)
    assert (found.passing, found.failing, found.at_limit) == (20, None, True)


def test_of_very_many_not_every_n_is_tried_and_that_is_said() -> None:
    found = find_knee(
        lambda cameras, seeds: Sample((1.0 if cameras <= 400 else 0.0,) * seeds),
        target=0.99,
        guess=380,
        seeds=30,
        limit=900,
    )
    assert found.passing == 400
    assert not found.every_n
    assert len(found.tried) < 100
