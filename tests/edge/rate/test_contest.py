"""Whose queue it is that stands before the uplink."""

from collections.abc import Callable

import pytest

from fishladder.edge.rate.contest import GIVES, GONE_S, OTHERS_S, OURS, Contest, Seen

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
    ) -> None:
        self.it, self.now_s, self.rate_bps, self.said = Contest(), 0.0, 1e6, list[bool]()
        self._others_s, self._carries_bps, self._tcp_says = others_s, carries_bps, tcp_says
        self._ours_s, self._empty_s = 0.0, 10.0

    def goes_on(self, until_s: float) -> "Giving":
        while self.now_s < until_s:
            self.now_s += STEP_S
            carries_bps = self._carries_bps(self.now_s)
            may_bps = self.rate_bps * (GIVES if self.it.gives_way else 1.0)
            self._ours_s = max(self._ours_s + (may_bps / carries_bps - 1) * STEP_S, 0.0)
            queue_s = self._others_s(self.now_s) + self._ours_s
            self._empty_s = min(self._empty_s, LEAST_S + queue_s)
            delay_s = LEAST_S + queue_s
            seen = Seen(delay_s, self._empty_s, FULL_S, delay_s if self._tcp_says else None)
            self.it.look(seen, may_bps, self.now_s)
            if delay_s - self._empty_s > FULL_S and self.it.base_s is None:
                self.rate_bps = max(min(self.rate_bps, carries_bps) * (0.96 - 0.6 * queue_s), 24e3)
            elif not self.it.gives_way:
                self.rate_bps *= 1.03
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
    it._carries_bps = lambda now_s: it.rate_bps * 0.97
    it.goes_on(70)
    assert not it.said[-1]
