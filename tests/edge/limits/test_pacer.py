"""The pacer: never more than its rate and one burst, and no message waits longer than it must."""

import math

from hypothesis import given
from hypothesis import strategies as st

from fishladder.edge.limits.pacer import BURST_S, Pacer

MESSAGE = 16_000


@given(st.floats(2e4, 1e8), st.lists(st.tuples(st.integers(1, MESSAGE), st.floats(0, 0.3)), min_size=1, max_size=200))
def test_no_more_than_the_rate(rate_bps: float, messages: list[tuple[int, float]]) -> None:
    pacer, now_s, sent = Pacer(), 100.0, 0
    pacer.set(rate_bps, gentle=False, now_s=now_s)
    for size, pause_s in messages:
        now_s += pause_s
        now_s += pacer.wait_s(now_s)
        assert pacer.wait_s(now_s) <= 1e-6
        pacer.sent(size)
        sent += size
        assert sent * 8 <= rate_bps * (now_s - 100.0 + BURST_S) + MESSAGE * 8 + 1


@given(st.floats(2e4, 1e8), st.integers(1, MESSAGE))
def test_all_of_the_rate(rate_bps: float, size: int) -> None:
    pacer, now_s, sent = Pacer(), 0.0, 0
    pacer.set(rate_bps, gentle=True, now_s=0.0)
    for _ in range(50):
        now_s += pacer.wait_s(now_s)
        pacer.sent(size)
        sent += size
    assert sent * 8 >= rate_bps * now_s * 0.999


def test_without_a_limit_nothing_waits_and_with_none_left_nothing_goes() -> None:
    pacer = Pacer()
    pacer.sent(10**9)
    assert pacer.wait_s(0.0) == 0.0
    pacer.set(0.0, gentle=False, now_s=0.0)
    assert pacer.wait_s(1e6) == math.inf
    pacer.set(1e6, gentle=False, now_s=1e6)
    assert pacer.wait_s(1e6) == 0.0
    pacer.set(math.inf, gentle=False, now_s=1e6)
    assert pacer.wait_s(1e6) == 0.0


def test_what_was_said_too_much_is_given_back() -> None:
    pacer = Pacer()
    pacer.set(1e5, gentle=False, now_s=0.0)
    pacer.sent(10_000)
    assert pacer.wait_s(0.0) > 0.7
    pacer.sent(-10_000)
    assert pacer.wait_s(0.0) == 0.0


def test_nobody_owes_what_went_while_nothing_might() -> None:
    """The month's allowance is used up; what the protocol says all the same is not taken from the next month's."""
    pacer = Pacer()
    pacer.set(1e6, gentle=False, now_s=0.0)
    for now_s in range(1, 5 * 86_400, 600):
        pacer.set(0.0, gentle=False, now_s=float(now_s))
        pacer.sent(300_000)
        assert pacer.wait_s(float(now_s)) == math.inf
    pacer.set(1e6, gentle=False, now_s=5 * 86_400.0)
    assert pacer.wait_s(5 * 86_400.0) < 1.0
