"""Finds N*: the largest N such that for every n <= N the target is surely reached. Pure: `evaluate` runs the seeds, and
may be asked for the same n again with more of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fishladder.loadtest.saturation.statistics import Sample, Verdict

#: After so many seeds an n other than N* is settled if their bound holds, or is this far below the target.
_LOOKS, _HOPELESS = (2, 6), 0.02
#: As many settle it also where the first of them are all so far below.
_LOST = 0.05
#: Below the knee, every n is tried up to this many; of more, evenly chosen ones and those next to the knee.
MOST_BELOW = 64
_NEXT_TO_KNEE = 4

#: `evaluate(n, seeds)`: the results of that many seeds at n cameras.
Evaluate = Callable[[int, int], Sample]


@dataclass(frozen=True)
class Knee:
    """`passing` is N* (0 if not even one camera passes), `failing` the first N surely failing, None if none was found
    up to `limit`. What lies between is unsure. `tried` holds every n with its sample, ascending.
    """

    passing: int
    failing: int | None
    tried: dict[int, Sample]
    every_n: bool  #: whether every n <= passing was tried
    limit: int

    @property
    def at_limit(self) -> bool:
        return self.passing >= self.limit


def find_knee(evaluate: Evaluate, *, target: float, guess: int, seeds: int, limit: int, all_below: bool = True) -> Knee:
    """Gallop from `guess` to a bracket, bisect, then go through all n below: one that does not pass ends N* there.

    `all_below` False takes the bracket for the answer, for comparisons where many knees are wanted quickly.
    """
    return _Search(evaluate, target, seeds, limit).run(max(min(guess, limit), 1), all_below=all_below)


class _Search:
    def __init__(self, evaluate: Evaluate, target: float, seeds: int, limit: int) -> None:
        self._evaluate = evaluate
        self._target = target
        self._seeds = seeds
        self._limit = limit
        self._tried: dict[int, Sample] = {}

    def run(self, guess: int, *, all_below: bool) -> Knee:
        passes = self._seems_to_pass if all_below else self._passes
        passing, beyond = self._bracket(guess, passes)
        while beyond - passing > 1:
            middle = (passing + beyond) // 2
            passing, beyond = (middle, beyond) if passes(middle) else (passing, middle)
        if not all_below:
            failing = beyond if beyond <= self._limit else None
            return Knee(passing, failing, dict(sorted(self._tried.items())), False, self._limit)
        passing, every = self._every_below(passing)
        while passing and not self._surely_passes(passing):
            passing -= 1
        while passing < self._limit and self._surely_passes(passing + 1):
            passing += 1  # it did not seem to
        return Knee(passing, self._first_failing(passing), dict(sorted(self._tried.items())), every, self._limit)

    def _few(self, cameras: int) -> Sample:
        """As many seeds as say enough, or as are looked at first."""
        if cameras not in self._tried:
            for seeds in _LOOKS:
                known = self._tried[cameras] = self._evaluate(cameras, min(seeds, self._seeds))
                if self._settled(known):
                    break
        return self._tried[cameras]

    def _settled(self, known: Sample) -> bool:
        """Whether more seeds are not needed."""
        passes = known.verdict(self._target) is Verdict.PASSES
        hopeless = known.upper < self._target - _HOPELESS or max(known.values) < self._target - _LOST
        return passes or hopeless or len(known.values) >= self._seeds

    def _whole(self, cameras: int) -> Sample:
        """All seeds."""
        known = self._tried.get(cameras)
        if known is None or len(known.values) < self._seeds:
            known = self._tried[cameras] = self._evaluate(cameras, self._seeds)
        return known

    def _passes(self, cameras: int) -> bool:
        known = self._few(cameras)
        return (known if self._settled(known) else self._whole(cameras)).verdict(self._target) is Verdict.PASSES

    def _surely_passes(self, cameras: int) -> bool:
        return self._whole(cameras).verdict(self._target) is Verdict.PASSES

    def _seems_to_pass(self, cameras: int) -> bool:
        """By few seeds: where to look, not the answer."""
        return self._few(cameras).mean >= self._target

    def _bracket(self, guess: int, passes: Callable[[int], bool]) -> tuple[int, int]:
        """An n that passes (or 0), and a larger one that does not (or limit + 1)."""
        step = 1
        if passes(guess):
            passing = guess
            while passing < self._limit:
                ahead = min(passing + step, self._limit)
                if not passes(ahead):
                    return passing, ahead
                passing, step = ahead, step * 2
            return passing, self._limit + 1
        beyond = guess
        while beyond > 1:
            back = max(beyond - step, 1)
            if passes(back):
                return back, beyond
            beyond, step = back, step * 2
        return 0, beyond

    def _every_below(self, passing: int) -> tuple[int, bool]:
        """The largest N <= passing with nothing below it that does not pass, and whether every n was tried."""
        near = range(max(passing - _NEXT_TO_KNEE, 1), passing)
        stride = -(-passing // MOST_BELOW) if passing else 1
        for cameras in (*range(1, near.start, stride), *near):
            if not self._passes(cameras):
                return cameras - 1, stride == 1
        return passing, stride == 1

    def _first_failing(self, passing: int) -> int | None:
        """The first that surely does, as all seeds say."""
        for cameras in range(passing + 1, self._limit + 1):
            if self._whole(cameras).verdict(self._target) is Verdict.FAILS:
                return cameras
        return None
