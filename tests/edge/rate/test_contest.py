"""Whose queue it is that stands before the uplink."""

from collections.abc import Callable

import pytest

from fishladder.edge.rate.contest import (
    AGAIN_S,
    BACK_S,
    CHECK_S,
    GIVES,
    GONE_S,
    OTHERS_S,
    OURS,
    UP,
    UP_BEGINS,
    Contest,
    Seen,
)

FULL_S, STEP_S, LEAST_S = 0.035, 0.25, 0.1


class Giving:
    """Somebody who sends less where there is a queue, and more where there is none; `others_s(now)` is the queue that
    others keep, `carries_bps(now)` what the link has for us.
    """

    def __init__(
        self,
        others_s: Callable[[float], float] = lambda now_s: 0.0,
        carries_bps: Callable[[float], float] = lambda now_s: 1e9,
        *,
        tcp_says: bool = True,
        loses: Callable[[float], bool] = lambda now_s: False,
    ) -> None:
        self.it, self.now_s, self.said = Contest(), 0.0, list[bool]()
        self.rate_bps = self.usual_bps = 1e6
        self._others_s, self._carries_bps, self._tcp_says, self._loses = others_s, carries_bps, tcp_says, loses
        self._ours_s, self._empty_s = 0.0, 10.0

    def goes_on(self, until_s: float) -> "Giving":
        while self.now_s < until_s:
            self.now_s += STEP_S
            carries_bps = self._carries_bps(self.now_s)
            self._ours_s = max(self._ours_s + (self.rate_bps / carries_bps - 1) * STEP_S, 0.0)
            queue_s = self._others_s(self.now_s) + self._ours_s
            self._empty_s = min(self._empty_s, LEAST_S + queue_s)
            delay_s = LEAST_S + queue_s
            seen = Seen(delay_s, self._empty_s, FULL_S, delay_s if self._tcp_says else None, self._loses(self.now_s))
            self.rate_bps = self.it.look(seen, self.rate_bps, self.now_s)
            if not self.it.gives_way and delay_s - self._empty_s > FULL_S and self.it.base_s is None:
                self.rate_bps = max(min(self.rate_bps, carries_bps) * (0.96 - 0.6 * queue_s), 24e3)
            elif not self.it.gives_way:
                self.rate_bps *= 1.03
                self.usual_bps = self.rate_bps
            self.said.append(self.it.base_s is not None)
        return self


def keeps(queue_s: float, since_s: float, until_s: float) -> Callable[[float], float]:
    return lambda now_s: queue_s if since_s <= now_s < until_s else 0.0


@pytest.mark.parametrize("tcp_says", [True, False])
def test_one_that_stays_although_we_gave_way_is_not_ours(tcp_says: bool) -> None:
    it = Giving(keeps(0.2, 5, 40), tcp_says=tcp_says).goes_on(15)
    assert it.it.base_s == pytest.approx(LEAST_S + 0.2, abs=0.02), "the way with others' queue"
    it.goes_on(40)
    assert it.said[-1]
    it.goes_on(40 + GONE_S + 1)
    assert not it.said[-1], "it is gone"


def test_one_that_comes_again_and_again_is_not_ours_where_we_never_saw_the_link_empty() -> None:
    """Cubic's sawtooth: we came when it was there, and what we take for the empty link is its lowest."""
    it = Giving(lambda now_s: 0.15 + 0.12 * (now_s % 5) / 5).goes_on(30)
    assert it.said[-1]
    assert sum(it.said[-40:]) == 40


