"""What comes through a link while something is on its way all the time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.edge.link_state import LinkState
from fishladder.edge.rate.trickle import LEAST_S, MOST_S, Trickle

LOOK_S = 0.03


def looked(*deliveries: int | None, look_s: float = LOOK_S) -> Trickle:
    """At looks so far apart, so many bytes had come since the one before; None: nothing was on its way."""
    it, total = Trickle(), 10_000
    for number, came in enumerate(deliveries):
        total += came or 0
        it.look(LinkState(delivered_bytes=total, in_flight=came is not None), number * look_s)
    return it


@given(st.integers(1448, 100_000), st.integers(4, 50), st.floats(0.01, 0.08))
def test_what_comes_evenly_is_seen_as_it_is(size: int, looks: int, look_s: float) -> None:
    seen = looked(*[size] * looks, look_s=look_s).seen
    spans_s = (looks - 1) * look_s
    if abs(spans_s - LEAST_S) < 1e-9:
        return  # as it is rounded
    assert (seen is None) == (spans_s < LEAST_S)
    if seen is None:
        return
    assert seen.bps == pytest.approx(size * 8 / look_s)
    assert seen.end_bps == pytest.approx(size * 8 / look_s)
    assert LEAST_S - 1e-9 <= seen.span_s <= LEAST_S + look_s + 1e-9
    assert seen.since_s == pytest.approx((looks - 1) * look_s - seen.span_s)


def test_a_link_that_becomes_slower_shows_at_the_end_first() -> None:
    seen = looked(15_000, 15_000, 15_000, 15_000, 4_000, 4_000).seen
    assert seen is not None
    assert seen.end_bps == pytest.approx(4_000 * 8 / LOOK_S)
    assert seen.bps == pytest.approx(23_000 * 8 / (3 * LOOK_S))


@pytest.mark.parametrize("gap", [None, 0], ids=["nothing on its way", "nothing came"])
def test_time_in_which_nothing_is_on_its_way_or_comes_does_not_count(gap: int | None) -> None:
    assert looked(4_000, 4_000, 4_000, 4_000, gap).seen is None
    assert looked(4_000, 4_000, gap, 4_000, 4_000).seen is None
    assert looked(4_000, 4_000, gap, 4_000, 4_000, 4_000, 4_000).seen is not None


@pytest.mark.parametrize("holds_back", [{"paused": True}, {"recovers": True}])
def test_where_tcp_holds_back_nothing_is_known_of_the_link(holds_back: dict[str, bool]) -> None:
    it = looked(4_000, 4_000, 4_000, 4_000)
    assert it.seen is not None
    it.look(LinkState(delivered_bytes=30_000, in_flight=True, **holds_back), 4 * LOOK_S)
    assert it.seen is None


def test_looks_too_far_apart_say_nothing_of_now() -> None:
    """A busy host: in between the link may have had nothing to carry."""
    assert looked(4_000, 4_000, look_s=MOST_S + 0.01).seen is None


def test_a_count_that_begins_anew_does_not_count() -> None:
    it = looked(4_000, 4_000, 4_000, 4_000)
    assert it.seen is not None
    it.look(LinkState(delivered_bytes=100, in_flight=True), 4 * LOOK_S)
    assert it.seen is None


def test_where_tcp_says_nothing_nothing_is_known() -> None:
    it = Trickle()
    for number in range(10):
        it.look(LinkState(), number * LOOK_S)
    assert it.seen is None
