"""Numbers the units of a sender that does not do so itself (WHIP): each gets the next seq, and what is not logged is
declared in ranges. Pure.
"""

from fishladder.wire.fates import Fate, Run


class Numbering:
    """`position` is the last seq given. `entry_wanted`: nothing can be decoded before the next entry point."""

    def __init__(self) -> None:
        self.position = 0
        self.entry_wanted = True
        self._runs: list[Run] = []  # given up and not declared yet, ascending

    def give_up(self, fate: Fate) -> None:
        """The next unit is not logged. Unless it shows nothing, what follows cannot be decoded without it."""
        self.position += 1
        if fate is not Fate.NO_PICTURE:
            self.entry_wanted = True
        self._add(fate, self.position, self.position)

    def number(self) -> int:
        """The next unit is logged, under this seq. What was given up before it has to be declared first."""
        self.position += 1
        self.entry_wanted = False
        return self.position

    def to_declare(self) -> list[Run]:
        """What was given up since the last call, as ranges."""
        runs, self._runs = self._runs, []
        return runs

    def lost(self, first: int) -> None:
        """The log wants `first` next: of what was given to it from there on nothing is left."""
        known = [run for run in self._runs if run.last >= first]
        self._runs = []
        at = first
        for run in known:
            if run.first > at:
                self._add(Fate.LOG_LOST, at, run.first - 1)
            self._add(run.fate, max(run.first, at), run.last)
            at = run.last + 1
        if at <= self.position:
            self._add(Fate.LOG_LOST, at, self.position)
        self.entry_wanted = True

    def _add(self, fate: Fate, first: int, last: int) -> None:
        if self._runs and self._runs[-1].fate is fate and self._runs[-1].last == first - 1:
            self._runs[-1] = Run(fate, self._runs[-1].first, last)
        else:
            self._runs.append(Run(fate, first, last))
