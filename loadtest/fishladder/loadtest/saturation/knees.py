"""How far N* of the model is from N* of real agents: the same cameras, the same link, and the same seeds, so that both
meet the same frames, losses and fades. `calibrate` asks. N* here is by the mean over those few seeds, since what TCP
does of its own accord falls on other moments in each run; that of `saturate`, which rests on a bound over many, may be
lower, and stands beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from statistics import fmean

from fishladder.loadtest.emulation.network import emulate
from fishladder.loadtest.emulation.selftest import self_test
from fishladder.loadtest.links.link import Link
from fishladder.loadtest.model.congestion import Law
from fishladder.loadtest.model.fluid import link_bps
from fishladder.loadtest.model.pool import Pool
from fishladder.loadtest.model.run import run_once
from fishladder.loadtest.saturation.adaptation import judged
from fishladder.loadtest.saturation.confirm import emulated_run, generator_limit
from fishladder.loadtest.saturation.sweep import OnRun, Sweep
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.sources.camera import CameraSpec

#: What the model promises.
CAMERAS = 1
#: Real agents are tried this far from N* of the model; what is further is only called so.
_REACH = 3
#: So far below the target no other seed makes up for it.
_HOPELESS = 0.1
#: N* by a bound over many seeds is rarely further from that of a few.
_FAR = 12
_SURE_SEEDS = 12
#: On a thin line cameras send less and on a fast one more, so that about as many fit and two cores can play them.
_AT_LEAST, _AT_MOST = 6, 12
#: Round trips a deadline allows for, so that a lost packet can be sent again.
_ROUND_TRIPS = 3.5


@dataclass(frozen=True)
class KneeError:
    """N* by either on the same seeds, and `sure`, that of `saturate`. `tried` has the decodable fraction of the worst
    camera, real and modelled, at each N that was tried with real agents; `runs` that of each seed.
    """

    link: str
    camera: str
    deadline_ms: float
    sure: int
    model: int
    real: int
    tried: dict[int, tuple[float, float]]
    runs: dict[int, list[tuple[float, float]]]
    congestion_control: str
    limited: str  #: who, other than the link, was at its limit; empty if nobody was

    @property
    def within(self) -> bool:
        return abs(self.real - self.model) <= CAMERAS and not self.limited


def camera_for(link: Link) -> CameraSpec:
    """The default camera, or one that sends so much less or more that some fit, and not many."""
    up_bps = link_bps(link.up)
    bitrate_bps = min(max(CameraSpec.bitrate_bps, up_bps / _AT_MOST), up_bps / _AT_LEAST)
    return CameraSpec(bitrate_bps=bitrate_bps, deadline_ms=max(CameraSpec.deadline_ms, _ROUND_TRIPS * link.rtt_ms))


def nearest_knee(passes: Callable[[int], bool], guess: int, reach: int = _REACH) -> int:
    """The largest N that passes: from `guess` up while it passes, or else down until it does, `reach` at most."""
    cameras = max(guess, 1)
    if passes(cameras):
        while cameras < guess + reach and passes(cameras + 1):
            cameras += 1
        return cameras
    while cameras > max(guess - reach, 1):
        cameras -= 1
        if passes(cameras):
            return cameras
    return 0 if cameras == 1 else cameras - 1


def knee_over_seeds(
    run: Callable[[int, int], tuple[float, float]], seeds: Sequence[int], guess: int, *, target: float
) -> tuple[int, dict[int, list[tuple[float, float]]]]:
    """N* by the mean of what `run(cameras, seed)` gives first, and all it gave by N. The first seed searches; what it
    finds is tried with all, so that one lucky or unlucky run decides nothing.
    """
    runs: dict[int, list[tuple[float, float]]] = {}

    def passes(cameras: int, count: int) -> bool:
        done = runs.setdefault(cameras, [])
        for seed in seeds[len(done) : count]:
            if done and done[0][0] < target - _HOPELESS:
                break
            done.append(run(cameras, seed))
        return _means(done)[0] >= target

    first = nearest_knee(lambda cameras: passes(cameras, 1), guess)
    found = nearest_knee(lambda cameras: passes(cameras, len(seeds)), first)
    return found, dict(sorted(runs.items()))


def knee_error(
    link: Link,
    pool: Pool,
    *,
    law: Law,
    seconds: float,
    seeds: Sequence[int],
    target: float = 0.99,
    on_run: OnRun,
    progress: Callable[[str, float, float], None],
) -> KneeError:
    """Both N* of cameras that fit the link. Raises `CannotEmulate` and `SelfTestInvalid`."""
    camera = camera_for(link)
    limits: list[str] = []
    laws: set[str] = set()
    progress(f"{link.name}: self-test of the emulated link", 0, 1)
    with emulate(link, seed=seeds[0]) as network:
        self_test(network).insist()
        scenario = Scenario(network.link, camera, law=law, seconds=seconds)
    sweep = Sweep(scenario, pool, first_seed=seeds[0], what=link.name, on_run=on_run)
    sure = sweep.knee(target=target, seeds=_SURE_SEEDS, all_below=False).passing

    @cache
    def modelled(cameras: int, seed: int) -> float:
        return run_once(scenario, cameras, seed).decodable

    model = nearest_knee(lambda cameras: fmean(modelled(cameras, it) for it in seeds) >= target, sure, reach=_FAR)

    def both(cameras: int, seed: int) -> tuple[float, float]:
        what = f"{link.name}: {cameras} real cameras, seed {seed} (the model's N* is {model})"
        with emulate(link, seed=seed) as network:
            tell = partial(_tell, progress, what, scenario.warm_up_s + scenario.seconds)
            site = emulated_run(scenario, cameras, seed, network, tell)
        run = judged(scenario, site, cameras, seed, "netns")
        laws.add(site.congestion_control)
        limits.extend([limit] if (limit := generator_limit(run, site)) else [])
        return run.decodable, modelled(cameras, seed)

    found, runs = knee_over_seeds(both, seeds, model, target=target)
    return KneeError(
        link=link.name,
        camera=str(camera),
        deadline_ms=camera.deadline_ms,
        sure=sure,
        model=model,
        real=found,
        tried={cameras: _means(done) for cameras, done in runs.items()},
        runs=runs,
        congestion_control=", ".join(sorted(laws)),
        limited=limits[0] if limits else "",
    )


def _means(runs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return fmean(real for real, _ in runs), fmean(model for _, model in runs)


def _tell(progress: Callable[[str, float, float], None], what: str, total_s: float, at_s: float) -> None:
    progress(what, at_s, total_s)
