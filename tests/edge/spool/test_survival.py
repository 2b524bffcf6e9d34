"""A camera's memory as a whole: ring, journal and spool, with a link that comes and goes, an agent that is killed, and
a disk that is slow. Whatever the order, every seq is logged, in the ring, or in the spool, and as what it was; and no
picture goes live that refers to one in the spool, or to one that a log which began anew does not have.
"""

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.held import Held, HeldRange, HeldUnit
from fishladder.edge.ring import Ring
from fishladder.edge.spool import spill
from fishladder.edge.spool.journal import SEGMENT_BYTES, Journal
from fishladder.edge.spool.store import Life, SpoolStore
from fishladder.gateway.open import rewind_to
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position
from fishladder.wire.messages import MAX_CLEAN_POINTS, CameraHello
from fishladder.wire.unit import NO_FLAGS, Codec, Flag

LIFE = Life(77, 1, 0)
STEP_US = 200_000
#: Longer ones are not kept whole.
GROUP_US = 8_000_000


class Survival(RuleBasedStateMachine):
    """`logged` is what the stack has of the live lane: `unit`, a fate's label, or `deferred`, by seq. `log` is the same
    of what its log holds: when that was lost, workers begin anew, and know nothing of what came before it.
    """

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.place = Path(self.folder.name)
        self.store = SpoolStore(self.place / "door.sqlite", 1)
        self.journal = Journal(self.place / "ring", segment_bytes=200)
        self.journal.begin(LIFE.id, LIFE.epoch)
        self.ring = Ring()
        self.was: dict[int, str] = {}
        self.logged: dict[int, str] = {}
        self.log: dict[int, str] = {}
        self.head = 1  #: what the log expects next
        self.restored_to = 0
        self.committed = 0
        self.connected = True
        self.plan: spill.Spill | None = None  #: what the disk is writing
        self.now_us = 0
        self.clean_us = -GROUP_US  #: when the last clean point was captured

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.journal.close()
            self.store.close()
            self.folder.cleanup()

    # -- the camera

    @rule(clean=st.booleans())
    def unit(self, clean: bool) -> None:
        self.now_us += STEP_US
        clean |= self.now_us - self.clean_us > GROUP_US
        flags = Flag.CLEAN if clean else NO_FLAGS
        self.clean_us = self.now_us if clean else self.clean_us
        unit = CapturedUnit(Codec.H264, flags, 64, 48, STEP_US, self.now_us, self.now_us, b"x" * 20)
        assert self.ring.append_unit(unit, wall_us=0, ready_us=0)
        self.was[self.ring.position] = "unit"
        self.journal.append(HeldUnit(self.ring.position, unit, 0, 0))

    @rule(count=st.integers(1, 3), fate=st.sampled_from([Fate.SAMPLED_OUT, Fate.SHED]))
    def left_out(self, count: int, fate: Fate) -> None:
        first = self.ring.position + 1
        self.now_us += STEP_US * count
        self.ring.append_range(count, fate, mono_us=self.now_us, wall_us=0)
        self.was.update(dict.fromkeys(range(first, first + count), fate.label))
        self.journal.append(HeldRange(first, self.ring.position, fate, self.now_us, 0))

    @rule(seconds=st.integers(1, 6))
    def time_passes(self, seconds: int) -> None:
        self.now_us += seconds * 1_000_000

    # -- the link

    @precondition(lambda self: self.connected)
    @rule(count=st.integers(1, 6), arrives=st.booleans(), heard=st.booleans())
    def send(self, count: int, arrives: bool, heard: bool) -> None:
        for _ in range(count):
            first = self.ring.next
            held = self.ring.take(self.now_us)
            if held is None:
                break
            if arrives and first == self.head:
                what = self.name(held)
                if isinstance(held, HeldUnit) and not held.unit.entry_point:
                    before = next((self.log[seq] for seq in range(first - 1, 0, -1) if self.is_picture(seq)), "none")
                    assert before == "unit", f"seq {first} refers to what is {before} in the live lane"
                self.log.update(dict.fromkeys(range(first, held.last + 1), what))
                self.logged.update({seq: what for seq in range(first, held.last + 1) if seq > self.committed})
                self.head = held.last + 1
        if heard:
            self.ring.acknowledge(self.head - 1, self.committed)

    @precondition(lambda self: self.connected and self.ring.next > self.head)
    @rule()
    def give_up_the_last(self) -> None:
        """Only a part of it was sent."""
        self.ring.take_back()

    @rule()
    def commit(self) -> None:
        self.committed = max(self.committed, self.head - 1)

    @rule()
    def lose_log(self) -> None:
        """What was not committed is gone, and the session with it."""
        self.logged = {seq: what for seq, what in self.logged.items() if seq <= self.committed}
        self.log, self.head = {}, 0
        self.connected = False
        self.ring.disconnected()

    @precondition(lambda self: self.connected)
    @rule()
    def lose_connection(self) -> None:
        self.connected = False
        self.ring.disconnected()

    @precondition(lambda self: not self.connected)
    @rule()
    def connect(self) -> None:
        self.connected = True
        if not self.head:
            hello = CameraHello(
                camera="shop/door",
                channel=0,
                epoch=LIFE.epoch,
                position=self.ring.position,
                oldest=self.ring.oldest,
                clean=self.ring.clean_points(MAX_CLEAN_POINTS),
            )
            self.head = rewind_to(hello, self.committed)
        anew = self.head <= self.committed + 1
        if self.head < self.ring.oldest:  # what is not here any more is in the spool
            gone = range(self.head, self.ring.oldest)
            self.log.update(dict.fromkeys(gone, "deferred"))
            self.logged.update({seq: "deferred" for seq in gone if seq > self.committed})
            self.head = self.ring.oldest
            self.ring.went_without(self.head)
        self.ring.rewind(self.head, anew=anew)
        if 0 < self.ring.picture_before(self.head) <= self.restored_to:
            self.ring.went_without(self.head)
        self.ring.set_committed(self.committed)

    # -- the keeper

    @precondition(lambda self: self.plan is None)
    @rule(late_us=st.sampled_from([None, spill.HURRY_US, spill.LATE_US]))
    def begin_to_write(self, late_us: int | None) -> None:
        self.plan = spill.due(self.ring, self.now_us, live=self.connected, late_us=late_us)
        if self.plan is not None:
            assert self.store.put(Life(LIFE.id, LIFE.epoch, self.ring.position), self.plan.entries)

    @precondition(lambda self: self.plan is not None)
    @rule()
    def it_is_written(self) -> None:
        plan, self.plan = self.plan, None
        assert plan is not None
        if plan.holds_for(self.ring):
            self.ring.defer(plan.last)
        self.journal.forget(self.ring.oldest_here, self.ring.committed)

    def spools(self, *, after_s: int, late_us: int | None = None) -> None:
        """What has waited for so long goes to the spool, in one go."""
        self.time_passes(seconds=after_s)
        self.begin_to_write(late_us=late_us)
        self.it_is_written()

    def sends(self, *, heard: bool = True) -> None:
        """All it can, and all arrives."""
        self.send(count=9, arrives=True, heard=heard)

    def comes_by_the_spool(self, seq: int) -> None:
        """That one does not go live, being no entry point; the next one does, which is one."""
        before = dict(self.logged)
        self.sends()
        assert self.logged == before
        self.spools(after_s=1)
        self.unit(clean=True)
        self.sends()
        assert self.logged == before | {seq: "deferred", seq + 1: "unit"}
        self.nothing_is_lost()
        self.what_is_deferred_can_be_decoded()

    @rule()
    def kill(self) -> None:
        self.connected, self.plan = False, None
        self.store = SpoolStore(self.place / "door.sqlite", 1)
        self.journal = Journal(self.place / "ring", segment_bytes=200)
        self.ring = Ring()
        found = self.journal.recover()
        if found is not None and found.entries:
            self.ring.restore(found.entries, committed=found.committed)
        self.restored_to = self.store.last(LIFE.id)

    # -- what must hold

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "ring"):
            return
        reading = self.store.read(Position(LIFE.epoch, 1), self.ring.position, 1 << 30)
        spooled: dict[int, str] = {}
        for held in () if reading is None else (stored.held for stored in reading.entries):
            spooled.update(dict.fromkeys(range(held.first, held.last + 1), self.name(held)))
        here = {seq: self.name(held) for held in self.ring for seq in range(held.first, held.last + 1)}
        assert self.ring.position == len(self.was)
        for seq, was in self.was.items():
            what = self.logged.get(seq, here.get(seq, "nowhere"))
            if what == "deferred":
                what = spooled.get(seq, "not in the spool")
            assert what == was, f"seq {seq}"

    @invariant()
    def what_is_deferred_can_be_decoded(self) -> None:
        """A worker gets of the spool what is open, and what it refers to."""
        if not hasattr(self, "ring"):
            return
        for seq, what in self.logged.items():
            if what != "deferred" or self.was[seq] != "unit":
                continue
            reading = self.store.read(Position(LIFE.epoch, seq), seq, 1 << 30, 1 << 30)
            assert reading is not None
            found = [stored.held for stored in reading.entries]
            starts = isinstance(found[0], HeldUnit) and found[0].unit.entry_point
            assert starts, f"seq {seq} comes without its entry point"
            assert all(a.last + 1 >= b.first for a, b in pairwise(found)), f"seq {seq} refers to what does not come"

    def is_picture(self, seq: int) -> bool:
        return self.log.get(seq) in ("unit", "deferred") and self.was[seq] == "unit"

    @staticmethod
    def name(held: Held) -> str:
        return "unit" if isinstance(held, HeldUnit) else held.fate.label


