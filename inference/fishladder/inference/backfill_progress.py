"""One camera's backfill lane as a pure state machine: entries of its stream go in, jobs for a decoder of its own come
out, fates come back, and what of the open set may be settled follows. Reading, decoding and settling others do.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fishladder.inference.progress import Job, Lose, Progress, Restart
from fishladder.wire.entry import EpochStart, LogEntry, LoggedUnit
from fishladder.wire.fates import WERE_ENCODED, Fate, Run
from fishladder.wire.ids import Position
from fishladder.wire.open_set import OpenRange
from fishladder.wire.result import FrameResult
from fishladder.wire.unit import Flag, Range

START = "0-0"
#: Most results, and most runs, in one step.
MAX_FRAMES = 128
MAX_RUNS = 1024


@dataclass(frozen=True, slots=True)
class Settle:
    """What one step settles of an epoch, ascending."""

    epoch: int
    runs: tuple[Run, ...]
    frames: tuple[FrameResult, ...]


class _Read(NamedTuple):
    """An entry of the stream, as long as it is there."""

    entry_id: str
    epoch: int
    first: int
    last: int
    clean: bool


class BackfillProgress:
    """`read_after` is the stream id to read after. `live` says what is wanted of the camera's pictures.

    A unit that is not open is context: decoded for those after it, and not counted.
    """

    def __init__(self, live: Progress, opened: Sequence[OpenRange]) -> None:
        self.read_after = START
        self._live = live
        self._open = tuple(opened)
        self._fed: Position | None = None  # the last position the decoder was given, or told of
        self._cold = False  # the decoder was emptied: what is no clean point needs those before it first
        self._pushed: set[Position] = set()  # with the decoder or the model
        self._units: dict[Position, tuple[Fate, FrameResult | None]] = {}  # settled, and not yet in the store
        self._declared: list[tuple[int, Run]] = []  # the same of ranges
        self._read: deque[_Read] = deque()

    @property
    def open(self) -> tuple[OpenRange, ...]:
        return self._open

    @open.setter
    def open(self, ranges: Sequence[OpenRange]) -> None:
        """The open set as the store has it now."""
        self._open = tuple(ranges)
        self._units = {at: what for at, what in self._units.items() if self._is_open(at)}
        self._declared = [(epoch, run) for epoch, run in self._declared if any(self._clip(epoch, run))]

    @property
    def unsettled(self) -> int:
        """How many units it has in hand."""
        return len(self._pushed) + len(self._units)

    def knows(self, entry: LogEntry | None) -> bool:
        """Whether what an entry brings is open, or said to be context: else the open set may have changed."""
        match entry:
            case LoggedUnit():
                return bool(entry.header.flags & Flag.CONTEXT) or self._is_open(entry.position)
            case Range():
                return any(self._clip(entry.epoch, entry.run))
        return True

    def begin(self) -> list[Job]:
        """What the decoder is told first, and when the stream begins anew."""
        self.read_after, self._fed, self._cold = START, None, False
        self._read.clear()
        return [Restart(self._live.keyframes_only)]

    def take(self, entries: Sequence[tuple[str, LogEntry | None]], now_us: int) -> list[Job]:
        """Read some entries in the stream's order, None for one that cannot be read; `now_us` is the wall clock. Stops
        early to read from the start.
        """
        jobs: list[Job] = []
        for entry_id, entry in entries:
            match entry:
                case LoggedUnit():
                    if self._cold and not entry.header.flags & Flag.CLEAN and not self._live.keyframes_only:
                        return jobs + self.begin()
                    jobs += self._take_unit(entry, now_us)
                    at, clean = entry.position, bool(entry.header.flags & Flag.CLEAN)
                    self._read.append(_Read(entry_id, at.epoch, at.seq, at.seq, clean))
                case Range():
                    jobs += self._take_range(entry)
                    self._read.append(_Read(entry_id, entry.epoch, entry.first, entry.last, clean=False))
                case EpochStart() | None:  # no gateway writes such a one here; what it was for stays open
                    pass
            self.read_after = entry_id
        return jobs

    def idle(self) -> list[Job]:
        """Nothing more comes and the decoder holds pictures back: empty it."""
        self._fed, self._cold = None, True
        return [Restart(self._live.keyframes_only)]

    def settle(self, position: Position, fate: Fate, frame: FrameResult | None) -> None:
        """What became of a unit that was pushed without `context`."""
        self._pushed.discard(position)
        if self._is_open(position):
            self._units[position] = fate, frame

    def to_settle(self) -> Settle | None:
        """What may be settled now: of the lowest epoch, each seq once, and nothing that is not open."""
        epochs = {at.epoch for at in self._units} | {epoch for epoch, _ in self._declared}
        if not epochs:
            return None
        epoch = min(epochs)
        found = [Run(fate, at.seq, at.seq) for at, (fate, _) in self._units.items() if at.epoch == epoch]
        found += [part for e, run in self._declared if e == epoch for part in self._clip(epoch, run)]
        runs: list[Run] = []
        frames: list[FrameResult] = []
        for run in sorted(found, key=lambda run: (run.first, run.last)):
            fate, first, last = run
            if runs and first <= runs[-1].last:
                first = runs[-1].last + 1
                if first > last:
                    continue
            if fate is Fate.INFERRED and (frame := self._units[Position(epoch, first)][1]) is not None:
                frames.append(frame)
            if runs and runs[-1].fate is fate and runs[-1].last == first - 1 and self._joined(epoch, first):
                runs[-1] = Run(fate, runs[-1].first, last)
            else:
                runs.append(Run(fate, first, last))
            if len(runs) >= MAX_RUNS or len(frames) >= MAX_FRAMES:
                break
        return Settle(epoch, tuple(runs), tuple(frames))

    def keep_from(self) -> str | None:
        """The id the stream is to be kept from: the clean point at or before what is not settled; None = no change."""
        done = 0
        for entry in self._read:
            if any(self._clip(entry.epoch, Run(Fate.DEFERRED, entry.first, entry.last))):
                break
            done += 1
        clean = [index for index, entry in enumerate(self._read) if index <= done and entry.clean]
        keep = clean[-1] if clean else 0
        if not self._open:
            self._read.clear()
            return _following(self.read_after)
        if not keep:
            return None
        for _ in range(keep):
            self._read.popleft()
        return self._read[0].entry_id

    def _take_unit(self, entry: LoggedUnit, now_us: int) -> list[Job]:
        at, clean = entry.position, bool(entry.header.flags & Flag.CLEAN)
        jobs: list[Job] = []
        if self._fed is not None and (at.epoch != self._fed.epoch or at <= self._fed):
            jobs.append(Restart(self._live.keyframes_only))  # another segment
        elif self._fed is not None and at.seq > self._fed.seq + 1 and not clean:
            jobs.append(Lose())
        self._fed = at
        self._cold = self._cold and not clean
        context = not self._is_open(at) or at in self._pushed or at in self._units
        if at in self._live.poison:
            if not context:
                self._units[at] = Fate.UNDECODABLE, None
            return [*jobs, Lose()]
        if not context:
            self._pushed.add(at)
        jobs.append(self._live.push(entry, context=context, now_us=now_us))
        return jobs

    def _take_range(self, entry: Range) -> list[Job]:
        if any(self._clip(entry.epoch, entry.run)):
            self._declared.append((entry.epoch, entry.run))
        if self._fed is None or self._fed.epoch != entry.epoch:
            return []
        broken = entry.fate in WERE_ENCODED or entry.first > self._fed.seq + 1
        self._fed = max(self._fed, entry.position)
        return [Lose()] if broken else []

    def _is_open(self, at: Position) -> bool:
        return self._where(at) is not None

    def _where(self, at: Position) -> OpenRange | None:
        """The open range a position is in."""
        index = bisect_right(self._open, (at.epoch, at.seq), key=lambda it: (it.epoch, it.first)) - 1
        it = self._open[index] if index >= 0 else None
        return it if it is not None and it.epoch == at.epoch and at.seq <= it.last else None

    def _clip(self, epoch: int, run: Run) -> Iterator[Run]:
        """The parts of a run that are open."""
        index = max(bisect_right(self._open, (epoch, run.first), key=lambda it: (it.epoch, it.first)) - 1, 0)
        for it in self._open[index:]:
            if (it.epoch, it.first) > (epoch, run.last):
                return
            if it.epoch == epoch and it.last >= run.first:
                yield Run(run.fate, max(run.first, it.first), min(run.last, it.last))

    def _joined(self, epoch: int, first: int) -> bool:
        """Whether `first` and the seq before it stand in one open range: a run never spans two."""
        return self._where(Position(epoch, first - 1)) is self._where(Position(epoch, first))


def _following(entry_id: str) -> str:
    """The lowest id after this one."""
    milliseconds, _, number = entry_id.partition("-")
    return f"{milliseconds}-{int(number) + 1}"
