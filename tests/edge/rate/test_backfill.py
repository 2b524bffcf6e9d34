"""What the spool gets beside live video, over a modelled link: what live leaves, at no cost to live."""

import pytest
from support.fluid_site import Camera, FluidSite, at

from fishladder.edge.rate.backfill import BackfillPace
from fishladder.edge.rate.orders import Wish


def site(capacity_bps: float, kbps: float, *, from_s: float = 20.0) -> FluidSite:
    """Something to drain from then on, for ever."""
    wish = Wish(1.0, kbps * 1000, 30, 640, 360)
    return FluidSite([Camera(wish)], lambda _: capacity_bps, backfill=lambda now_s: now_s > from_s)


def drained_bps(it: FluidSite, since_s: float, until_s: float) -> float:
    return sum(size for at_s, size in it.backfilled if since_s <= at_s < until_s) * 8 / (until_s - since_s)


@pytest.mark.parametrize("mbps", [1, 5, 20])
def test_it_has_what_live_leaves_and_live_hardly_waits(mbps: int) -> None:
    it = site(mbps * 1e6, 450)
    it.run(55)
    left = mbps * 1e6 - it.used(25, 53)
    assert it.used(25, 53) > 0.95 * it.used(5, 20)
    assert drained_bps(it, 25, 53) > 0.6 * left
    assert at(it.ages_ms(20, 53), 0.95) < at(it.ages_ms(5, 20), 0.95) + 50


def test_where_live_takes_everything_it_hardly_moves_yet_moves() -> None:
    it = site(1e6, 3000)
    it.run(55)
    assert it.used(25, 53) > 0.85e6
    assert 0.004e6 < drained_bps(it, 25, 53) < 0.08e6
    assert at(it.ages_ms(20, 53), 0.95) < 150


def test_when_live_wants_more_it_has_it_at_once() -> None:
    it = site(2e6, 1500, from_s=5.0)
    it.cameras[0].worth_bps = lambda now_s: 200_000 if now_s < 30 else 1e9
    it.run(50)
    assert drained_bps(it, 20, 30) > 1e6
    assert it.used(32, 48) > 1.1e6
    assert at(it.ages_ms(30, 48), 0.99) < 300


def test_when_nothing_more_will_be_live_it_has_the_link() -> None:
    """An agent that is told to stop has seconds, and of a link that was thin until a moment ago it knows little."""
    camera = Camera(Wish(1.0, 2e6, 10, 640, 360))
    it = FluidSite([camera], lambda now_s: 500_000 if now_s < 20 else 50e6, ends_s=21, backfill=lambda now_s: True)
    it.run(31)
    assert drained_bps(it, 21, 31) > 3e6


def test_something_in_the_queue_stops_it_and_then_it_is_slower() -> None:
    pace = BackfillPace()
    pace.measured(800_000, 0.0, queues=False)
    assert pace.wait_s(0.0) == 0
    before = pace.bytes_s
    pace.measured(800_000, 0.03, queues=True)
    assert pace.wait_s(0.03) > 0.1
    assert pace.bytes_s < before


def test_while_nobody_knows_what_the_link_carries_it_grows_as_it_is_used() -> None:
    pace, sent = BackfillPace(), 0
    for tick in range(1000):
        pace.measured(None, tick / 100, queues=False)
        while pace.wait_s(tick / 100) == 0:
            pace.sent(1200)
            sent += 1200
    assert sent > 10 * 16_000
