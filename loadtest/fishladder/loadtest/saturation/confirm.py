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
from fishladder.loadtest.sites.site import Clip, Foreign, Ladder, SiteRun, run_site
from fishladder.loadtest.sources.frames import draw_indexed
from fishladder.loadtest.sources.ladder import Content
from fishladder.wire.errors import ConfigError

#: A frame handed over this much later than planned, at the 95th percentile, is the generator's fault, not the link's.
LATE_MS = 40.0
#: A process that used this much of a core was at its end.
FULL_CORE = 0.92
#: Counted seconds of an emulated run; a knee shows in fewer than the model can afford.
_SECONDS = 20.0
MADE_UP = Content()


@dataclass(frozen=True)
class Confirmation:
    """`limited` says who, other than the link, was at its limit in a run; empty if nobody was."""

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
            runs.append(run)
            limited = limited or generator_limit(run, site)
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
        progress=progress,
    )


def generator_limit(run: Run, site: SiteRun) -> str:
    """Who but the link was at its limit, in a clause; empty if nobody."""
    if run.lateness_p95_ms > LATE_MS:
        return f"generator: with {run.cameras} cameras frames were handed over {run.lateness_p95_ms:.0f} ms late"
    for part, cores in site.cores.items():
        if cores > FULL_CORE:
            return f"{part}: with {run.cameras} cameras it used {cores:.2f} of a core"
    return ""


def _point(scenario: Scenario, run: Run, site: SiteRun, seed: int, target: float) -> Emulated:
    laws: dict[str, Law] = {"cubic": "cubic", "bbr": "bbr"}
    same = replace(scenario, law=laws.get(site.congestion_control, scenario.law))
    model = run_once(same, run.cameras, seed)  # which meets the same losses and fades
    return Emulated(
        cameras=run.cameras,
        decodable=run.decodable,
        model=model.decodable,
        age_p50_ms=run.age_p50_ms,
        age_p95_ms=run.age_p95_ms,
        lateness_p95_ms=run.lateness_p95_ms,
        offered_bps=run.offered_bps,
        agrees=reaches(scenario, run, target) == reaches(scenario, model, target),
        camera_bps=run.camera_bps if scenario.adaptive else None,
        of_use=scenario.of_use(run.camera_bps),
        congestion_control=site.congestion_control,
        cores=site.cores,
    )


def _note(test: SelfTest, points: Sequence[Emulated]) -> str:
    rtt = test.rtt_ms
    ways = "; ".join(
        f"{way.way} {way.rate_bps.found / 1e6:.3g} Mbit/s ({way.rate_bps.error:+.1%}), full queue "
        f"{way.full_ms.found:.0f} ms ({way.full_ms.error:+.1%})"
        for way in test.ways
    )
    agree = sum(point.agrees for point in points)
    said = f"Emulated link, self-tested: RTT {rtt.found:.1f} of {rtt.expected:.1f} ms; {ways}. "
    said += f"Real agents and the model agree on {agree} of {len(points)} N tried around the knee"
    if points:
        said += f" (TCP: {points[0].congestion_control})"
    return ". ".join([said, *test.notes]) + "."
