"""Who may watch how much of one gateway process."""

from fishladder.gateway.limits import Limits
from fishladder.gateway.live.places import WatchPlaces


def cameras(first: int, last: int) -> list[str]:
    return [f"shop-7/c{index}" for index in range(first, last)]


def test_one_holder_has_a_quarter_and_at_least_four_pages() -> None:
    for viewers, most in ((64, 16), (8, 4)):
        it = WatchPlaces(Limits(viewers=viewers))
        assert [it.enter("shop-7/wall", cameras(0, 1)) == "" for _ in range(most + 1)] == [True] * most + [False]
        assert f"one token may open {most} pages" in it.enter("shop-7/wall", cameras(0, 1))
        assert it.enter("shop-8/wall", cameras(0, 1)) == ""
        it.leave("shop-7/wall", cameras(0, 1))
        assert it.enter("shop-7/wall", cameras(0, 1)) == ""


def test_one_holder_has_a_quarter_and_at_least_64_of_the_watched_cameras() -> None:
    for watched, most in ((512, 128), (256, 64), (128, 64)):
        it = WatchPlaces(Limits(watched_cameras=watched))
        assert it.enter("a", cameras(0, most)) == ""
        assert it.enter("a", cameras(0, most)) == ""  # of the same ones another page costs nothing
        assert f"{most} cameras at once" in it.enter("a", cameras(most, most + 1))
        it.leave("a", cameras(0, most))
        assert it.enter("a", cameras(most, most + 1)) != ""  # the other page still shows them
        assert it.enter("b", cameras(most, 2 * most)) == ""
        it.leave("a", cameras(0, most))
        assert it.enter("a", cameras(most, most + 1)) == ""


def test_all_together_watch_no_more_cameras_than_there_may_be() -> None:
    it = WatchPlaces(Limits(watched_cameras=128))
    assert it.enter("a", cameras(0, 64)) == ""
    assert it.enter("b", cameras(32, 96)) == ""
    assert "128 cameras, all that" in it.enter("c", cameras(80, 129))
    assert it.enter("c", cameras(80, 128)) == ""
    it.leave("c", cameras(80, 128))
    it.leave("b", cameras(32, 96))
    assert it.enter("c", cameras(65, 129)) == ""


def test_where_everybody_comes_by_one_name_all_of_it_is_theirs() -> None:
    it = WatchPlaces(Limits(), shared=True)
    assert [it.enter("*/anyone", cameras(0, 128)) for _ in range(64)] == [""] * 64
    assert it.enter("*/anyone", cameras(0, 1)) != ""