Survival.TestCase.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSurvival = Survival.TestCase


@pytest.fixture
def it() -> Iterator[Survival]:
    """To be led by hand."""
    machine = Survival()
    machine.begin()
    yield machine
    machine.teardown()


def test_the_journal_of_a_long_outage_holds_no_more_than_the_ring(tmp_path: Path) -> None:
    """What is in the spool is not kept in memory as well, though the ring still holds what came before the outage."""
    ring, journal, now_us = Ring(), Journal(tmp_path), 0
    journal.begin(LIFE.id, LIFE.epoch)
    for second in range(1200):
        for picture in range(10):
            now_us += 100_000
            flags = Flag.CLEAN if picture == 0 else NO_FLAGS
            unit = CapturedUnit(Codec.H264, flags, 64, 48, 100_000, now_us, now_us, bytes(2000))
            ring.append_unit(unit, wall_us=0, ready_us=0)
            journal.append(HeldUnit(ring.position, unit, 0, 0))
        if second < 5:
            while ring.take(now_us) is not None:
                pass
            ring.acknowledge(ring.position, ring.position)
        elif (plan := spill.due(ring, now_us, live=False)) is not None:
            ring.defer(plan.last)
        journal.forget(ring.oldest_here, ring.committed)
    journal.close()
    assert sum(it.stat().st_size for it in tmp_path.iterdir()) < 3 * SEGMENT_BYTES


