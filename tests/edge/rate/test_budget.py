"""Sharing is fair by weight, uses what there is, and gives nobody more than it can use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.edge.rate.budget import Claim, share

rates = st.just(0.0) | st.floats(1, 1e7)
least = st.just(0.0) | st.floats(1, 1e5)
claim = st.builds(Claim, weight=st.floats(0.1, 10), least_bps=least, most_bps=st.floats(1e3, 1e7))
claims = st.lists(claim, max_size=12)


def test_weights_decide_where_all_want_more() -> None:
    assert share(7e6, [Claim(weight, 0, 1e9) for weight in (4, 2, 1)]) == pytest.approx([4e6, 2e6, 1e6])


def test_what_one_cannot_use_goes_to_the_others() -> None:
    assert share(7e6, [Claim(1, 0, 1e6), Claim(1, 0, 1e9), Claim(1, 0, 1e9)]) == pytest.approx([1e6, 3e6, 3e6])
    assert share(9e6, [Claim(1, 0, 1e6), Claim(1, 0, 2e6)]) == pytest.approx([1e6, 2e6])


def test_everybody_gets_the_least_before_anybody_more() -> None:
    assert share(1e6, [Claim(1, 3e5, 1e9), Claim(9, 0, 1e9)]) == pytest.approx([3e5, 7e5])
    assert share(1e5, [Claim(1, 3e5, 1e9), Claim(9, 1e5, 1e9)]) == pytest.approx([7.5e4, 2.5e4])
    assert share(1e6, []) == []


@given(rates, claims)
def test_all_of_it_is_shared_within_everybodys_bounds(total_bps: float, some: list[Claim]) -> None:
    shares = share(total_bps, some)
    assert sum(shares) == pytest.approx(min(total_bps, sum(claim.most_bps for claim in some)), rel=1e-6, abs=1e-3)
    least = [min(claim.least_bps, claim.most_bps) for claim in some]
    enough = sum(least) <= total_bps
    for got, claim, low in zip(shares, some, least, strict=True):
        assert got <= claim.most_bps * (1 + 1e-9)
        assert got >= low * (1 - 1e-9) or not enough


@given(rates, claims)
def test_nobody_below_its_most_has_less_per_weight_than_another_above_its_least(
    total_bps: float, some: list[Claim]
) -> None:
    shares = share(total_bps, some)
    if sum(min(claim.least_bps, claim.most_bps) for claim in some) > total_bps:
        return
    below = [got / c.weight for got, c in zip(shares, some, strict=True) if got < c.most_bps * (1 - 1e-6)]
    above = [got / c.weight for got, c in zip(shares, some, strict=True) if got > c.least_bps * (1 + 1e-6) + 1e-3]
    if below and above:
        assert min(below) >= max(above) * (1 - 1e-6) - 1e-3


@given(rates, rates, claims)
def test_more_to_share_is_less_for_nobody(total_bps: float, more_bps: float, some: list[Claim]) -> None:
    before, after = share(total_bps, some), share(total_bps + more_bps, some)
    assert all(now >= was * (1 - 1e-6) - 1e-3 for was, now in zip(before, after, strict=True))
