"""A fast jittery link against slower, steadier ones, for cameras whose frames must arrive together: who wins where."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from fishladder.loadtest.errors import Inconclusive
from fishladder.loadtest.fanin.sets import FanIn, Sites, mean_of, of_run, simulated
from fishladder.loadtest.links.link import Link
from fishladder.loadtest.model.fluid import link_bps, wire_bps
from fishladder.loadtest.model.pool import Pool
from fishladder.loadtest.model.run import summarise
from fishladder.loadtest.scenario import Scenario

#: Rates of the steady link, as shares of the fast one's.
SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)
COUNTS = (1, 2, 4, 8, 16, 32, 64)
#: Those that are emulated.
MEASURED = (4, 8, 16)
#: Complete sets that differ by less count as equal; then the age of sets decides.
_EVEN = 0.005
#: A mean load from which on nothing is in time for long, and nothing needs to be run to know it.
_HOPELESS = 1.3


@dataclass(frozen=True)
class Cell:
    """One N and one rate of the steady link. `backend` says where the numbers are from."""

    sites: Sites
    share: float
    fast: FanIn
    steady: FanIn
    backend: str = "model"

    @property
    def cameras(self) -> int:
        return self.fast.cameras

    @property
    def winner(self) -> str:
        """fast, steady, or neither (no set comes whole, or nothing tells them apart)."""
        if max(self.fast.complete, self.steady.complete) < 0.01:
            return "neither"
        gap = self.steady.complete - self.fast.complete
        if abs(gap) > _EVEN:
            return "steady" if gap > 0 else "fast"
        slower = self.steady.set_p95_ms / max(self.fast.set_p95_ms, 1e-9)
        if 0.98 < slower < 1.02:
            return "neither"
        return "steady" if slower < 1 else "fast"


def slowed(steady: Link, rate_bps: float) -> Link:
    """The steady link at another upstream rate, its queue as long in time."""
    up = steady.up
    queue = max(round(up.queue_ms * rate_bps / 8000), 3000)
    return replace(steady, up=replace(up, rate_bps=rate_bps, queue_bytes=queue))


def contest(
    fast: Scenario, steady: Scenario, sites: Sites, pool: Pool, seeds: Sequence[int], tell: Callable[[str, float], None]
) -> list[Cell]:
    """The modelled map."""
    cells = []
    fast_bps = link_bps(fast.link.up)
    tell("the fast link", 0)
    of_fast = _means(fast, sites, pool, seeds)
    for done, share in enumerate(SHARES, start=1):
        tell(f"the steady link at {share:.3g} of its rate", done / (len(SHARES) + 1))
        of_steady = _means(replace(steady, link=slowed(steady.link, fast_bps * share)), sites, pool, seeds)
        cells += [Cell(sites, share, of_fast[count], of_steady[count]) for count in COUNTS]
    return cells


def _means(scenario: Scenario, sites: Sites, pool: Pool, seeds: Sequence[int]) -> dict[int, FanIn]:
    """By the number of cameras, over seeds."""
    up_bps = link_bps(scenario.link.up)
    one = wire_bps(scenario.camera, scenario.transport, up_bps) / up_bps
    counts = [count for count in COUNTS if one * (count if sites == "shared" else 1) <= _HOPELESS]
    found = {count: FanIn(count, 0.0, 0.0, 0.0, math.inf, math.inf) for count in COUNTS}
    if counts:
        runs = list(pool.results(simulated, ((scenario, counts, seed, sites) for seed in seeds)))
        found |= {count: mean_of([run[k] for run in runs]) for k, count in enumerate(counts)}
    return found


def share_to_measure(cells: Sequence[Cell], found: Sequence[Cell]) -> float | None:
    """The next rate at which to measure, `found` being what was measured of `cells`: where the border is, the fastest
    steady link that loses and the slowest that wins, and from there on until each link that wins at all has won a
    measured cell. None: that is all there is.
    """
    near = [cell for cell in cells if cell.sites == "shared" and cell.cameras in MEASURED]
    for winner, shares in (("fast", SHARES[::-1]), ("steady", SHARES)):
        if any(cell.winner == winner for cell in found):
            continue
        for share in shares:
            wins = any(cell.winner == winner for cell in near if cell.share == share)
            if wins and all(cell.share != share for cell in found):
                return share
    return None


def measured(
    fast: Scenario, steady: Scenario, cells: Sequence[Cell], seed: int, tell: Callable[[str, float, float], None]
) -> Iterator[Cell]:
    """The same on emulated links with real agents, all cameras on one. Raises `CannotEmulate`, `SelfTestInvalid`,
    and `Inconclusive` where this machine was the limit.
    """
    found: list[Cell] = []
    fast_bps = link_bps(fast.link.up)
    of_fast: dict[int, FanIn] = {}
    while (share := share_to_measure(cells, found)) is not None:
        of_fast = of_fast or _emulated(fast, seed, tell)
        of_steady = _emulated(replace(steady, link=slowed(steady.link, fast_bps * share)), seed, tell)
        row = [Cell("shared", share, of_fast[count], of_steady[count], "netns") for count in MEASURED]
        found += row
        yield from row


def _emulated(scenario: Scenario, seed: int, tell: Callable[[str, float, float], None]) -> dict[int, FanIn]:
    from fishladder.loadtest.emulation.network import emulate
    from fishladder.loadtest.emulation.selftest import self_test
    from fishladder.loadtest.saturation.confirm import emulated_run, generator_limit

    aligned = replace(scenario, camera=replace(scenario.camera, phases="aligned"))
    found = {}
    with emulate(aligned.link, seed=seed) as network:
        tell(f"{aligned.link.name}: self-test of the emulated link", 0, 1)
        self_test(network).insist()
        here = replace(aligned, link=network.link)
        total = here.warm_up_s + here.seconds
        for count in MEASURED:
            what = f"{aligned.link.name} at {aligned.link.up.rate_bps / 1e6:.3g} Mbit/s: {count} real cameras"
            site = emulated_run(here, count, seed, network, partial(_tell, tell, what, total))
            run = summarise(here, site.traffic, site.outcome, count, seed, "netns")
            if limit := generator_limit(run, site):
                raise Inconclusive(f"this machine is too small to measure it: {limit}")
            found[count] = of_run(site.traffic, site.outcome, from_us=here.warm_up_s * 1e6)
    return found


def _tell(tell: Callable[[str, float, float], None], what: str, total_s: float, at_s: float) -> None:
    tell(what, at_s, total_s)
