"""What follows from acknowledgements, and what does not."""

from support.fluid_site import IDLE, QUEUES

from fishladder.edge.link_state import SILENT, LinkState
from fishladder.edge.rate.estimator import FULL_S, LEAST_BPS, Estimator


def fed(*, delay_s: float, seconds: float = 2.0, first_bps: float = 1e6, start_s: float = 0.0) -> Estimator:
    """Units of 4 KB, 30 a second: an undisturbed second, then so much delay."""
    it = Estimator(first_bps)
    for tick in range(int((1.0 + seconds) * 30)):
        now_s = start_s + tick / 30
        it.sent(4000, now_s)
        it.acked(4000, 0.02 if tick < 30 else 0.02 + delay_s, now_s)
        it.step(now_s, 0.02 if tick < 30 else 0.02 + delay_s, 4000)
    return it


def test_a_standing_queue_lowers_the_rate_and_none_raises_it() -> None:
    assert fed(delay_s=0.0).rate_bps > 1e6
    queued = fed(delay_s=0.06)
    assert queued.queue_s > FULL_S
    assert LEAST_BPS < queued.rate_bps < 1e6
    assert queued.carried_bps is not None


def test_where_nothing_is_sent_nothing_queues() -> None:
    it = fed(delay_s=0.06)
    it.step(9.0, None)
    assert it.queue_s == 0.0


def test_a_link_that_is_away_says_nothing_of_its_rate() -> None:
    it = fed(delay_s=0.0)
    before = it.rate_bps
    for tick in range(100):
        it.step(4.0 + tick / 10, 1.0 + tick / 10, 40_000)
    assert it.rate_bps == before
    assert it.carried_bps is None


def test_where_tcp_sees_a_queue_lateness_is_believed_sooner_and_where_it_sees_none_later() -> None:
    it = fed(delay_s=0.0)
    links = (QUEUES, SILENT, IDLE)
    late = [it.late(3.1, oldest_s, 0, link) for oldest_s in (0.12, 0.2, 0.6) for link in links]
    assert late == [True, False, False, True, True, False, True, True, True]


def test_once_the_queue_has_drained_the_rate_is_what_came_meanwhile() -> None:
    it = fed(delay_s=0.0, first_bps=4e6)
    now_s = 3.0
    it.step(now_s, 0.5, 60_000)
    low_bps = it.rate_bps
    for tick in range(24):  # the link carries 32 units of 4 KB a second: a megabit
        now_s += 1 / 32
        waits_s = max(0.4 - tick * 0.03, 0.0)
        it.acked(4000, 0.02 + waits_s, now_s)
        it.step(now_s, 0.02 + waits_s, 4000)
    assert low_bps < 1e6
    for _ in range(10):
        now_s += 1 / 32
        it.acked(4000, 0.02, now_s)
        it.step(now_s, 0.02, 4000)
    assert 0.8e6 < it.rate_bps < 1.4e6


def test_after_a_queue_the_rate_is_soon_what_came() -> None:
    """It goes down so that the queue drains, which is no reason to send less once it has."""
    it = fed(delay_s=0.06)
    low_bps, carried_bps = it.rate_bps, it.carried_bps
    assert carried_bps is not None
    for tick in range(16):
        now_s = 3.0 + tick / 30
        it.sent(4000, now_s)
        it.acked(4000, 0.02, now_s)
        it.step(now_s, 0.02, 4000)
    assert low_bps * it.made < 0.95 * carried_bps < it.rate_bps * it.made < 1.1 * carried_bps


def test_what_a_pause_kept_back_is_known_until_it_has_drained() -> None:
    it = fed(delay_s=0.0)
    for tick in range(8):  # of 0.25 s, in which a fourth is sent
        now_s = 3.0 + tick / 30
        if tick % 4 == 0:
            it.sent(4000, now_s)
        it.paused(now_s)
    assert 0.1 < it.behind_s < 0.25
    it.acked(4000, 0.2, 3.3)
    assert it.behind_s > 0.1
    it.acked(4000, 0.04, 3.4)
    assert it.behind_s == 0.0


def test_what_units_show_is_believed_until_it_was_wrong() -> None:
    it, now_s = Estimator(1e6), 0.0
    calm = LinkState(rtt_us=20_000, min_rtt_us=20_000)

    def goes_on(seconds: float, delay_s: float) -> None:
        nonlocal now_s
        for _ in range(round(seconds * 30)):
            now_s += 1 / 30
            it.sent(4000, now_s)
            it.acked(4000, delay_s, now_s)
            it.step(now_s, delay_s, 4000, calm, proven_bps=8e6)

    goes_on(1.0, 0.02)
    goes_on(1.0, 0.08)  # now it knows what the link carries
    before_bps = it.rate_bps
    goes_on(0.6, 0.02)
    assert it.rate_bps > 1.5 * before_bps, "believed"
    goes_on(0.6, 0.12)
    before_bps = it.rate_bps
    goes_on(0.6, 0.02)
    assert it.rate_bps < 1.2 * before_bps, "and not any more"


def busy_part_of_the_time(share: float, seconds: float = 40.0) -> Estimator:
    """A link that was full, and then carries some of what it may, of which a little waits all the time."""
    it = fed(delay_s=0.06)
    size = round(it.rate_bps * share / 8 / 30)
    for tick in range(int(seconds * 30)):
        now_s = 3.0 + tick / 30
        it.sent(size, now_s)
        it.acked(size, 0.02 + FULL_S * 0.8, now_s)
        it.step(now_s, 0.02 + FULL_S * 0.8, size)
    return it


def test_a_link_on_which_a_little_waits_all_the_time_is_known_as_long_as_it_is_used() -> None:
    used, idle = busy_part_of_the_time(0.9), busy_part_of_the_time(0.3)
    assert used.carried_bps is not None
    assert 0.8 * used.rate_bps < used.carried_bps < used.rate_bps, "what came, not what may"
    assert idle.carried_bps is None, "of what little says nothing follows for ever"
