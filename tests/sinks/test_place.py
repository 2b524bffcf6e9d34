"""How many frames a sink has missed: those between two results of the live lane, which has no holes."""

import pytest

from fishladder.sinks.place import Delivered
from fishladder.wire.result import Result


def result(epoch: int, first: int, last: int, lane: str = "live") -> Result:
    return Result(camera="shop-7/door", epoch=epoch, first=first, last=last, runs=[], lane=lane)


@pytest.mark.parametrize(
    ("it", "missed"),
    [
        (result(3, 11, 20), 0),
        (result(3, 15, 20), 4),
        (result(4, 1, 5), 0),  # another epoch, from its beginning
        (result(4, 8, 9), 7),
        (result(2, 8, 9), 0),  # an older one: who knows what came of it before
        (result(3, 2, 3, lane="backfill"), 0),
    ],
)
def test_what_is_missing_before_a_result(it: Result, missed: int) -> None:
    before = Delivered((1000, 0), epoch=3, last=10)
    after, counted = before.after((2000, 0), it)
    assert counted == missed
    assert after.at == (2000, 0)
    assert (after.epoch, after.last) == ((it.epoch, it.last) if it.lane == "live" else (3, 10))


def test_where_it_begins_it_has_missed_nothing() -> None:
    assert Delivered((0, 0)).after((2000, 0), result(7, 500, 510))[1] == 0
