"""The ring: every captured seq in it exactly once until it is committed, whatever is acknowledged, dropped or sent
again.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.held import ENTRY_BYTES, HeldRange, HeldUnit
from fishladder.edge.ring import RANGE_HOLD_US, Ring
from fishladder.wire.fates import Fate
from fishladder.wire.unit import NO_FLAGS, Codec, Flag


def unit(flags: Flag = NO_FLAGS, size: int = 100, mono_us: int = 0) -> CapturedUnit:
    return CapturedUnit(Codec.H264, flags, 64, 64, 66_667, mono_us, mono_us, bytes(size))


def add(ring: Ring, flags: Flag = NO_FLAGS, size: int = 100, mono_us: int = 0) -> bool:
    return ring.append_unit(unit(flags, size, mono_us), wall_us=0, ready_us=0)


def skip(ring: Ring, count: int, fate: Fate = Fate.SAMPLED_OUT, mono_us: int = 0) -> None:
    ring.append_range(count, fate, mono_us=mono_us, wall_us=0)


def shape(ring: Ring) -> list[tuple[int, int, str]]:
    return [(held.first, held.last, "unit" if isinstance(held, HeldUnit) else held.fate.label) for held in ring]


def send_all(ring: Ring, now_us: int = 10**12) -> list[tuple[int, int]]:
    sent = []
    while (first := ring.next) and (held := ring.take(now_us)):
        sent.append((first, held.last))
    return sent


def test_committed_units_are_kept_back_to_where_a_decoder_can_start() -> None:
    ring = Ring()
    for index in range(10):
        add(ring, Flag.CLEAN if index % 4 == 0 else NO_FLAGS)  # clean at 1, 5, 9
    send_all(ring)
    ring.acknowledge(10, 6)
    assert ring.oldest == 5
    ring.acknowledge(10, 7)
    assert ring.oldest == 5
    ring.acknowledge(10, 8)  # the next to be decoded is 9, which is clean itself
    assert ring.oldest == 9
    ring.acknowledge(10, 10)
    assert (ring.oldest, ring.pending) == (9, 0)


def test_a_recovery_point_serves_where_no_clean_point_is_held() -> None:
    ring = Ring(replay_us=1_000_000)
    add(ring, Flag.CLEAN, mono_us=0)
    for index in range(1, 40):
        add(ring, Flag.RECOVERY if index % 10 == 0 else NO_FLAGS, mono_us=index * 100_000)
    send_all(ring)
    ring.acknowledge(40, 8)
    assert ring.oldest == 1
    ring.acknowledge(40, 35)  # the clean point is over a second back; 31 is the newest recovery point
    assert ring.oldest == 31
    assert ring.clean_points(256) == [31]


def test_without_an_entry_point_within_the_bound_nothing_committed_is_kept() -> None:
    ring = Ring(replay_bytes=1000)
    add(ring, Flag.CLEAN)
    for _ in range(20):
        add(ring)
    send_all(ring)
    ring.acknowledge(21, 15)
    assert ring.oldest == 16


def test_a_keyframe_is_wanted_before_the_replay_grows_too_long() -> None:
    ring = Ring(replay_us=10_000_000)
    add(ring, Flag.CLEAN)
    add(ring, mono_us=7_000_000)
    assert not ring.wants_keyframe
    add(ring, mono_us=8_000_000)
    assert ring.wants_keyframe
    add(ring, Flag.CLEAN, mono_us=8_100_000)
    assert not ring.wants_keyframe


def test_a_growing_range_is_held_back_until_something_follows() -> None:
    ring = Ring()
    skip(ring, 1, mono_us=0)
    skip(ring, 2, mono_us=100_000)
    assert ring.take(RANGE_HOLD_US - 1) is None
    assert ring.position == 3
    add(ring, Flag.CLEAN)
    assert send_all(ring, 0) == [(1, 3), (4, 4)]
    skip(ring, 1, mono_us=0)
    assert ring.take(RANGE_HOLD_US) is not None
    skip(ring, 1, mono_us=0)  # after what was sent: not the same range any more
    assert send_all(ring) == [(6, 6)]


def test_flush_holds_nothing_back() -> None:
    ring = Ring()
    skip(ring, 5)
    held = ring.take(0, flush=True)
    assert held is not None
    assert held.last == 5


def test_a_full_ring_drops_its_oldest_whole_unsent_group() -> None:
    cost = ENTRY_BYTES + 100
    ring = Ring(limit_bytes=12 * cost)
    for index in range(12):
        add(ring, Flag.CLEAN if index % 4 == 0 else NO_FLAGS)
    assert ring.take(0) is not None  # seq 1 is on its way: its group is not whole any more
    add(ring)
    assert shape(ring)[:6] == [
        (1, 1, "unit"),
        (2, 2, "unit"),
        (3, 3, "unit"),
        (4, 4, "unit"),
        (5, 8, "spool_full"),
        (9, 9, "unit"),
    ]
    assert ring.spool_full == 4
    assert ring.bytes <= ring.limit_bytes


def test_what_was_sampled_out_stays_so_when_its_neighbours_are_dropped() -> None:
    ring = Ring(limit_bytes=10 * (ENTRY_BYTES + 4000))
    for index in range(30):
        add(ring, Flag.CLEAN if index % 5 == 0 else NO_FLAGS, size=4000)
        skip(ring, 2)
    fates = [held.fate for held in ring if isinstance(held, HeldRange) for _ in range(held.first, held.last + 1)]
    assert fates.count(Fate.SAMPLED_OUT) == 60
    assert fates.count(Fate.SPOOL_FULL) == ring.spool_full > 0


def test_after_the_open_group_was_dropped_nothing_is_kept_until_an_entry_point() -> None:
    ring = Ring(limit_bytes=5 * (ENTRY_BYTES + 100))
    add(ring, Flag.CLEAN)
    for _ in range(5):
        add(ring)
    assert shape(ring) == [(1, 6, "spool_full")]
    assert not add(ring)
    assert ring.wants_keyframe
    assert add(ring, Flag.CLEAN)
    assert shape(ring) == [(1, 7, "spool_full"), (8, 8, "unit")]
    assert not ring.wants_keyframe


def test_units_in_the_log_are_never_redeclared() -> None:
    ring = Ring(limit_bytes=6 * (ENTRY_BYTES + 100))
    for _ in range(6):
        add(ring, Flag.CLEAN)
    send_all(ring)
    ring.acknowledge(6, 0)
    for _ in range(20):
        add(ring, Flag.CLEAN)
    assert shape(ring) == [(seq, seq, "unit") for seq in range(1, 7)] + [(7, 26, "spool_full")]


def test_a_unit_too_large_to_be_sent_is_counted_and_the_stream_resumes_at_an_entry_point() -> None:
    ring = Ring()
    add(ring, Flag.CLEAN)
    add(ring, size=0)
    add(ring)
    add(ring, Flag.CLEAN)
    assert shape(ring) == [(1, 1, "unit"), (2, 2, "encoder"), (3, 3, "spool_full"), (4, 4, "unit")]


def test_an_outage_of_a_day_stays_bounded() -> None:
    ring = Ring(limit_bytes=1 << 19)
    for index in range(15_000):
        add(ring, Flag.CLEAN if index % 20 == 0 else NO_FLAGS, size=300)
        skip(ring, 2)
    assert ring.bytes <= ring.limit_bytes
    assert ring.bytes == sum(held.cost for held in ring)
    assert ring.position == 45_000


def test_clean_points_are_thinned_to_what_a_hello_may_name() -> None:
    ring = Ring()
    for _ in range(1000):
        add(ring, Flag.CLEAN)
    points = ring.clean_points(256)
    assert len(points) <= 256
    assert points[-1] == 1000
    assert points == sorted(points)


@settings(max_examples=40)
@given(st.integers(1, 30))
def test_rewinding_into_a_range_sends_only_the_rest_of_it(seq: int) -> None:
    ring = Ring()
    skip(ring, 30)
    add(ring, Flag.CLEAN)
    send_all(ring)
    ring.rewind(seq)
    assert send_all(ring) == [(seq, 30), (31, 31)]


def test_what_is_deferred_is_one_range_and_sending_goes_on_at_an_entry_point() -> None:
    ring = Ring()
    for index in range(10):
        add(ring, Flag.CLEAN if index % 4 == 0 else NO_FLAGS)  # clean at 1, 5, 9
        skip(ring, 1)
    ring.take(0)
    ring.defer(12)
    assert shape(ring)[:3] == [(1, 1, "unit"), (2, 12, "deferred"), (13, 13, "unit")]
    assert ring.deferred == 11
    assert send_all(ring) == [(2, 12)]  # 13 refers to what was deferred
    assert ring.blocked
    assert ring.wants_keyframe
    ring.defer(16)
    assert send_all(ring)[:2] == [(13, 16), (17, 17)]
    assert not ring.blocked
    ring.acknowledge(20, 16)
    assert (ring.deferred, ring.oldest) == (0, 17)


def test_what_cannot_be_sent_nor_kept_is_dropped_up_to_the_next_entry_point() -> None:
    ring = Ring()
    for index in range(10):
        add(ring, Flag.CLEAN if index % 8 == 0 else NO_FLAGS)  # clean at 1, 9
    ring.give_up()
    assert len(shape(ring)) == 10
    ring.defer(5)
    ring.give_up()
    assert shape(ring)[:3] == [(1, 5, "deferred"), (6, 8, "spool_full"), (9, 9, "unit")]
    ring.defer(9)
    ring.give_up()
    assert not add(ring)
    assert add(ring, Flag.CLEAN)
    assert shape(ring) == [(1, 9, "deferred"), (10, 11, "spool_full"), (12, 12, "unit")]
    assert send_all(ring) == [(1, 9), (10, 11), (12, 12)]


def test_what_goes_to_the_spool_brings_what_a_decoder_needs_before_it() -> None:
    ring = Ring()
    for index in range(6):
        add(ring, Flag.CLEAN if index % 4 == 0 else NO_FLAGS)  # clean at 1, 5
    assert ring.context() == []
    for _ in range(2):
        ring.take(0)
    assert [held.first for held in ring.context()] == [1, 2]
    assert [held.first for held in ring.unsent()] == [3, 4, 5, 6]
    ring.defer(3)
    assert ring.context() == []  # it is in the spool already


def test_the_ranges_among_them_come_along() -> None:
    ring = Ring()
    add(ring, Flag.CLEAN)
    skip(ring, 3)
    add(ring)
    skip(ring, 3)
    add(ring)
    while ring.next < 6:
        ring.take(10**9)
    assert [(held.first, held.last) for held in ring.context()] == [(1, 1), (2, 4), (5, 5)]
    ring.defer(7)
    add(ring)
    while ring.take(10**9) is not None:
        pass
    assert ring.next == 9  # the rest of a range went live, between two deferrals
    assert [(held.first, held.last) for held in ring.context()] == [(8, 8)]


def test_what_is_nowhere_else_begins_behind_what_was_deferred() -> None:
    ring = Ring()
    add(ring, Flag.CLEAN)
    skip(ring, 3)
    add(ring)
    assert ring.oldest_here == 1
    ring.defer(2)
    assert ring.oldest_here == 3  # the rest of the range
    ring.defer(5)
    assert ring.oldest_here == 6
    add(ring, Flag.CLEAN)
    add(ring)
    while ring.take(10**9) is not None:
        pass
    ring.acknowledge(7, 6)
    assert ring.oldest_here == 6, "7 is decoded with it"


def test_a_ring_goes_on_from_what_an_earlier_process_held() -> None:
    before = Ring()
    for index in range(12):
        add(before, Flag.CLEAN if index % 4 == 0 else NO_FLAGS)
    kept = [held for held in before if held.first >= 7]
    ring = Ring()
    ring.restore(kept, committed=3)
    assert shape(ring)[:2] == [(4, 6, "deferred"), (7, 7, "unit")]
    assert (ring.position, ring.next, ring.committed, ring.oldest, ring.oldest_here) == (12, 4, 3, 4, 7)
    assert send_all(ring) == [(4, 6)]  # 7 refers to 5 and 6
    assert ring.blocked
    ring.rewind(8)  # the gateway has it
    assert send_all(ring)[0] == (8, 8)
    ring.rewind(8, anew=True)  # 7 is committed, but perhaps the log was lost
    assert ring.blocked


class RingMachine(RuleBasedStateMachine):
    """Any order of capturing, sending, acknowledging, losing the connection, and a log that was lost."""

    @initialize(limit=st.integers(3, 40))
    def begin(self, limit: int) -> None:
        self.ring = Ring(limit_bytes=limit * 400, replay_bytes=2000, replay_us=3_000_000)
        self.now_us = 0
        self.sent = 0
        self.logged: dict[int, str] = {}

    @rule(flags=st.sampled_from([NO_FLAGS, NO_FLAGS, Flag.CLEAN, Flag.RECOVERY]), size=st.integers(1, 600))
    def capture(self, flags: Flag, size: int) -> None:
        self.now_us += 100_000
        add(self.ring, flags, size, self.now_us)

    @rule(count=st.integers(1, 4), fate=st.sampled_from([Fate.SAMPLED_OUT, Fate.ENCODER]))
    def leave_out(self, count: int, fate: Fate) -> None:
        self.now_us += 100_000
        skip(self.ring, count, fate, self.now_us)

    @rule()
    def send(self) -> None:
        first = self.ring.next
        held = self.ring.take(self.now_us)
        if held is not None:
            assert held.first <= first <= held.last
            self.sent = held.last

    @precondition(lambda self: self.ring.next > 1)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        logged = data.draw(st.integers(0, self.ring.next - 1))
        self.ring.acknowledge(logged, data.draw(st.integers(0, max(logged, self.ring.logged))))

    @precondition(lambda self: self.ring.next <= self.ring.position)
    @rule(data=st.data())
    def defer(self, data: st.DataObject) -> None:
        last = data.draw(st.integers(self.ring.next, self.ring.position))
        kept = [*self.ring.context(), *self.ring.unsent()]
        assert kept[-1].last == self.ring.position
        self.ring.defer(last)
        assert next(held.fate for held in self.ring.unsent() if isinstance(held, HeldRange)) is Fate.DEFERRED

    @rule()
    def lose_connection(self) -> None:
        logged = self.ring.logged
        self.ring.disconnected()
        assert self.ring.next == min(max(logged + 1, self.ring.oldest), self.ring.position + 1)

    @rule(data=st.data())
    def lose_log(self, data: st.DataObject) -> None:
        clean = [seq for seq in self.ring.clean_points(256) if seq <= self.ring.committed + 1]
        start = max(clean, default=max(self.ring.committed + 1, self.ring.oldest))
        self.ring.rewind(start)
        self.ring.set_committed(self.ring.committed)

    @invariant()
    def each_seq_is_there_once(self) -> None:
        if not hasattr(self, "ring"):
            return
        ring = self.ring
        expected = ring.oldest
        for held in ring:
            assert held.first == expected
            assert held.last >= held.first
            expected = held.last + 1
        assert expected == ring.position + 1
        assert ring.oldest <= ring.committed + 1
        assert ring.oldest <= ring.next <= ring.position + 1
        assert ring.bytes == sum(held.cost for held in ring)

    @invariant()
    def it_is_bounded(self) -> None:
        if not hasattr(self, "ring"):
            return
        unsent = sum(held.cost for held in self.ring if held.first >= self.ring.next and isinstance(held, HeldUnit))
        assert self.ring.bytes <= self.ring.limit_bytes or unsent == 0


TestRing = RingMachine.TestCase
TestRing.settings = settings(max_examples=40, stateful_step_count=60)
