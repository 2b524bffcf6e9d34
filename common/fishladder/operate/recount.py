"""Recounts one camera from what its commits said: from the state before the oldest result that is kept, result by
result, to the state as it is. Pure; names every seq that has not exactly one fate, and sums that do not agree.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fishladder.wire import keys
from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.open_set import OpenRange
from fishladder.wire.result import Result


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a camera's account stands at one moment: all up to `cursor` has a fate or is `open`; `counts` are the fates
    so far, `closed` the seqs of the epochs before the cursor's.
    """

    cursor: Position = ORIGIN
    open: tuple[OpenRange, ...] = ()
    counts: Mapping[Fate, int] = field(default_factory=dict)
    closed: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be. `epoch` 0: it is about a sum, not about seqs."""

    what: str
    epoch: int = 0
    first: int = 0
    last: int = 0

    def __str__(self) -> str:
        if not self.epoch:
            return self.what
        seqs = str(self.first) if self.first == self.last else f"{self.first}..{self.last}"
        return f"{self.epoch}-{seqs}: {self.what}"


class FateMap:
    """The fates of one epoch's seqs as runs that do not overlap."""

    def __init__(self) -> None:
        self._runs: list[Run] = []  # ascending

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def put(self, run: Run) -> list[Run]:
        """Give seqs a fate, in place of the one they had; what they had, ascending."""
        begin = bisect_left(self._runs, run.first, key=lambda it: it.last)
        end = begin
        had: list[Run] = []
        rest: list[Run] = []
        while end < len(self._runs) and self._runs[end].first <= run.last:
            it = self._runs[end]
            had.append(Run(it.fate, max(it.first, run.first), min(it.last, run.last)))
            if it.first < run.first:
                rest.append(Run(it.fate, it.first, run.first - 1))
            if it.last > run.last:
                rest.append(Run(it.fate, run.last + 1, it.last))
            end += 1
        self._runs[begin:end] = sorted([*rest, run], key=lambda it: it.first)
        return had


class Recount:
    """Give it the results in the order in which they were committed, then ask for the `findings`."""

    def __init__(self, begin: Standing) -> None:
        self.begin = begin
        self.settled: Counter[Fate] = Counter()  #: by the results
        self._cursor = begin.cursor
        self._closed = begin.closed
        self._epochs: dict[int, FateMap] = {}
        self._findings: list[Finding] = []
        for it in begin.open:
            self._epoch(it.epoch).put(Run(Fate.DEFERRED, it.first, it.last))

    def add(self, result: Result) -> None:
        runs = [Run(Fate(code), first, last) for code, first, last in result.runs]
        if result.lane == keys.BACKFILL:
            for run in runs:
                self._backfill(result.epoch, run)
        else:
            for run in runs:
                self._live(result.epoch, run)
        for run in runs:
            if run.fate is not Fate.DEFERRED:
                self.settled[run.fate] += run.length

    def findings(self, now: Standing) -> list[Finding]:
        """What is wrong, if the account stands at `now` after the last result."""
        found = list(self._findings)
        at, closed = self._cursor, self._closed
        if now.cursor.epoch > at.epoch:
            closed += at.seq
            at = Position(now.cursor.epoch, 0)
        if now.cursor > at:
            found.append(_missing(at.epoch, at.seq + 1, now.cursor.seq, "committed"))
        elif now.cursor < at:
            found.append(Finding(f"results go up to {at}, though the cursor stands at {now.cursor}"))
        found += self._compare_open(now.open)
        for fate in sorted(self.begin.counts.keys() | self.settled.keys() | now.counts.keys()):
            counted = self.begin.counts.get(fate, 0) + self.settled[fate]
            if counted != now.counts.get(fate, 0):
                found.append(
                    Finding(f"the ledger says {now.counts.get(fate, 0)} {fate.label}, its results add up to {counted}")
                )
        if closed != now.closed:
            found.append(Finding(f"the ledger says {now.closed} seqs of epochs that are over, its results {closed}"))
        return found

    def _epoch(self, epoch: int) -> FateMap:
        return self._epochs.setdefault(epoch, FateMap())

    def _live(self, epoch: int, run: Run) -> None:
        if epoch > self._cursor.epoch:
            self._closed += self._cursor.seq
            self._cursor = Position(epoch, 0)
        if epoch == self._cursor.epoch and run.first > self._cursor.seq + 1:
            self._findings.append(_missing(epoch, self._cursor.seq + 1, run.first - 1, "passed over"))
        self._say_twice(epoch, run, self._epoch(epoch).put(run))
        self._cursor = max(self._cursor, Position(epoch, run.last))

    def _backfill(self, epoch: int, run: Run) -> None:
        had = self._epoch(epoch).put(run)
        self._say_twice(epoch, run, [it for it in had if it.fate is not Fate.DEFERRED])
        at = run.first
        for it in [*had, Run(run.fate, run.last + 1, run.last + 1)]:
            if it.first > at:
                what = f"{run.fate.label} by backfill, though it was not deferred: it had its fate before"
                self._findings.append(Finding(what, epoch, at, it.first - 1))
            at = it.last + 1

    def _say_twice(self, epoch: int, run: Run, had: list[Run]) -> None:
        for it in had:
            what = f"{run.fate.label} twice" if it.fate is run.fate else f"both {it.fate.label} and {run.fate.label}"
            self._findings.append(Finding(what, epoch, it.first, it.last))

    def _compare_open(self, opened: tuple[OpenRange, ...]) -> Iterator[Finding]:
        for epoch in sorted(self._epochs.keys() | {it.epoch for it in opened}):
            still = [(it.first, it.last) for it in opened if it.epoch == epoch]
            deferred = [(run.first, run.last) for run in self._epoch(epoch) if run.fate is Fate.DEFERRED]
            for first, last in _without(deferred, still):
                yield _missing(epoch, first, last, "deferred and no longer open")
            for first, last in _without(still, deferred):
                yield Finding("open, though it has its fate or was never deferred", epoch, first, last)


def _without(ranges: Sequence[tuple[int, int]], taken: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts of `ranges` that are not in `taken`; both ascend and do not overlap."""
    index = 0
    for first, last in ranges:
        while index < len(taken) and taken[index][1] < first:
            index += 1
        for off, on in taken[index:]:
            if off > last:
                break
            if off > first:
                yield first, off - 1
            first = on + 1
        if first <= last:
            yield first, last


def _missing(epoch: int, first: int, last: int, how: str) -> Finding:
    return Finding(f"{how}, and no result says what became of it", epoch, first, last)
