"""Agents, gateways and workers small enough to be obviously right, for tests of the store scripts. Each follows the
protocol as `wire.messages` tells it, one store call at a time, so that a test can interleave them as it likes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, groupby

from redis.asyncio import Redis

from fishladder.runtime import commits, frames, leases, state
from fishladder.runtime.frames import Entry
from fishladder.wire import keys, result
from fishladder.wire.entry import EpochStart, LogEntry, LoggedUnit, Stamp, read_entry
from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import Position
from fishladder.wire.open_set import OpenRange
from fishladder.wire.unit import Codec, Flag, Range, Unit

P = 0  #: all cameras of these tests live in one partition
_tokens = count(1)
KEEP_BYTES = 1 << 30
KEEP_MS = 1 << 40


@dataclass(frozen=True)
class Frame:
    """One captured picture: what its agent will say of it. `token` tells it from every other one ever captured."""

    fate: Fate | None  #: None: sent as a unit
    clean: bool = False
    token: int = field(default_factory=_tokens.__next__)


@dataclass
class Agent:
    """One boot of a camera's agent. Its ring holds what it may have to send again."""

    camera: str
    boot: str
    epoch: int = 0
    position: int = 0
    committed: int = 0
    hellos: int = 0
    ring: dict[int, Frame] = field(default_factory=dict)
    session: str = ""  #: '' until welcomed, and after having been fenced
    next: int = 0  #: what it sends next in its session
    began: bool = False  #: it has captured a unit
    spools: bool = False
    spool: dict[Position, Frame] = field(default_factory=dict)  #: what was deferred, until it is settled
    fills: int = 0  #: entries it has sent for backfill in this session

    @property
    def oldest(self) -> int:
        return min(self.ring, default=self.position + 1)

    def capture(self, n: int, *, fate: Fate | None = None, clean: bool = False) -> None:
        """`n` pictures, the first of them a clean point if `clean`; an encoder's very first unit always is one."""
        for i in range(n):
            starts = fate is None and not self.began
            self.began = self.began or starts
            self.position += 1
            self.ring[self.position] = Frame(fate, clean=fate is None and (starts or (clean and i == 0)))

    def forget_committed(self, committed: int) -> None:
        """Keep from the clean point at or before committed + 1 on."""
        self.committed = max(self.committed, committed)
        clean = [seq for seq, frame in self.ring.items() if frame.clean and seq <= self.committed + 1]
        keep_from = max(clean, default=self.committed + 1)
        self.ring = {seq: frame for seq, frame in self.ring.items() if seq >= keep_from}

    def defer(self, n: int) -> None:
        """Put `n` seqs or more on disk instead of sending them: what follows begins at a clean point."""
        last = min(self.next + n - 1, self.position)
        while last < self.position and not self.ring[last + 1].clean:
            last += 1
        self.began = self.began and last < self.position
        for seq in range(self.next, last + 1):
            if seq in self.ring and self.ring[seq].fate is not Fate.DEFERRED:
                frame = self.ring[seq]
                self.spool[Position(self.epoch, seq)] = frame
                self.ring[seq] = Frame(Fate.DEFERRED, token=frame.token)

    def hear_open(self, cursor: Position, ranges: Sequence[OpenRange]) -> None:
        """Forget what is settled."""
        still = {Position(it.epoch, seq) for it in ranges for seq in range(it.first, it.last + 1)}
        self.spool = {at: frame for at, frame in self.spool.items() if at > cursor or at in still}

    def backfill(self, wanted: Sequence[Position]) -> list[tuple[bytes, bytes]]:
        """Entries of the backfill lane for seqs that are open: units, or why there are none."""
        entries = []
        for at in wanted:
            if at not in self.spool:
                lost = Fate.SPOOL_LOST if at.epoch < self.epoch else Fate.STATE_LOST
                entry = range_entry(at.epoch, at.seq, at.seq, lost)
            elif (fate := self.spool[at].fate) is not None:
                entry = range_entry(at.epoch, at.seq, at.seq, fate)
            else:
                entry = unit_entry(at.epoch, at.seq, self.spool[at])
            entries.append((entry.field, entry.value))
        return entries

    def hello(self) -> "Hello":
        self.hellos += 1
        self.session = ""
        clean = [seq for seq, frame in self.ring.items() if frame.clean]
        return Hello(self.camera, self.boot, self.hellos, self.epoch, self.position, sorted(clean), self.spools)

    def welcome(self, session: str, epoch: int, next: int, committed: int) -> None:
        self.session, self.epoch, self.next = session, epoch, next
        self.committed, self.fills = committed, 0

    def entries(self, first: int, limit: int) -> list[Entry]:
        """Entries from `first` on for at most `limit` seqs: units, and ranges for runs of one fate."""
        seqs = range(first, min(first + limit, self.position + 1))
        return [
            entry
            for _, run in groupby(seqs, key=lambda seq: self._fate(seq) or -seq)
            for entry in self._entry(list(run))
        ]

    def _fate(self, seq: int) -> Fate | None:
        return self.ring[seq].fate if seq in self.ring else Fate.STATE_LOST

    def _entry(self, seqs: list[int]) -> Iterator[Entry]:
        fate = self._fate(seqs[0])
        if fate is None:
            yield unit_entry(self.epoch, seqs[0], self.ring[seqs[0]])
        else:
            yield range_entry(self.epoch, seqs[0], seqs[-1], fate)


