"""Tries around the knee whether real agents, gateway and kernel queue agree with the model. It judges no N by itself:
one run a point is no interval. What the generator of the traffic limited is called so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from fishladder.loadtest.emulation.network import Network, emulate
from fishladder.loadtest.emulation.selftest import SelfTest, self_test
from fishladder.loadtest.model.congestion import Law
from fishladder.loadtest.model.run import Run, run_once
from fishladder.loadtest.report.summary import Emulated
from fishladder.loadtest.saturation.adaptation import judged, reaches
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.sites.agents import Patience
from fishladder.loadtest.sites.site import Clip, Foreign, Ladder, SiteRun, run_site
from fishladder.loadtest.sources.frames import draw_indexed
from fishladder.loadtest.sources.ladder import Content
from fishladder.wire.errors import ConfigError

#: A frame handed over this much later than planned, at the 95th percentile, is the generator's fault, not the link's.
LATE_MS = 40.0
#: Which is known before the end; so many seconds of what is counted are seen at least.
_SEEN_S = 2.0
#: A thread that used so much of a core, or was ready to, was at its end.
FULL_CORE = 0.92
#: Counted seconds of an emulated run; a knee shows in fewer than the model can afford.
_SECONDS = 20.0
#: Single runs of the model, which say how far those of one N may differ.
_SEEDS = 6
MADE_UP = Content()


@dataclass(frozen=True)
class Confirmation:
    """`limited` says who, other than the link, was at its limit in a run, which is left out; empty if nobody was."""

    points: tuple[Emulated, ...]
    runs: tuple[Run, ...]
    note: str
    limited: str


def confirm(
    scenario: Scenario,
    cameras: Sequence[int],
    *,
    seed: int,
    target: float,
    content: Content = MADE_UP,
    model: str | None = None,
    progress: Callable[[str, float, float], None],
) -> Confirmation:
    """`content` is the scenario's footage; without, frames are made up. `model`: a real worker infers with it.

    Raises `CannotEmulate` and `SelfTestInvalid`.
    """
    if scenario.transport == "datagrams":
        raise ConfigError("real agents send a stream or WHIP: --uplink datagrams goes with --backend model")
    link = scenario.link
    progress(f"{link.name}: self-test of the emulated link", 0, 1)
    points: list[Emulated] = []
    runs: list[Run] = []
    limited = ""
    with emulate(link, seed=seed) as network:
        test = self_test(network)
        test.insist()
        short = replace(scenario, link=network.link, seconds=min(scenario.seconds, _SECONDS))
        for index, count in enumerate(cameras):
            total = short.warm_up_s + short.seconds
            what = f"{link.name}: {count} real cameras, run {index + 1} of {len(cameras)}"
            tell = partial(_tell, progress, what, total)
            site = emulated_run(short, count, seed, network, tell, content=content, model=model)
            run = judged(short, site, count, seed, "netns")
            if limit := generator_limit(run, site):
                limited = limit
                break  # with more cameras it would be again
            runs.append(run)
            points.append(_point(short, run, site, seed, target))
    return Confirmation(tuple(points), tuple(runs), _note(test, points), limited)


def _tell(progress: Callable[[str, float, float], None], what: str, total_s: float, at_s: float) -> None:
    progress(what, at_s, total_s)


def emulated_run(
    scenario: Scenario,
    cameras: int,
    seed: int,
    network: Network | None,
    progress: Callable[[float], None],
    *,
    content: Content = MADE_UP,
    model: str | None = None,
    foreign: Foreign | None = None,
) -> SiteRun:
    """The model's very frames of this seed, sent by real agents; of cameras that adapt, what agents order of them.

    `network` None: over loopback, or to a stack that is not ours.
    """
    spec = scenario.camera
    seconds = scenario.warm_up_s + scenario.seconds
    plan, frame = draw_indexed(spec, cameras, seconds, seed, footage=scenario.footage)
    clip: Clip | Ladder | None = Clip(content.clip.units, frame) if content.clip else None
    if scenario.adaptive is not None:
        clip = Ladder(spec, content.rungs)
    return run_site(
        plan,
        network=network,
        foreign=foreign,
        uplink="whip" if scenario.transport == "whip" else "stream",
        size=(spec.width, spec.height),
        clip=clip,
        model=model,
        patience=Patience(LATE_MS * 1000, (scenario.warm_up_s + _SEEN_S) * 1e6),
        progress=progress,
    )


def generator_limit(run: Run, site: SiteRun) -> str:
    """Who but the link was at its limit, in a clause; empty if nobody."""
    if run.lateness_p95_ms > LATE_MS:
        return f"generator: with {run.cameras} cameras frames were handed over {run.lateness_p95_ms:.0f} ms late"
    for part, load in site.cores.items():
        if load.busiest > FULL_CORE:
            busy = f"a thread of it ran, or waited for a core, for {load.busiest:.0%} of the time"
            return f"{part}: with {run.cameras} cameras {busy}"
    return ""


def _point(scenario: Scenario, run: Run, site: SiteRun, seed: int, target: float) -> Emulated:
    laws: dict[str, Law] = {"cubic": "cubic", "bbr": "bbr"}
    same = replace(scenario, law=laws.get(site.congestion_control, scenario.law))
    model = [run_once(same, run.cameras, it) for it in range(seed, seed + _SEEDS)]  # the first meets the same losses
    return Emulated(
        cameras=run.cameras,
        decodable=run.decodable,
        model=model[0].decodable,
        age_p50_ms=run.age_p50_ms,
        age_p95_ms=run.age_p95_ms,
        lateness_p95_ms=run.lateness_p95_ms,
        offered_bps=run.offered_bps,
        agrees=agree(scenario, run, model, target),
        camera_bps=run.camera_bps if scenario.adaptive else None,
        of_use=scenario.of_use(run.camera_bps),
        model_range=_range(model),
        congestion_control=site.congestion_control,
        cores={part: load.used for part, load in site.cores.items()},
    )


def agree(scenario: Scenario, real: Run, model: Sequence[Run], target: float) -> bool:
    """Whether real agents and the model of the same seed (the first) both reach the target, or neither does; or the
    real ones are among what the model has with some seeds: near the knee a run passes by where TCP's pause falls.
    """
    if reaches(scenario, real, target) == reaches(scenario, model[0], target):
        return True
    low, high = _range(model)
    return low <= real.decodable <= high and scenario.of_use(real.camera_bps) == scenario.of_use(model[0].camera_bps)


def _range(runs: Sequence[Run]) -> tuple[float, float]:
    found = [run.decodable for run in runs]
    return min(found), max(found)


def _note(test: SelfTest, points: Sequence[Emulated]) -> str:
    rtt = test.rtt_ms
    ways = "; ".join(
        f"{way.way} {way.rate_bps.found / 1e6:.3g} Mbit/s ({way.rate_bps.error:+.1%}), full queue "
        f"{way.full_ms.found:.0f} ms ({way.full_ms.error:+.1%})"
        for way in test.ways
    )
    agree = sum(point.agrees for point in points)
    said = f"Emulated link, self-tested: RTT {rtt.found:.1f} of {rtt.expected:.1f} ms; {ways}. "
    if points:
        said += f"Real agents and the model agree on {agree} of {len(points)} N tried around the knee"
        said += f" (TCP: {points[0].congestion_control})" if points[0].congestion_control != "none" else ""
    else:
        said += "No N was tried to an end"
    return ". ".join([said, *test.notes]) + "."
