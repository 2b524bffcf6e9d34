"""Whose queue it is that stands before the uplink."""

import pytest

from fishladder.edge.rate.contest import Contest

FULL_S = 0.035


def seen(queues_s: list[float], rates_bps: list[float]) -> list[bool]:
    """At each half second, whether it is taken for somebody else's."""
    it, said = Contest(), []
    for tick, (queue_s, rate_bps) in enumerate(zip(queues_s, rates_bps, strict=True)):
        it.look(queue_s, FULL_S, rate_bps, tick / 2)
        said.append(it.active)
    return said


def test_one_that_stays_although_we_gave_way_is_not_ours() -> None:
    said = seen([0.3] * 12 + [0.0], [1e6 * 0.7**tick for tick in range(13)])
    assert said == [False] * 8 + [True] * 4 + [False], "3.6 s later, until it is gone"


@pytest.mark.parametrize(
    ("queues_s", "rates_bps"),
    [
        ([0.0] * 20, [1e6] * 20),
        ([0.3] * 20, [1e6] * 20),
        ([0.3 * 0.8**tick for tick in range(20)], [1e6 * 0.7**tick for tick in range(20)]),
        ([3.0] * 18, [1e6 * 0.7**tick for tick in range(18)]),
    ],
    ids=["none", "we did not give way", "it drains", "it is so long that ours may not have drained yet"],
)
def test_others_are_ours_for_all_we_know(queues_s: list[float], rates_bps: list[float]) -> None:
    assert not any(seen(queues_s, rates_bps))
