"""Backfill from the agent's side: whatever is open is sent until it is settled, from a clean point on, once unless
there was trouble, and what is not here is declared; against a stack that settles, forgets and goes back.
"""

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.held import Held, HeldRange, HeldUnit
from fishladder.edge.spool.drain import AGAIN_S, WINDOW_BYTES, Drain, Now
from fishladder.edge.spool.store import Reading, Stored
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position
from fishladder.wire.messages import Open
from fishladder.wire.unit import NO_FLAGS, UNIT_HEADER_BYTES, Codec, Flag, Range, Unit

NOW = Now(10_000_000, 20_000_000, 500)
GOP = 5


def unit(seq: int, size: int = 100) -> HeldUnit:
    flags = Flag.CLEAN if seq % GOP == 1 else NO_FLAGS
    return HeldUnit(seq, CapturedUnit(Codec.H264, flags, 64, 48, 40_000, seq, seq, bytes(size)), seq, 9)


class Shelf:
    """A spool's contents in memory, read as `SpoolStore.read` does."""

    def __init__(self, entries: dict[int, list[Held]]) -> None:
        self.entries = entries
        self.same_host = True

    def read(self, at: Position, last: int, most: int, context: bool) -> Reading:
        held = self.entries.get(at.epoch, [])
        start = at.seq
        if context:
            start = max(
                (it.first for it in held if isinstance(it, HeldUnit) and it.unit.entry_point and it.first <= start),
                default=start,
            )
        found = [it for it in held if it.first <= last and (it.last >= at.seq or it.first >= start)]
        taken = [Stored(it, self.same_host) for it in found[:most]]
        return Reading(taken, len(found) <= most)


def pump(drain: Drain, shelf: Shelf, now_s: float = 0.0, most: int = 7) -> list[Unit | Range]:
    """All it sends now."""
    sent: list[Unit | Range] = []
    while True:
        while (item := drain.take(NOW)) is not None:
            sent.append(item)
        want = drain.want(now_s)
        if want is None:
            return sent
        drain.fed(want, shelf.read(want.at, want.last, most, want.context))


def told(
    drain: Drain, *ranges: tuple[int, int, int], cursor: tuple[int, int] = (3, 100), now_s: float = 0.0
) -> Position:
    return drain.told(Open(0, cursor, list(ranges)), now_s)


def shape(items: list[Unit | Range]) -> list[tuple[int, int, str]]:
    return [
        (it.seq, it.seq, "context" if it.flags & Flag.CONTEXT else "unit")
        if isinstance(it, Unit)
        else (it.first, it.last, it.fate.label)
        for it in items
    ]


def test_a_segment_begins_with_its_context() -> None:
    drain = Drain()
    told(drain, (3, 8, 12))
    sent = pump(drain, Shelf({3: [unit(seq) for seq in range(1, 30)]}))
    assert shape(sent) == [(6, 6, "context"), (7, 7, "context"), *((seq, seq, "unit") for seq in range(8, 13))]
    assert pump(drain, Shelf({})) == []  # nothing twice


def test_what_is_not_here_is_declared() -> None:
    drain = Drain()
    drain.state_lost_to = Position(3, 9)
    told(drain, (2, 4, 6), (3, 8, 12))
    shelf = Shelf({3: [unit(11), HeldRange(12, 40, Fate.SPOOL_FULL, 1, 2)]})
    assert shape(pump(drain, shelf)) == [
        (4, 6, "state_lost"),
        (8, 9, "state_lost"),
        (10, 10, "spool_lost"),
        (11, 11, "unit"),
        (12, 12, "spool_full"),
    ]


def test_times_are_the_gateways_unless_they_cannot_be_known() -> None:
    shelf = Shelf({3: [unit(6)]})
    for same_host, wall_us, expected in ((True, 0, 6 + 500), (False, 20_000_006, 500 + 10_000_000 - 20_000_000)):
        shelf.same_host = same_host
        drain = Drain()
        told(drain, (3, 6, 6))
        want = drain.want(0.0)
        assert want is not None
        drain.fed(want, shelf.read(want.at, want.last, 9, want.context))
        item = drain.take(Now(10_000_000, wall_us or 20_000_000, 500))
        assert isinstance(item, Unit)
        assert item.flags & Flag.SYNCED
        captured_us = item.wall_us + item.offset_us
        assert captured_us == (expected if same_host else 500 + 10_000_000 - 20_000_000)
    drain = Drain()  # a wall clock that went back: nobody knows when it was
    told(drain, (3, 6, 6))
    want = drain.want(0.0)
    assert want is not None
    drain.fed(want, shelf.read(want.at, want.last, 9, want.context))
    item = drain.take(Now(10_000_000, 1, 500))
    assert isinstance(item, Unit)
    assert not item.flags & Flag.SYNCED


