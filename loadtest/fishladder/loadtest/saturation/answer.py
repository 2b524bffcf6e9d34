"""Puts together what the model says of one link: N* with its interval, cause and tornado, and how old frames get."""

from dataclasses import dataclass

import numpy as np

from fishladder.loadtest.links.link import Link
from fishladder.loadtest.links.load import figures
from fishladder.loadtest.model.fluid import fluid_bound, link_bps
from fishladder.loadtest.model.pool import Pool
from fishladder.loadtest.model.run import Run, simulate
from fishladder.loadtest.report.summary import Ages, BarRow, LinkAnswer, Point
from fishladder.loadtest.saturation.cause import Cause, find_cause
from fishladder.loadtest.saturation.search import Knee
from fishladder.loadtest.saturation.statistics import Sample
from fishladder.loadtest.saturation.sweep import OnRun, Sweep
from fishladder.loadtest.saturation.tornado import Bar, tornado
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.traffic import Outcome, Traffic, decodable

_CAUSE_SEEDS = 6
#: How many N past the knee a curve shows.
_PAST = 3


@dataclass(frozen=True)
class Question:
    """How a scenario is to be judged."""

    target: float = 0.99
    seeds: int = 30
    first_seed: int = 1
    with_tornado: bool = True


def answer(
    scenario: Scenario, question: Question, pool: Pool, on_run: OnRun, *, up_share: float | None = None
) -> tuple[LinkAnswer, list[Run]]:
    """The model's answer, and all runs it rests on."""
    link = scenario.link
    sweep = Sweep(scenario, pool, first_seed=question.first_seed, what=link.name, on_run=on_run)
    knee = sweep.knee(target=question.target, seeds=question.seeds)
    beyond = knee.failing or knee.passing + 1
    for cameras in range(knee.passing + 1, beyond + _PAST):
        if cameras not in knee.tried:
            knee.tried[cameras] = sweep.evaluate(cameras, min(question.seeds, _CAUSE_SEEDS))
    seeds = range(question.first_seed, question.first_seed + _CAUSE_SEEDS)
    cause = Cause("none", f"No limit was found up to {knee.limit} cameras.")
    if knee.failing is not None:
        cause = find_cause(scenario, knee.failing, seeds, pool, target=question.target)
    bars: list[Bar] = []
    if question.with_tornado and knee.failing is not None:
        bars = tornado(
            scenario,
            knee.passing,
            pool,
            first_seed=question.first_seed,
            target=question.target,
            what=link.name,
            on_run=on_run,
        )
    ages = [_ages(scenario, cameras, question.first_seed) for cameras in (knee.passing, beyond) if cameras]
    runs = [run for by_seed in sweep.runs.values() for run in by_seed.values()]
    return _row(scenario, knee, cause, bars, ages, up_share), runs


def _row(
    scenario: Scenario, knee: Knee, cause: Cause, bars: list[Bar], ages: list[Ages], up_share: float | None
) -> LinkAnswer:
    link = scenario.link
    return LinkAnswer(
        link=link.name,
        title=link.title,
        up_bps=link_bps(link.up),
        down_bps=link_bps(link.down),
        rtt_ms=link.rtt_ms,
        loss=link.up.loss.rate,
        queue_ms=link.up.queue_ms,
        discipline=link.up.discipline,
        figures=_figures(link),
        camera=str(scenario.camera),
        passing=knee.passing,
        failing=knee.failing,
        limit=knee.limit,
        fluid=fluid_bound(scenario),
        every_n=knee.every_n,
        cause=cause.kind,
        cause_text=cause.text,
        curve=[_point(cameras, sample) for cameras, sample in sorted(knee.tried.items())],
        tornado=[BarRow(bar.name, bar.low, bar.high, bar.low_passing, bar.high_passing) for bar in bars],
        ages=ages,
        up_share=up_share,
    )


def _figures(link: Link) -> dict[str, dict[str, object]]:
    return {
        name: {"value": value, "assumed" if source.assumed else "source": source.text}
        for name, (value, source) in figures(link).items()
    }


def _point(cameras: int, sample: Sample) -> Point:
    single = len(sample.values) < 2
    return Point(
        cameras=cameras,
        seeds=len(sample.values),
        mean=sample.mean,
        lower=None if single else sample.lower,
        upper=None if single else sample.upper,
    )


def _ages(scenario: Scenario, cameras: int, seed: int) -> Ages:
    traffic, outcome = simulate(scenario, cameras, seed)
    return ages_of(traffic, outcome, cameras, from_us=scenario.warm_up_s * 1e6)


def ages_of(traffic: Traffic, outcome: Outcome, cameras: int, *, from_us: float) -> Ages:
    counted = traffic.at_us >= from_us
    age_ms = (outcome.arrival_us - traffic.at_us)[counted] / 1000
    # What never arrived is older than all that did.
    ranked = np.sort(np.where(np.isnan(age_ms), np.inf, age_ms))
    quantiles = ranked[np.rint(np.linspace(0, len(ranked) - 1, 101)).astype(int)] if len(ranked) else np.zeros(0)
    good = decodable(traffic, outcome)[counted]
    second = ((traffic.at_us[counted] - from_us) // 1e6).astype(int)
    waits_second = ((outcome.queue_at_us - from_us) // 1e6).astype(int)
    seconds = sorted(set(second.tolist()))
    age_p95: list[float | None] = []
    for it in seconds:
        arrived = age_ms[(second == it) & np.isfinite(age_ms)]
        age_p95.append(float(np.percentile(arrived, 95)) if len(arrived) else None)
    queue = [outcome.queue_us[waits_second == it] for it in seconds]
    return Ages(
        cameras=cameras,
        quantiles_ms=[None if np.isinf(it) else round(float(it), 2) for it in quantiles],
        second=[float(it) for it in seconds],
        decodable=[float(good[second == it].mean()) for it in seconds],
        age_p95_ms=age_p95,
        queue_p95_ms=[float(np.percentile(it, 95)) / 1000 if len(it) else 0.0 for it in queue],
    )
