"""What units, and TCP, show a link to carry."""

from fishladder.edge.rate.proven import Proven


def test_units_that_were_alone_show_it_where_most_agree() -> None:
    it = Proven()
    for at_s in (1.0, 2.0):
        it.came(10_000, 0.04, at_s)
    assert it.usual_bps(3.0, 0.02, since_s=0.0) == 0.0, "two are too few"
    it.came(10_000, 0.5, 2.5)
    assert it.usual_bps(3.0, 0.02, since_s=0.0) == 10_000 * 8 / 0.02
    assert it.usual_bps(3.0, None, since_s=0.0) == 0.0, "nobody knows how long the way is for nothing"


def test_what_tcp_delivered_shows_it_until_the_link_is_full_again() -> None:
    it = Proven()
    it.delivers(1e6, 1.0)
    assert it.usual_bps(1.5, 0.02, since_s=1.2) == 0.0, "that was before"
    it.delivers(1e6, 1.4)
    assert it.usual_bps(1.5, 0.02, since_s=1.2) == 0.0, "and nothing new"
    it.delivers(3e6, 1.6)
    assert it.usual_bps(1.7, 0.02, since_s=1.2) == 3e6
    assert it.usual_bps(1.7, None, since_s=1.2) == 0.0
