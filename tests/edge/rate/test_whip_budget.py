"""Sharing among WHIP cameras by what their receivers say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.edge.rate.orders import Order, Wish
from fishladder.edge.rate.passing import Flow, Passing
from fishladder.edge.rate.whip_budget import FIRST_BPS, MEDIA, Peer, WhipBudget


def wish(weight: float = 1.0, most_bps: float = 3e6) -> Wish:
    return Wish(weight, most_bps, 15, 640, 360)


def orders(peers: list[Peer], wishes: list[Wish], now_s: float = 5.0) -> dict[int, Order]:
    budget = WhipBudget()
    for index, peer in enumerate(peers):
        budget.add(index, peer)
    return dict(budget.step(dict(enumerate(wishes)), now_s))


def said(bps: float) -> Peer:
    peer = Peer()
    peer.remb(bps, 4.0)
    return peer


def test_the_receivers_word_holds_above_and_below_what_aiortc_would_encode() -> None:
    for bps in (100e3, 8e6):
        [order] = orders([said(bps)], [wish(most_bps=20e6)]).values()
        assert order.bitrate_bps == pytest.approx(bps, rel=0.12)


def test_a_thin_link_means_fewer_pictures_too() -> None:
    [order] = orders([said(60e3)], [wish()]).values()
    assert 0 < order.fps < 15
    assert orders([said(3e6)], [wish()])[0].fps == 0


def test_weights_share_and_nobody_gets_more_than_its_own_link_has() -> None:
    found = orders([said(1e6), said(1e6)], [wish(3.0), wish(1.0)])
    assert found[1].bitrate_bps == pytest.approx(0.5e6, rel=0.12)
    assert found[0].bitrate_bps == pytest.approx(1e6, rel=0.12), "1.5 of 2 Mbit/s, but its session carries 1"


@given(
    st.lists(st.tuples(st.floats(1e4, 1e7), st.floats(0.1, 10), st.floats(5e4, 5e6)), min_size=1, max_size=8),
)
def test_the_sum_is_never_more_than_what_comes_through(cameras: list[tuple[float, float, float]]) -> None:
    found = orders([said(bps) for bps, _, _ in cameras], [wish(weight, most) for _, weight, most in cameras])
    assert len(found) == len(cameras)
    room = sum(max(bps, 24_000.0) for bps, _, _ in cameras)
    assert sum(order.bitrate_bps for order in found.values()) <= room + len(cameras)
    assert all(found[index].bitrate_bps <= max(most, 10_000) + 1 for index, (_, _, most) in enumerate(cameras))


def test_losses_alone_bring_it_down_and_their_absence_up() -> None:
    peer, budget = Peer(), WhipBudget()
    budget.add(0, peer)
    rate, lowest = FIRST_BPS, FIRST_BPS
    for second in range(1, 120):
        for _ in range(10):
            peer.sent(round(rate / 80), second + _ / 10)
        peer.report(max(0.0, 1 - 300e3 / rate))
        for _, order in budget.step({0: wish()}, float(second)):
            rate = order.bitrate_bps
        lowest = min(lowest, rate)
    assert 150e3 < lowest < 350e3
    assert rate < 450e3
    for second in range(120, 200):
        peer.sent(round(rate / 8), float(second))
        peer.report(0.0)
        for _, order in budget.step({0: wish()}, float(second)):
            rate = order.bitrate_bps
    assert rate > 2e6


def test_a_camera_that_is_passed_on_steps_down_to_its_sub_stream() -> None:
    passing = Passing(Flow(2e6, 4e5), Flow(3e5, 9e4))
    peer = said(5e5)
    peer.sent(1, 1.0)
    peer.sent(250_000, 2.0)
    [order] = orders([peer], [Wish(1.0, 2.2e6, 15, 0, 0, passing)]).values()
    assert order.passing.sub


def test_the_operators_limit_is_shared_out_though_links_carry_more() -> None:
    budget = WhipBudget()
    for index in range(2):
        budget.add(index, said(4e6))
    found = dict(budget.step({0: wish(3.0), 1: wish(1.0)}, 5.0, limit_bps=600e3))
    assert budget.link_bps == 600e3
    assert found[0].bitrate_bps == pytest.approx(3 * found[1].bitrate_bps, rel=0.01)
    assert 0.8 * 600e3 < sum(order.bitrate_bps for order in found.values()) < 600e3
    assert found[1].fps > 0, "pictures are made to fit, as on a thin link"


def test_a_passed_on_camera_steps_down_for_a_limit_that_its_link_does_not_set() -> None:
    budget, peer = WhipBudget(), Peer()
    budget.add(0, peer)
    for tenth in range(30):
        peer.sent(25_000, tenth / 10)  # 2 Mbit/s
    passing = Wish(1.0, 2e6, 15, 640, 360, passing=Passing(Flow(2e6, 300e3)))
    assert dict(budget.step({0: passing}, 3.0, limit_bps=500e3))[0].passing.keep == "keyframes"


def test_one_who_yields_goes_down_at_a_queue_that_others_would_notice_and_up_without() -> None:
    """A link of 1 Mbit/s with 40 ms, of which somebody else comes to use half."""
    budget, peer = WhipBudget(), Peer()
    budget.add(0, peer)
    peer.remb(1e6, 0.0)
    queue_s, rate, free = 0.0, 0.0, []
    for second in range(1, 120):
        others = 500e3 if 40 <= second < 80 else 0.0
        for tenth in range(10):
            peer.sent(round(rate / 80), second + tenth / 10)
            queue_s = max(queue_s + (rate / MEDIA + others - 1e6) / 1e6 / 10, 0.0)
        peer.remb(1e6, float(second))
        peer.round_trip(0.04 + queue_s, float(second))
        for _, order in budget.step({0: wish()}, float(second), yields=True):
            rate = order.bitrate_bps
        free.append(queue_s < 0.03)
        if second in (39, 119):
            assert rate > 0.6e6
        if second == 79:
            assert rate < 0.55e6
    assert sum(free) > 0.75 * len(free)