def test_an_agent_killed_after_it_deferred_goes_on_live_at_an_entry_point(it: Survival) -> None:
    it.unit(clean=True)
    it.sends()
    it.unit(clean=False)
    it.spools(after_s=6)
    it.unit(clean=False)
    it.sends(heard=False)
    assert it.logged == {1: "unit", 2: "deferred"}
    it.kill()
    it.connect()
    it.comes_by_the_spool(3)


def test_what_is_deferred_before_what_was_already_does_not_let_live_go_on_behind_that(it: Survival) -> None:
    """Of a camera that can make less the newest goes to the spool first; then the log is lost, and what it had had."""
    it.unit(clean=True)
    it.unit(clean=False)
    it.time_passes(seconds=3)
    it.unit(clean=True)
    it.sends(heard=False)
    it.unit(clean=False)
    it.spools(after_s=1, late_us=spill.LATE_US)
    it.unit(clean=False)
    assert [held.last for held in it.ring if isinstance(held, HeldRange)] == [4]
    it.lose_log()
    it.spools(after_s=2, late_us=spill.LATE_US)
    it.connect()
    it.sends()
    assert it.logged == {1: "deferred", 2: "deferred", 3: "unit", 4: "deferred"}
    it.nothing_is_lost()


def test_a_log_that_began_anew_gets_nothing_without_its_reference(it: Survival) -> None:
    """An agent that was killed puts what waited for long into the spool, before it hears what is committed."""
    it.unit(clean=True)
    it.unit(clean=False)
    it.time_passes(seconds=5)
    it.unit(clean=False)
    it.sends()
    it.commit()
    it.unit(clean=False)
    it.lose_log()
    it.kill()
    it.spools(after_s=1)
    it.connect()
    assert it.logged == {1: "unit", 2: "unit", 3: "unit"}
    it.comes_by_the_spool(4)


@pytest.mark.parametrize("killed", [False, True])
def test_what_was_left_out_hides_neither_itself_nor_what_was_deferred_before_it(it: Survival, killed: bool) -> None:
    """From a decoder, nor from an agent that begins anew: live goes on at an entry point, and what refers to the
    deferred comes by the spool, with what lies between.
    """
    it.unit(clean=True)
    it.spools(after_s=6)
    it.left_out(count=1, fate=Fate.SAMPLED_OUT)
    it.time_passes(seconds=1)
    it.sends()
    it.commit()
    it.sends()
    it.unit(clean=False)
    if killed:
        it.kill()
        it.connect()
    assert it.logged == {1: "deferred", 2: "sampled_out"}
    it.comes_by_the_spool(3)
