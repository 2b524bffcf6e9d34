"""What is deferred is decoded in the end: `test_survival`'s camera, its spool drained to a stream, and a worker's lane
that reads it; agents, workers, connections and streams come and go. No picture comes to the decoder before what it
refers to.
"""

from collections.abc import Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from fishladder.edge.spool.drain import Drain, Now
from fishladder.inference.backfill_progress import BackfillProgress
from fishladder.inference.progress import Job, Lose, Push, Restart
from fishladder.wire.entry import LogEntry, LoggedUnit, Stamp
from fishladder.wire.fates import Fate
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.messages import Open
from fishladder.wire.open_set import OpenRange
from fishladder.wire.unit import Flag, Header, Unit

from .test_survival import LIFE, Survival

#: So a live lane goes on, and so what was deferred comes after it.
STEPS = ["send", "commit", "tell", "forget", "drain", "arrive", "work", "settle", "hear", "heard"]


class _Live:
    """What a backfill lane asks of the live one."""

    keyframes_only = False
    poison: frozenset[Position] = frozenset()

    def push(self, entry: LoggedUnit, *, context: bool, now_us: int) -> Push:
        return Push(entry.header, entry.stamp, entry.data, context, True, now_us)


class Backfilled(Survival):
    @initialize()
    def begin_to_drain(self) -> None:
        self.open: set[int] = set()
        self.drain = Drain()
        self.forget_before = ORIGIN
        self.stream: list[tuple[str, LogEntry]] = []
        self.on_its_way: list[LogEntry] = []  #: in the link, or the gateway
        self.settled: tuple[OpenRange, ...] | None = None  #: what the store answered, and the worker has not read
        self.ids = 0
        self.progress: BackfillProgress | None = None
        self.exact = False
        self.fed = 0

    @property
    def ranges(self) -> tuple[OpenRange, ...]:
        found: list[OpenRange] = []
        for seq in sorted(self.open):
            if found and found[-1].last == seq - 1:
                found[-1] = OpenRange(LIFE.epoch, found[-1].first, seq)
            else:
                found.append(OpenRange(LIFE.epoch, seq, seq))
        return tuple(found)

    # -- the agent

    @rule()
    def commit(self) -> None:
        before = self.committed
        super().commit()
        self.open |= {seq for seq in range(before + 1, self.committed + 1) if self.logged.get(seq) == "deferred"}

    @precondition(lambda self: not self.connected)
    @rule()
    def connect(self) -> None:
        """Another session: what the one before has left in the stream is dropped, as it will come again."""
        super().connect()
        self.drain.begin()
        self.stream, self.on_its_way = [], []

    @rule()
    def lose_log(self) -> None:
        super().lose_log()
        self.stream = []

    @rule()
    def kill(self) -> None:
        super().kill()
        self.drain, self.forget_before = Drain(), ORIGIN

    @precondition(lambda self: self.connected)
    @rule()
    def tell(self) -> None:
        message = Open(channel=0, cursor=(LIFE.epoch, self.committed), ranges=[tuple(it) for it in self.ranges])
        self.forget_before = max(self.forget_before, self.drain.told(message, self.now_us / 1e6))

    @precondition(lambda self: self.plan is None)
    @rule()
    def forget(self) -> None:
        """The keeper's next step, when what it wrote is deferred."""
        if self.forget_before > ORIGIN:
            self.store.forget(self.forget_before, self.ring.leans_on_spool)

    @precondition(lambda self: self.connected)
    @rule(count=st.integers(1, 8), most_bytes=st.sampled_from([300, 1200, 1 << 18]))
    def drains(self, count: int, most_bytes: int) -> None:
        if (want := self.drain.want(self.now_us / 1e6)) is not None:
            self.drain.fed(want, self.store.read(want.at, want.last, most_bytes, 8 << 20 if want.context else 0))
        for _ in range(count):
            item = self.drain.take(Now(self.now_us, 0, None))
            if item is None:
                return
            entry: LogEntry = item
            if isinstance(item, Unit):
                entry = LoggedUnit(Header.peek(memoryview(item.pack())), Stamp(0, 0, 0), memoryview(item.payload))
            self.on_its_way.append(entry)

    @rule(count=st.integers(1, 8))
    def arrives(self, count: int) -> None:
        for _ in range(min(count, len(self.on_its_way))):
            self.ids += 1
            self.stream.append((f"{self.ids}-0", self.on_its_way.pop(0)))

    # -- several steps at once, as they usually come

    @rule(units=st.lists(st.integers(0, 3), min_size=1, max_size=6), after_s=st.integers(1, 6), written=st.booleans())
    def cannot_send(self, units: list[int], after_s: int, written: bool) -> None:
        for one in units:
            self.unit(clean=one == 0)
        self.time_passes(seconds=after_s)
        if self.plan is None:
            self.begin_to_write(late_us=None)
        if written and self.plan is not None:
            self.it_is_written()

    @rule(first=st.integers(0, 3), count=st.integers(1, 30), without=st.sets(st.sampled_from(STEPS), max_size=3))
    def goes_on(self, first: int, count: int, without: set[str]) -> None:
        for step in [it for it in (STEPS * 5)[first : first + count] if it not in without]:
            if not self.connected:
                self.connect()
            match step:
                case "send":
                    self.send(count=6, arrives=True, heard=False)
                case "heard":
                    self.send(count=6, arrives=True, heard=True)
                case "commit":
                    self.commit()
                case "tell":
                    self.tell()
                case "forget" if self.plan is None:
                    self.forget()
                case "drain":
                    self.drains(count=6, most_bytes=600)
                case "arrive":
                    self.arrives(count=6)
                case "work":
                    self.works(count=6)
                case "settle" if self.progress is not None and self.settled is None:
                    self.settles()
                case "hear" if self.settled is not None:
                    self.hears_what_is_settled()
            if self.plan is None:
                self.journal.forget(self.ring.oldest_here, self.ring.committed)

    # -- the worker

    @rule(count=st.integers(1, 12))
    def works(self, count: int) -> None:
        if self.progress is None:
            if not self.open:
                return
            self.progress = BackfillProgress(_Live(), self.ranges)  # type: ignore[arg-type]
            self.decode(self.progress.begin())
        after = int(self.progress.read_after.partition("-")[0])
        entries = [it for it in self.stream if int(it[0].partition("-")[0]) > after][:count]
        if self.settled is None and not all(self.progress.knows(entry) for _, entry in entries):
            self.looks()
        if self.progress is not None:
            self.decode(self.progress.take(entries, 0))

    @precondition(lambda self: self.progress is not None)
    @rule()
    def idles(self) -> None:
        assert self.progress is not None
        self.decode(self.progress.idle())

    @rule()
    def worker_dies(self) -> None:
        self.progress = self.settled = None

    @precondition(lambda self: self.progress is not None and self.settled is None)
    @rule()
    def settles(self) -> None:
        assert self.progress is not None
        if (what := self.progress.to_settle()) is None:
            return
        for fate, first, last in what.runs:
            for seq in range(first, last + 1):
                assert fate is not Fate.SPOOL_LOST, f"seq {seq} is not in the spool"
                self.open.discard(seq)
                self.logged[seq] = self.was[seq]
        self.settled = self.ranges

    @precondition(lambda self: self.settled is not None)
    @rule()
    def hears_what_is_settled(self) -> None:
        assert self.settled is not None
        self.opened(self.settled)
        self.settled = None

    @precondition(lambda self: self.progress is not None and self.settled is None)
    @rule()
    def looks(self) -> None:
        self.opened(self.ranges)

    def opened(self, ranges: tuple[OpenRange, ...]) -> None:
        assert self.progress is not None
        self.progress.open = ranges
        if (keep_from := self.progress.keep_from()) is not None:
            first = int(keep_from.partition("-")[0]) + int(keep_from.partition("-")[2] != "0")
            self.stream = [it for it in self.stream if int(it[0].partition("-")[0]) >= first]
        if not ranges:
            self.progress = None

    def decode(self, jobs: Sequence[Job]) -> None:
        assert self.progress is not None
        for job in jobs:
            match job:
                case Restart() | Lose():
                    self.exact = False
                case Push(header=header, context=context):
                    seq = header.seq
                    missing = [it for it in range(self.fed + 1, seq) if self.was.get(it) == "unit"]
                    self.exact = bool(header.flags & Flag.CLEAN) or (self.exact and not missing)
                    assert self.exact or context, f"seq {seq} comes without what it refers to"
                    self.fed = seq
                    if not context:
                        self.progress.settle(Position(LIFE.epoch, seq), Fate.INFERRED, None)


Backfilled.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestBackfilled = Backfilled.TestCase
