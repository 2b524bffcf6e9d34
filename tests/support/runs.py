"""Ranges of fates for tests that care only how many frames have which."""

from collections.abc import Iterable

from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import Position


def runs_after(start: Position, counts: Iterable[tuple[Fate, int]]) -> list[Run]:
    """The seqs after `start`, so many with each fate, in that order."""
    runs: list[Run] = []
    at = start.seq
    for fate, count in counts:
        runs.append(Run(fate, at + 1, at + count))
        at += count
    return runs
