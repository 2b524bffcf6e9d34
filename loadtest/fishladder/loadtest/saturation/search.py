"""Finds N*: the largest N such that for every n <= N the target is surely reached. Pure: `evaluate` runs the seeds, and
may be asked for the same n again with more of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fishladder.loadtest.saturation.statistics import Sample, Verdict

#: With this few seeds a bound that already holds settles an n away from the knee.
SCREEN_SEEDS = 6
#: Below the knee, every n is tried up to this many; of more, evenly chosen ones and those next to the knee.
MOST_BELOW = 64
#: A bound of a few seeds so far below the target settles it as well; and in comparisons the first two do, if their own
#: bound holds, or if both are so far below.
_HOPELESS, _FIRST = 0.05, 2
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
        self._compares = False

    def run(self, guess: int, *, all_below: bool) -> Knee:
        self._compares = not all_below
        passing, beyond = self._bracket(guess)
        while beyond - passing > 1:
            middle = (passing + beyond) // 2
            passing, beyond = (middle, beyond) if self._passes(middle) else (passing, middle)
        if not all_below:
            failing = beyond if beyond <= self._limit else None
            return Knee(passing, failing, dict(sorted(self._tried.items())), False, self._limit)
        passing, every = self._every_below(passing)
        return Knee(passing, self._first_failing(passing), dict(sorted(self._tried.items())), every, self._limit)

    def _sample(self, cameras: int, *, full: bool = True) -> Sample:
        """All seeds, or, if the bound of a few says enough, those."""
        known = self._tried.get(cameras)
        if not full and self._seeds > SCREEN_SEEDS:
            if known is None:
                known = self._tried[cameras] = self._evaluate(cameras, SCREEN_SEEDS)
            if known.verdict(self._target) is Verdict.PASSES:
                return known
        elif known is None and self._seeds > SCREEN_SEEDS:
            known = self._evaluate(cameras, SCREEN_SEEDS)
            if known.upper < self._target - _HOPELESS:
                self._tried[cameras] = known
                return known
        elif known is None and self._compares and self._seeds > _FIRST:
            known = self._evaluate(cameras, _FIRST)
            if known.verdict(self._target) is Verdict.PASSES or max(known.values) < self._target - _HOPELESS:
                self._tried[cameras] = known
                return known
        if known is None or len(known.values) < self._seeds:
            known = self._tried[cameras] = self._evaluate(cameras, self._seeds)
        return known

    def _verdict(self, cameras: int, *, full: bool = True) -> Verdict:
        return self._sample(cameras, full=full).verdict(self._target)

    def _passes(self, cameras: int, *, full: bool = True) -> bool:
        return self._verdict(cameras, full=full) is Verdict.PASSES

    def _bracket(self, guess: int) -> tuple[int, int]:
        """An n that passes (or 0), and a larger one that does not (or limit + 1)."""
        step = 1
        if self._passes(guess):
            passing = guess
            while passing < self._limit:
                ahead = min(passing + step, self._limit)
                if not self._passes(ahead):
                    return passing, ahead
                passing, step = ahead, step * 2
            return passing, self._limit + 1
        beyond = guess
        while beyond > 1:
            back = max(beyond - step, 1)
            if self._passes(back):
                return back, beyond
            beyond, step = back, step * 2
        return 0, beyond

    def _every_below(self, passing: int) -> tuple[int, bool]:
        """The largest N <= passing with nothing below it that does not pass, and whether every n was tried."""
        near = range(max(passing - _NEXT_TO_KNEE, 1), passing)
        stride = -(-passing // MOST_BELOW) if passing else 1
        far = range(1, near.start, stride)
        for cameras in (*far, *near):
            if not self._passes(cameras, full=cameras in near):
                return cameras - 1, stride == 1
        return passing, stride == 1

    def _first_failing(self, passing: int) -> int | None:
        for cameras in range(passing + 1, self._limit + 1):
            if self._verdict(cameras) is Verdict.FAILS:
                return cameras
        return None
