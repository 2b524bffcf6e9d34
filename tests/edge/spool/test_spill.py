"""When frames go to the spool: never on a link that carries them, all of them on one that does not, and live goes on at
an entry point.
"""

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.held import HeldRange, HeldUnit
from fishladder.edge.ring import Ring
from fishladder.edge.spool.spill import FRESH_US, LATE_US, SPILL_US, Spill, due, everything
from fishladder.wire.fates import Fate
from fishladder.wire.unit import NO_FLAGS, Codec, Flag

STEP_US = 100_000


def capture(ring: Ring, count: int, *, gop: int = 20) -> int:
    """Ten pictures a second; what the time is then."""
    for _ in range(count):
        at = ring.position
        flags = Flag.CLEAN if at % gop == 0 else NO_FLAGS
        unit = CapturedUnit(Codec.H264, flags, 64, 48, STEP_US, at * STEP_US, at * STEP_US, b"x" * 100)
        ring.append_unit(unit, wall_us=0, ready_us=0)
    return ring.position * STEP_US


def seqs(plan: Spill | None) -> list[int]:
    assert plan is not None
    return [held.first for held in plan.entries]


def test_a_link_that_carries_everything_writes_nothing() -> None:
    ring, written = Ring(), 0
    for _ in range(3000):
        now_us = capture(ring, 1)
        while ring.take(now_us) is not None:
            pass
        ring.acknowledge(ring.position, max(ring.position - 10, 0))
        written += due(ring, now_us, live=True) is not None
    assert written == 0


def test_what_waited_too_long_is_written_and_no_more() -> None:
    ring = Ring()
    now_us = capture(ring, 45)
    assert due(ring, now_us, live=False) is None
    now_us = capture(ring, 15)
    plan = due(ring, now_us, live=False)
    assert seqs(plan) == list(range(1, 12))
    assert plan is not None
    ring.defer(plan.last)
    assert due(ring, now_us, live=False) is None
    assert due(ring, now_us + SPILL_US, live=False) is not None


def test_in_a_long_outage_everything_is_written_once() -> None:
    ring = Ring(1 << 20)
    written: list[int] = []
    for _ in range(500):
        now_us = capture(ring, 10)
        if (plan := due(ring, now_us, live=False)) is not None:
            written += seqs(plan)
            ring.defer(plan.last)
    assert written == list(range(1, written[-1] + 1))
    assert written[-1] > 4900
    assert ring.spool_full == 0


def test_when_the_link_is_back_live_goes_on_at_the_newest_keyframe() -> None:
    ring = Ring()
    now_us = capture(ring, 130)
    plan = due(ring, now_us, live=False)
    assert plan is not None
    ring.defer(plan.last)  # up to 80, in the middle of a group
    plan = due(ring, now_us, live=True)
    assert seqs(plan) == list(range(82, 121))  # the newest keyframe is 121
    assert plan is not None
    ring.defer(plan.last)
    first = ring.take(now_us)
    assert first is not None
    assert (first.first, first.last) == (1, 120)
    following = ring.take(now_us)
    assert isinstance(following, HeldUnit)
    assert following.first == 121


def test_without_a_fresh_keyframe_it_waits_for_the_next_and_writes_what_comes_before() -> None:
    ring = Ring()
    now_us = capture(ring, 130, gop=1000)
    plan = due(ring, now_us, live=True)
    assert plan is not None
    assert plan.last == 130
    ring.defer(plan.last)
    now_us = capture(ring, 5, gop=1000)
    assert due(ring, now_us, live=True) is None  # a moment's worth is not worth writing
    while ring.take(now_us) is not None:
        pass
    assert ring.blocked
    assert ring.wants_keyframe
    now_us = capture(ring, 10, gop=1000)
    plan = due(ring, now_us, live=True)
    assert seqs(plan) == list(range(131, 146))
    assert plan is not None
    ring.defer(plan.last)
    capture(ring, 1, gop=145)  # there it is
    while ring.take(now_us) is not None:
        pass
    assert ring.next == 147


def test_a_short_interruption_is_caught_up_with_in_order() -> None:
    ring = Ring()
    now_us = capture(ring, 40)
    assert due(ring, now_us, live=True) is None
    assert now_us < SPILL_US
    assert FRESH_US < SPILL_US


def test_an_agent_that_ends_leaves_what_is_not_committed() -> None:
    ring = Ring()
    now_us = capture(ring, 30)
    for _ in range(25):
        ring.take(now_us)
    ring.acknowledge(25, 22)
    ring.append_range(3, Fate.SAMPLED_OUT, mono_us=now_us, wall_us=0)
    plan = everything(ring)
    assert seqs(plan)[0] == 21  # where a decoder can start
    assert plan is not None
    assert plan.last == 33
    ring.disconnected()
    while ring.take(now_us, flush=True) is not None:
        pass
    ring.acknowledge(33, 33)
    assert everything(ring) is None


def test_what_comes_back_while_it_is_written_is_not_deferred_unwritten() -> None:
    """The connection is lost meanwhile: what was sent before what is written is unsent again."""
    ring = Ring()
    capture(ring, 10)
    for _ in range(4):
        ring.take(0)
    plan = due(ring, ring.position * STEP_US + SPILL_US, live=True)
    assert plan is not None
    assert (plan.first, plan.last, plan.holds_for(ring)) == (5, 10, True)
    ring.take(0)
    assert plan.holds_for(ring)
    ring.disconnected()
    assert not plan.holds_for(ring)
    again = due(ring, ring.position * STEP_US + SPILL_US, live=True)
    assert seqs(again) == list(range(1, 11))


def test_a_unit_given_up_half_way_is_spooled_and_live_goes_on_at_the_next_entry_point() -> None:
    ring = Ring()
    now_us = capture(ring, 5)
    taken = [ring.take(now_us) for _ in range(5)]
    ring.acknowledge(4, 0)
    assert ring.take_back()
    assert ring.next == 5
    assert ring.take(now_us) is None, "and not sent again"
    assert ring.wants_keyframe
    now_us = capture(ring, 1, gop=1)
    plan = due(ring, now_us, live=True, late_us=LATE_US)
    assert plan is not None
    assert (plan.entries[-1].first, plan.last) == (5, 5)
    assert [held.first for held in plan.entries[:-1]] == [1, 2, 3, 4], "what it refers to goes with it"
    ring.defer(plan.last)
    fate, unit = ring.take(now_us), ring.take(now_us)
    assert isinstance(fate, HeldRange)
    assert fate.fate is Fate.DEFERRED
    assert isinstance(unit, HeldUnit)
    assert (unit.first, len(taken)) == (6, 5)


def test_an_entry_point_is_sent_to_its_end_and_what_has_arrived_is_not_taken_back() -> None:
    ring = Ring()
    now_us = capture(ring, 2)
    ring.take(now_us)
    assert not ring.take_back()
    ring.take(now_us)
    ring.acknowledge(2, 0)
    assert not ring.take_back()
    assert ring.next == 3