@pytest.mark.parametrize(
    "carries_bps",
    [
        lambda now_s: 1e6,
        lambda now_s: 1e6 if now_s < 20 else 2e5,
        lambda now_s: 1e6 / 4 ** (now_s // 12),
        lambda now_s: 1e6 if now_s % 20 < 10 else 3e5,
    ],
    ids=["always the same", "slower at once", "slower and slower", "slower now and then"],
)
def test_that_of_a_link_alone_is_ours(carries_bps: Callable[[float], float]) -> None:
    assert not any(Giving(carries_bps=carries_bps).goes_on(60).said)


def test_what_we_add_to_others_queue_is_seen() -> None:
    it = Giving(keeps(0.2, 5, 60)).goes_on(20)
    it._others_s = keeps(0.5, 5, 60)
    it.goes_on(20 + OTHERS_S / 2)
    assert it.it.base_s is not None
    assert it.it.base_s <= (LEAST_S + 0.25) * OURS


def test_it_is_looked_again_whether_it_is_ours_after_all() -> None:
    """Once somebody else has gone, what stands is ours, and goes when we give way."""
    it = Giving(keeps(0.2, 5, 20)).goes_on(20)
    assert it.said[-1]
    it._carries_bps = lambda now_s: it.usual_bps * 0.97
    it.goes_on(70)
    assert not it.said[-1]


def test_where_something_is_lost_is_where_others_queue_ends() -> None:
    """It was seen while it rose; TCP loses something when it is at its longest."""
    it = Giving(keeps(0.2, 5, 60), loses=lambda now_s: 22 < now_s < 23).goes_on(20)
    it._others_s = keeps(0.5, 5, 60)
    it.goes_on(22)
    assert it.it.base_s is not None
    assert it.it.base_s < LEAST_S + 0.3
    it.goes_on(24)
    assert it.it.base_s == pytest.approx(LEAST_S + 0.5, abs=0.1)


def test_what_giving_way_cost_is_given_back_and_soon_won_back() -> None:
    """Boldly at first, until it was too much."""
    it = Giving(keeps(0.2, 5, 60)).goes_on(5)
    while not it.it.gives_way:
        before_bps = it.rate_bps
        it.goes_on(it.now_s + STEP_S)
    assert it.rate_bps == pytest.approx(before_bps * GIVES)
    while it.it.gives_way:
        it.goes_on(it.now_s + STEP_S)
    assert it.said[-1]
    assert it.rate_bps >= before_bps
    assert it.it.up_most == UP_BEGINS
    it.it.too_much()
    assert it.it.up_most == UP


def test_without_tcps_word_nothing_is_tried_boldly() -> None:
    it = Giving(keeps(0.2, 5, 60), tcp_says=False).goes_on(15)
    assert it.said[-1]
    assert (it.it.as_tcp, it.it.up_most) == (False, UP)


def test_one_that_comes_back_is_looked_at_once() -> None:
    """It had fallen for so long that it seemed to have gone."""
    it = Giving(keeps(0.2, 5, 40)).goes_on(40 + GONE_S + 1)
    assert not it.said[-1]
    back_s = it.now_s + 1
    it._others_s = keeps(0.2, back_s, 90)
    it.goes_on(back_s + BACK_S)
    assert it.said.index(True, round(back_s / STEP_S)) * STEP_S < back_s + CHECK_S
    assert it.said[-1]


def test_at_the_lowest_a_little_more_now_and_then_is_no_sign_that_it_is_ours() -> None:
    """Others leave what they please: it goes up a little where their queue has fallen, and down again."""
    it, now_s = Contest(), 0.0
    while it.base_s is None and now_s < 4 * AGAIN_S:
        now_s += STEP_S
        queue_s = 0.06 + 0.2 * (now_s % 5) / 5
        rate_bps = 24e3 if now_s % 5 > 1 else 30e3
        it.look(Seen(0.8 + queue_s, 0.8, FULL_S, 0.8 + queue_s), rate_bps, now_s, lowest=True)
    assert it.base_s is not None


def full_at(it: Contest, rates_bps: list[float], **more: bool) -> bool:
    """Whether it gives way when the link is full at these, a second and a half apart."""
    for number, rate_bps in enumerate(rates_bps):
        it.look(Seen(LEAST_S + 0.1, LEAST_S, FULL_S, LEAST_S + 0.1), rate_bps, 1.5 * number, **more)
    return it.gives_way


def test_one_of_us_who_comes_and_takes_half_is_not_taken_for_an_upload() -> None:
    assert not full_at(Contest(), [1.9e6, 1.5e6, 1.2e6, 1e6, 0.97e6, 1e6, 0.95e6])
    assert full_at(Contest(), [1.9e6, 1.5e6, 1.2e6, 0.9e6])


def test_who_sends_more_than_he_may_cannot_give_way_so_it_shows_nothing() -> None:
    """As many cameras on a very thin link do, of which each sends its least."""
    assert not full_at(Contest(), [90e3, 70e3, 50e3, 40e3, 30e3], obeys=False)


def test_a_long_queue_of_ours_that_falls_by_and_by_is_ours() -> None:
    it, now_s = Contest(), 0.0
    assert full_at(it, [1.9e6, 1.5e6, 1.2e6, 0.9e6])
    for queue_s in (0.4, 0.3, 0.18, 0.1, 0.05, *[0.0] * 10):
        now_s += STEP_S
        it.look(Seen(LEAST_S + queue_s, LEAST_S, FULL_S, LEAST_S + queue_s), 0.54e6, 4.5 + now_s)
    assert not it.gives_way
    assert it.base_s is None


def test_far_too_much_is_not_given_way_from() -> None:
    """A link that others have just left is tried boldly: of 3 Mbit/s where 2 come through, 0.6 would be no less."""
    it = Contest()
    assert not full_at(it, [1.9e6, 1.5e6, 1.2e6])
    assert it.look(Seen(0.2, LEAST_S, FULL_S, 0.2, came_bps=0.6e6), 0.9e6, 4.5) == pytest.approx(0.6e6 * GIVES)
