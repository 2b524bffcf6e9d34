"""Runs the seeds that the search for N* asks for, keeps every run, and tells a progress display of each."""

from collections.abc import Callable

from fishladder.loadtest.model.fluid import fluid_bound
from fishladder.loadtest.model.pool import Pool
from fishladder.loadtest.model.run import Run
from fishladder.loadtest.saturation.search import Knee, find_knee
from fishladder.loadtest.saturation.statistics import Sample
from fishladder.loadtest.scenario import Scenario

#: Told of each run: what it is part of, the run, how many of the seeds at this N are done, and of how many.
OnRun = Callable[[str, Run, int, int], None]


class Sweep:
    """All runs of one scenario; `first_seed` and those after it."""

    def __init__(self, scenario: Scenario, pool: Pool, *, first_seed: int, what: str, on_run: OnRun) -> None:
        self.scenario = scenario
        self.runs: dict[int, dict[int, Run]] = {}  #: by cameras, then seed
        self._pool = pool
        self._first_seed = first_seed
        self._what = what
        self._on_run = on_run

    def evaluate(self, cameras: int, seeds: int) -> Sample:
        """The worst camera's decodable fraction of each seed, 0 if it was left less than its floor. Those that were run
        before are not run again.
        """
        known = self.runs.setdefault(cameras, {})
        wanted = range(self._first_seed, self._first_seed + seeds)
        jobs = [(self.scenario, cameras, seed) for seed in wanted if seed not in known]
        for run in self._pool.runs(jobs):
            known[run.seed] = run
            self._on_run(self._what, run, len(known), seeds)
        runs = [known[seed] for seed in wanted]
        return Sample(tuple(run.decodable if self.scenario.of_use(run.camera_bps) else 0.0 for run in runs))

    def knee(self, *, target: float, seeds: int, guess: int | None = None, all_below: bool = True) -> Knee:
        fluid = fluid_bound(self.scenario)
        limit = max(2 * fluid + 4, 2 * (guess or 0) + 4)
        start = guess if guess is not None else max(fluid, 1)
        return find_knee(
            self.evaluate, target=target, guess=max(start, 1), seeds=seeds, limit=limit, all_below=all_below
        )