def unit_entry(epoch: int, seq: int, frame: Frame) -> Entry:
    unit = Unit(
        epoch=epoch,
        seq=seq,
        codec=Codec.H264,
        payload=b"x",
        pts_us=frame.token,
        flags=Flag.CLEAN if frame.clean else Flag(0),
    )
    return Entry(seq, seq, b"u", Stamp(0, 0, 0).pack() + unit.pack())


def range_entry(epoch: int, first: int, last: int, fate: Fate) -> Entry:
    return Entry(first, last, b"r", Range(epoch=epoch, first=first, last=last, fate=fate).pack())


@dataclass
class Hello:
    """A hello on its way through a gateway, which claims, then opens; either may happen late, or never."""

    camera: str
    boot: str
    number: int
    epoch: int
    position: int
    clean: list[int]
    spools: bool = False
    granted: state.Granted | None = None
    floor: int = 0
    session: str = ""
    next: int = 0

    async def claim(self, store: Redis) -> bool:
        """One try; False when the hello is of no use any more."""
        outcome = await state.claim(
            store,
            P,
            self.camera,
            boot=self.boot,
            hello=self.number,
            epoch=self.epoch,
            position=self.position,
            now_us=1,
            floor=self.floor,
        )
        self.granted = outcome if isinstance(outcome, state.Granted) else None
        return self.granted is not None

    async def open(self, store: Redis) -> bool:
        """One try; False when it has to be claimed again or is of no use any more."""
        assert self.granted is not None
        granted, cursor = self.granted, self.granted.cursor
        session = f"{self.boot}/{self.number}/{next(_tokens)}"
        clean = [seq for seq in self.clean if seq <= cursor.seq + 1]
        opened = await frames.open_log(
            store,
            P,
            self.camera,
            boot=self.boot,
            hello=self.number,
            session=session,
            epoch=granted.epoch,
            remembers=self.epoch == granted.epoch,
            cursor=cursor,
            rewind_to=max(clean, default=cursor.seq + 1),
            earlier=granted.earlier,
            memory_lost=Fate.DEFERRED if self.spools else Fate.SPOOL_LOST,
            log_lost=Fate.DEFERRED if self.spools else Fate.LOG_LOST,
        )
        if isinstance(opened, frames.EpochInUse):
            self.floor, self.granted = opened.epoch, None
            return False
        if isinstance(opened, frames.Stale):
            return False
        self.session, self.next = session, opened.next
        return True


