"""Frames that must arrive together: a set is the pictures N cameras took at one instant, and is as late as its latest.
Complete sets, the age of sets, and how much of N is lost to waiting for the slowest.
"""

from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

import numpy as np

from fishladder.loadtest.model.run import simulate
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.traffic import Bools, Floats, Outcome, Traffic, decodable

Sites = Literal["shared", "per-site"]
#: Seeds of the links of different sites in one run are this far apart.
_SITE_STRIDE = 1009


@dataclass(frozen=True)
class FanIn:
    """Of the sets of one run. `independent` is what F^N promises, F being the share of single frames in time.

    `parallelism` is the mean age of a frame over that of a set, mean / E[max of N]: 1 if all come together. Ages are
    over sets of which everything arrived; without any they are infinite.
    """

    cameras: int
    complete: float
    single: float
    parallelism: float
    set_p50_ms: float
    set_p95_ms: float

    @property
    def independent(self) -> float:
        return float(self.single**self.cameras)


def of_run(traffic: Traffic, outcome: Outcome, *, from_us: float) -> FanIn:
    """All cameras of a run take their pictures at the same instants (phases "aligned")."""
    return _judge(*_by_set(traffic, outcome, from_us))


def simulated(scenario: Scenario, cameras: int, seed: int, sites: Sites) -> FanIn:
    """On one link all share, or each camera on a link of its own of this kind."""
    aligned = replace(scenario, camera=replace(scenario.camera, phases="aligned"))
    from_us = aligned.warm_up_s * 1e6
    if sites == "shared":
        return of_run(*simulate(aligned, cameras, seed), from_us=from_us)
    columns = [_by_set(*simulate(aligned, 1, seed + site * _SITE_STRIDE), from_us) for site in range(cameras)]
    return _judge(np.hstack([good for good, _ in columns]), np.hstack([ages for _, ages in columns]))


def mean_of(found: list[FanIn]) -> FanIn:
    return FanIn(
        cameras=found[0].cameras,
        **{
            name: fmean(getattr(one, name) for one in found)
            for name in ("complete", "single", "parallelism", "set_p50_ms", "set_p95_ms")
        },
    )


def _by_set(traffic: Traffic, outcome: Outcome, from_us: float) -> tuple[Bools, Floats]:
    """In time or not, and age in ms: [sets, cameras]."""
    good = decodable(traffic, outcome)
    age_ms = (outcome.arrival_us - traffic.at_us) / 1000
    each = [
        np.flatnonzero((traffic.camera == camera) & (traffic.at_us >= from_us)) for camera in range(traffic.cameras)
    ]
    count = min(map(len, each))
    rows = np.column_stack([index[-count:] if count else index[:0] for index in each])
    return good[rows], age_ms[rows]


def _judge(good: Bools, age_ms: Floats) -> FanIn:
    cameras = good.shape[1]
    whole = age_ms[~np.isnan(age_ms).any(axis=1)]
    if not len(whole):
        return FanIn(cameras, float(good.all(axis=1).mean()), float(good.mean()), 0.0, float("inf"), float("inf"))
    latest = whole.max(axis=1)
    return FanIn(
        cameras=cameras,
        complete=float(good.all(axis=1).mean()),
        single=float(good.mean()),
        parallelism=float(whole.mean() / latest.mean()),
        set_p50_ms=float(np.percentile(latest, 50)),
        set_p95_ms=float(np.percentile(latest, 95)),
    )