def test_a_unit_over_the_gateways_limit_is_declared() -> None:
    drain = Drain()
    drain.most_unit_bytes = UNIT_HEADER_BYTES + 50
    told(drain, (3, 6, 7))
    assert shape(pump(drain, Shelf({3: [unit(6, 60), unit(7, 40)]}))) == [(6, 6, "encoder"), (7, 7, "unit")]


def test_what_is_unsettled_is_bounded_and_goes_on_as_it_is_settled() -> None:
    drain = Drain()
    told(drain, (3, 1, 100))
    shelf = Shelf({3: [unit(seq, 100_000) for seq in range(1, 101)]})
    first = pump(drain, shelf)
    assert WINDOW_BYTES <= sum(len(it.payload) for it in first if isinstance(it, Unit)) < WINDOW_BYTES + 200_000
    told(drain, (3, 11, 100))
    more = pump(drain, shelf)
    assert more[0].position.seq == first[-1].position.seq + 1
    assert 9 <= len(more) <= 11


def test_what_is_never_settled_is_sent_again_more_and_more_seldom() -> None:
    drain = Drain()
    shelf = Shelf({3: [unit(6), unit(7)]})
    told(drain, (3, 6, 7))
    times = [float(now_s) for now_s in range(200) if pump(drain, shelf, float(now_s))]
    assert times[0] == 0
    assert times[1] >= AGAIN_S
    assert times[2] - times[1] >= 2 * AGAIN_S
    assert len(times) == 4


def test_it_is_settled_only_when_the_live_lane_is_past_what_was_deferred() -> None:
    drain = Drain()
    assert not drain.settled_at(Position(3, 10))
    told(drain, cursor=(3, 9))
    assert not drain.settled_at(Position(3, 10))
    told(drain, (3, 10, 10), cursor=(3, 10))
    assert not drain.settled_at(Position(3, 10))
    assert told(drain, cursor=(3, 10)) == Position(3, 11)
    assert drain.settled_at(Position(3, 10))


class DrainMachine(RuleBasedStateMachine):
    """A stack that settles some of what it gets, loses all that is on its way, or says again what it said."""

    @initialize(seqs=st.sets(st.integers(1, 60), min_size=1), here=st.sets(st.integers(1, 60)))
    def begin(self, seqs: set[int], here: set[int]) -> None:
        self.shelf = Shelf({3: [unit(seq) for seq in sorted(here)]})
        self.here = here
        self.open = set(seqs)
        self.drain = Drain()
        self.got: set[int] = set()
        self.now_s = 0.0
        self.say()

    def say(self) -> None:
        ranges: list[tuple[int, int, int]] = []
        for seq in sorted(self.open):
            if ranges and ranges[-1][2] == seq - 1:
                ranges[-1] = (3, ranges[-1][1], seq)
            else:
                ranges.append((3, seq, seq))
        told(self.drain, *ranges, now_s=self.now_s)

    @rule(most=st.integers(1, 9))
    def send(self, most: int) -> None:
        self.now_s += 1
        for item in pump(self.drain, self.shelf, self.now_s, most):
            if isinstance(item, Unit):
                assert item.seq in self.here
                if item.flags & Flag.CONTEXT:
                    continue
                self.got.add(item.seq)
            else:
                assert not self.here & set(range(item.first, item.last + 1))
                assert item.fate is Fate.SPOOL_LOST
                self.got |= set(range(item.first, item.last + 1))

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        ready = sorted(self.open & self.got)
        self.open -= set(data.draw(st.lists(st.sampled_from(ready), unique=True)) if ready else [])
        self.say()

    @rule()
    def lose_all(self) -> None:
        self.got.clear()
        self.drain.begin()
        self.say()

    @rule()
    def wait(self) -> None:
        self.now_s += 400

    @invariant()
    def all_that_is_open_gets_there(self) -> None:
        if not hasattr(self, "drain"):
            return
        self.now_s += 1
        pump_to_end: Callable[[], None] = lambda: self.send(5)  # noqa: E731
        pump_to_end()
        assert self.open <= self.got


TestDrain = DrainMachine.TestCase
TestDrain.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