@dataclass
class Worker:
    """A worker's view of one partition: its lease token, and for each camera the cursor it believes in."""

    name: str
    token: str = ""
    cursors: dict[str, Position] = field(default_factory=dict)
    keep_from: dict[str, Position] = field(default_factory=dict)
    open: dict[str, tuple[OpenRange, ...]] = field(default_factory=dict)  #: what it believes to be open

    async def lease(self, store: Redis, *, forgets: bool = True) -> bool:
        """Take the lease if it is free. A worker that does not forget then goes by the cursors it knew."""
        token = f"{self.name}/{next(_tokens)}"
        if not await leases.acquire_lease(store, P, token, 60_000):
            return False
        self.token = token
        if forgets:
            self.cursors.clear()
            self.open.clear()
        return True

    async def commit(self, stores: tuple[Redis, Redis], camera: str, limit: int) -> bool:
        """Settle up to `limit` log entries of a camera; True if the cursor moved."""
        frame_store, state_store = stores
        if camera not in self.cursors:
            self.cursors[camera] = await commits.read_cursor(state_store, P, camera)
        start = self.cursors[camera]
        session = await frames.owner_session(frame_store, P, camera)
        log = await read_log(frame_store, camera)
        fresh = [entry for entry in log if entry.position > start][:limit]
        if fresh and not follows(fresh[0], start):
            await frames.forget(frame_store, P, camera, session)
            return False
        await self._note_clean(log, camera, start)
        if not fresh:
            return False
        to, settled = _one_epoch(fresh, start, log)
        outcome = await commits.commit(
            state_store,
            P,
            camera,
            token=self.token,
            start=start,
            to=to,
            runs=settled.runs,
            result=settled.encoded(camera, to),
            keep_bytes=KEEP_BYTES,
            keep_ms=KEEP_MS,
        )
        if isinstance(outcome, commits.Committed):
            self.cursors[camera] = to
            await self._note_clean(log, camera, to)
            return True
        if isinstance(outcome, commits.CursorMoved):
            self.cursors[camera] = outcome.cursor
        return False

    async def settle(self, stores: tuple[Redis, Redis], camera: str, limit: int) -> bool:
        """Settle what the first `limit` entries of the backfill lane hold of the first epoch that is open in them."""
        frame_store, state_store = stores
        if camera not in self.open:
            self.open[camera] = await commits.read_open(state_store, P, camera)
        believed = {Position(it.epoch, seq) for it in self.open[camera] for seq in range(it.first, it.last + 1)}
        lane = await frame_store.xrange(keys.backfill(P, camera), count=limit)
        found: dict[Position, LogEntry] = {}
        for entry_id, fields in lane:
            entry = read_entry(entry_id, fields)
            if entry.position in believed:
                found[entry.position] = entry
        if not found:
            self.open.pop(camera)
            await frame_store.xtrim(keys.backfill(P, camera), maxlen=max(await _length(frame_store, camera) - limit, 0))
            return False
        epoch = min(found).epoch
        settled = _Settled([], [], lane=keys.BACKFILL)
        for at in sorted(at for at in found if at.epoch == epoch):
            entry = found[at]
            if isinstance(entry, LoggedUnit):
                settled.runs.append(Run(Fate.INFERRED, at.seq, at.seq))
                settled.frames.append(result.FrameResult(at.seq, entry.header.pts_us, 0, []))
            else:
                assert isinstance(entry, Range)
                settled.runs.append(Run(entry.fate, at.seq, at.seq))
        outcome = await commits.settle(
            state_store,
            P,
            camera,
            token=self.token,
            epoch=epoch,
            runs=settled.runs,
            result=settled.encoded(camera, Position(epoch, 0)),
            keep_bytes=KEEP_BYTES,
            keep_ms=KEEP_MS,
        )
        if isinstance(outcome, commits.Settled | commits.NotOpen):
            self.open[camera] = outcome.open
        return isinstance(outcome, commits.Settled)

    async def _note_clean(self, log: list[LogEntry], camera: str, cursor: Position) -> None:
        """Trimming is safe up to the clean point at or before the cursor's successor."""
        after = Position(cursor.epoch, cursor.seq + 1)
        clean = [e.position for e in log if isinstance(e, LoggedUnit) and e.header.flags & Flag.CLEAN]
        self.keep_from[camera] = max((at for at in clean if at <= after), default=after)

    async def trim(self, store: Redis, camera: str) -> None:
        if camera in self.keep_from:
            await frames.trim(store, P, camera, self.keep_from[camera])


