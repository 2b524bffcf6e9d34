"""The offset to the gateway's clock: right to within half the round trip, through jitter and clocks that step."""

import random

from hypothesis import given
from hypothesis import strategies as st

from fishladder.edge.clock import OffsetEstimator, ServerTime

GATEWAY_US = 1_790_000_000_000_000


def probe(
    estimator: OffsetEstimator, at_us: int, there_us: int, back_us: int, offset_us: int, busy_us: int = 50
) -> None:
    estimator.answered(
        sent_us=at_us,
        received_us=at_us + there_us + offset_us,
        replied_us=at_us + there_us + busy_us + offset_us,
        now_us=at_us + there_us + busy_us + back_us,
    )


@given(st.lists(st.tuples(st.integers(0, 500_000), st.integers(0, 500_000)), min_size=1, max_size=40))
def test_the_error_is_at_most_half_the_shortest_round_trip(delays: list[tuple[int, int]]) -> None:
    estimator = OffsetEstimator(window_us=10**12)
    for index, (there, back) in enumerate(delays):
        probe(estimator, index * 2_000_000, there, back, GATEWAY_US)
    assert estimator.offset_us is not None
    assert abs(estimator.offset_us - GATEWAY_US) <= min(there + back for there, back in delays) / 2 + 1


def test_unknown_until_answered() -> None:
    assert OffsetEstimator().offset_us is None
    assert OffsetEstimator().rtt_us is None


def test_a_gateway_clock_that_steps_is_followed_at_once() -> None:
    estimator = OffsetEstimator()
    rng = random.Random(1)
    for index in range(10):
        probe(estimator, index * 2_000_000, rng.randint(1000, 30_000), rng.randint(1000, 30_000), GATEWAY_US)
    stepped = GATEWAY_US - 3_600_000_000
    probe(estimator, 30_000_000, 20_000, 20_000, stepped)
    assert estimator.offset_us is not None
    assert abs(estimator.offset_us - stepped) <= 20_000


def test_old_probes_are_forgotten() -> None:
    estimator = OffsetEstimator(window_us=10_000_000)
    probe(estimator, 0, 0, 0, GATEWAY_US)
    probe(estimator, 20_000_000, 5000, 1000, GATEWAY_US + 2000)
    assert estimator.offset_us == GATEWAY_US + 2000 + 2000


def test_answers_that_cannot_be_are_ignored() -> None:
    estimator = OffsetEstimator()
    estimator.answered(sent_us=500, received_us=GATEWAY_US, replied_us=GATEWAY_US, now_us=100)
    estimator.answered(sent_us=-5, received_us=GATEWAY_US, replied_us=GATEWAY_US, now_us=100)
    estimator.answered(sent_us=50, received_us=GATEWAY_US, replied_us=GATEWAY_US - 10, now_us=100)
    assert estimator.offset_us is None


class SetByHand:
    """A host without a clock of its own, which begins somewhere, until somebody sets it."""

    def __init__(self) -> None:
        self.wall, self.mono = 0, 5_000_000

    def wall_us(self) -> int:
        return self.wall

    def mono_us(self) -> int:
        return self.mono


def test_the_time_a_server_said_goes_on_when_the_host_is_set() -> None:
    clock = SetByHand()
    server = ServerTime(clock)
    assert server.now_s() is None
    server.heard(GATEWAY_US / 1e6)
    clock.wall, clock.mono = GATEWAY_US, clock.mono + 60_000_000
    assert server.now_s() == GATEWAY_US / 1e6 + 60
    server.heard(None)
    assert server.now_s() == GATEWAY_US / 1e6 + 60


def test_where_no_server_says_its_time_the_hosts_has_to_do() -> None:
    clock = SetByHand()
    clock.wall = GATEWAY_US
    server = ServerTime(clock)
    server.heard(None)
    assert server.now_s() == GATEWAY_US / 1e6
