"""Frames that must arrive together, over the line this machine is on to a stack of the user's own."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from fishladder.loadtest.fanin.contest import MEASURED
from fishladder.loadtest.fanin.sets import FanIn, of_run
from fishladder.loadtest.model.run import summarise
from fishladder.loadtest.saturation.confirm import emulated_run, generator_limit
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.sites.site import Foreign


def over_own_line(
    scenario: Scenario, foreign: Foreign, seed: int, tell: Callable[[str, float, float], None]
) -> Iterator[tuple[FanIn, str]]:
    """For each N that is measured: its sets, and who other than the line was at its limit, if anybody. Ages have the
    acknowledgement's way back in them. Raises `CannotEmulate`.
    """
    aligned = replace(scenario, camera=replace(scenario.camera, phases="aligned"))
    total = aligned.warm_up_s + aligned.seconds
    for count in MEASURED:
        what = partial(_tell, tell, f"{count} real cameras to {foreign.url}", total)
        site = emulated_run(aligned, count, seed, None, what, foreign=foreign)
        run = summarise(aligned, site.traffic, site.outcome, count, seed, "own gateway")
        yield of_run(site.traffic, site.outcome, from_us=aligned.warm_up_s * 1e6), generator_limit(run, site)


def _tell(tell: Callable[[str, float, float], None], what: str, total_s: float, at_s: float) -> None:
    tell(what, at_s, total_s)