@dataclass
class _Settled:
    runs: list[Run]
    frames: list[result.FrameResult]
    lane: str = keys.LIVE

    def encoded(self, camera: str, to: Position) -> bytes:
        if not self.runs:
            return b""
        runs = [(int(run.fate), run.first, run.last) for run in self.runs]
        return result.encode(
            result.Result(
                camera, to.epoch, self.runs[0].first, self.runs[-1].last, runs, frames=self.frames, lane=self.lane
            )
        )


def _one_epoch(fresh: list[LogEntry], start: Position, log: list[LogEntry]) -> tuple[Position, _Settled]:
    """What one commit may settle of `fresh`: entries of the cursor's epoch, or the step to the next.

    A worker that has just taken over decodes from a clean point in the log, or not at all.
    """
    settled = _Settled([], [])
    to = start
    clean = [e.position for e in log if isinstance(e, LoggedUnit) and e.header.flags & Flag.CLEAN]
    for entry in fresh:
        if isinstance(entry, EpochStart):
            return (to, settled) if settled.runs else (entry.position, settled)
        if isinstance(entry, Range):
            settled.runs.append(Run(entry.fate, to.seq + 1, entry.last))
        elif not any(at.epoch == to.epoch and at <= entry.position for at in clean):
            settled.runs.append(Run(Fate.NO_REFERENCE, entry.header.seq, entry.header.seq))
        else:
            settled.runs.append(Run(Fate.INFERRED, entry.header.seq, entry.header.seq))
            settled.frames.append(result.FrameResult(entry.header.seq, entry.header.pts_us, 0, []))
        to = entry.position
    return to, settled


async def _length(store: Redis, camera: str) -> int:
    return int(await store.xlen(keys.backfill(P, camera)))


async def read_log(store: Redis, camera: str) -> list[LogEntry]:
    return [read_entry(entry_id, fields) for entry_id, fields in await store.xrange(keys.log(P, camera))]


def first_of(entry: LogEntry) -> Position:
    """The first position an entry covers; for the start of an epoch the one after the end of the epoch before."""
    if isinstance(entry, EpochStart):
        return Position(entry.after.epoch, entry.after.seq + 1)
    if isinstance(entry, Range):
        return Position(entry.epoch, entry.first)
    return entry.position


def follows(entry: LogEntry, at: Position) -> bool:
    """Whether an entry that ends after `at` leaves no hole behind it."""
    first = first_of(entry)
    if isinstance(entry, EpochStart):
        return first <= Position(at.epoch, at.seq + 1)
    return first.epoch == at.epoch and first.seq <= at.seq + 1


async def read_results(store: Redis, camera: str) -> list[result.Result]:
    entries = await store.xrange(keys.results(P, camera))
    return [result.decode(fields[b"r"]) for _, fields in entries if fields[b"r"]]


async def snapshot(store: Redis, camera: str) -> dict[str, bytes | None]:
    """What the state store holds of a camera, so that a test can take it back to this moment."""
    kinds = (keys.camera, keys.cursor, keys.ledger, keys.results, keys.checkpoint)
    names = [kind(P, camera) for kind in kinds]
    return {name: await store.dump(name) for name in names}


async def restore(store: Redis, held: dict[str, bytes | None]) -> None:
    for name, dumped in held.items():
        await store.delete(name)
        if dumped is not None:
            await store.restore(name, 0, dumped)


def reboot(agent: Agent, boot: str, *, remembers: bool) -> Agent:
    """The agent's next boot: with its predecessor's ring (a spool), or with nothing."""
    if remembers and agent.epoch:
        return replace(agent, boot=boot, hellos=0, session="", ring=dict(agent.ring), spool=dict(agent.spool))
    return Agent(agent.camera, boot, spools=agent.spools, spool=dict(agent.spool))
