"""Which queue stands, and who gives way to it first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.edge.rate.standing import FREE_OF_SHORT_S, FULL_OF_SHORT_S, FULL_S, PATIENT, patience, standing


def test_as_long_as_a_usual_unit_takes_is_no_queue() -> None:
    assert standing(0.1, own_s=0.05, backfills=False) == (0.1, 0.05)
    assert standing(0.02, own_s=0.01, backfills=False).full_s == FULL_S
    assert standing(0.01, own_s=0.005, backfills=False) == (FULL_OF_SHORT_S, FREE_OF_SHORT_S)


def test_patience_does_not_add_to_what_a_long_unit_takes() -> None:
    assert standing(0.1, own_s=0.05, backfills=False, patient=2.0) == (0.1, 0.05)
    assert standing(0.03, own_s=0.015, backfills=False, patient=2.0).full_s == 2 * FULL_S


def test_backfill_gives_way_before_live_waits_for_it() -> None:
    assert standing(0.02, own_s=0.01, backfills=True).full_s < FULL_S


def test_who_has_most_of_a_link_gives_way_first() -> None:
    assert patience(1.9e6, 2e6) == 1.0, "alone"
    assert patience(1.3e6, 2e6) == 1.0
    assert patience(0.7e6, 2e6) == pytest.approx(1.43, abs=0.01)
    assert patience(0.1e6, 2e6) == PATIENT


@given(st.floats(0, 1e9), st.floats(1e3, 1e9))
def test_nobody_waits_less_than_alone_or_longer_than_is_good(came_bps: float, carries_bps: float) -> None:
    assert 1.0 <= patience(came_bps, carries_bps) <= PATIENT
