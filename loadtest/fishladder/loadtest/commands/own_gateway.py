"""`saturate --gateway URL`: real agents here, over the line this machine is on, to a stack of the user's own. The line
cannot be begun anew with another seed, so this is a search with one run a step, and no interval.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from fishladder.edge.gateway_address import address
from fishladder.loadtest.commands.options import command_line, out_dir
from fishladder.loadtest.commands.scenarios import scenario_of
from fishladder.loadtest.console import table
from fishladder.loadtest.errors import AssertionMissed, Inconclusive
from fishladder.loadtest.links.link import Direction, Link
from fishladder.loadtest.model.run import Run
from fishladder.loadtest.report.assertions import Assertion
from fishladder.loadtest.report.progress import Progress
from fishladder.loadtest.report.saturation import write_report
from fishladder.loadtest.report.summary import Ages, LinkAnswer, Point
from fishladder.loadtest.saturation.adaptation import judged, reaches
from fishladder.loadtest.saturation.answer import ages_of
from fishladder.loadtest.saturation.confirm import emulated_run, generator_limit
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.sites.reach import insist
from fishladder.loadtest.sites.site import Foreign, SiteRun
from fishladder.loadtest.sources.ladder import Content
from fishladder.runtime.secret_files import read_secret
from fishladder.wire.errors import ConfigError

_SECONDS = 20.0


def saturate_own(links: tuple[str, ...], out: Path | None, wishes: list[Assertion], flags: dict[str, Any]) -> None:
    """Raises `ConfigError`, `CannotEmulate`, `Inconclusive`, `AssertionMissed`."""
    if links or flags["total"] or flags["splits"]:
        raise ConfigError("--gateway goes over your own line: leave out --link, --total and --split")
    if flags["infer"]:
        raise ConfigError("--gateway: your own workers infer, or not: leave out --infer")
    if flags["transport"] != "stream":
        raise ConfigError("--gateway tells frames apart by the stream's acknowledgements: leave out --uplink")
    foreign = foreign_of(flags)
    line = line_to(foreign)
    target: float = flags["target"]
    folder = out_dir(out, "saturate")
    runs: dict[int, Run] = {}
    limits: list[str] = []
    ages: dict[int, Ages] = {}
    with Progress() as progress:
        asked, content = scenario_of(line, flags, progress)
        scenario = replace(asked, seconds=min(asked.seconds, _SECONDS))

        def passes(cameras: int) -> bool:
            run, site = _run(scenario, content, cameras, flags["seed"], foreign, progress)
            limit = generator_limit(run, site)
            ages[cameras] = ages_of(site.traffic, site.outcome, cameras, from_us=scenario.warm_up_s * 1e6)
            runs[cameras] = run
            limits.extend([limit] if limit else [])
            left = f", {run.camera_bps / 1000:.0f} kbit/s ordered of the least" if scenario.adaptive else ""
            progress.say(f"N = {cameras}: {run.decodable:.1%} decodable in time, p95 age {run.age_p95_ms:.0f} ms{left}")
            return reaches(scenario, run, target)

        passing, failing = search(passes, flags["most"])
    shown = [ages[cameras] for cameras in (passing, failing) if cameras]
    said = _answer(scenario, runs, shown, passing, failing, limits, flags)
    checked = [wish.check(said, list(runs.values())) for wish in wishes]
    settings = {name: str(value) for name, value in flags.items() if value not in (None, False)}
    settings |= {name: flags[name] for name in ("seed", "target", "deadline")}
    warnings = [f"Not a result of the line: {limits[0]}."] if limits else []
    rows = [(said.link, run) for run in runs.values()]
    status = "generator-limited" if limits else "ok"
    write_report(folder, command_line(), [said], rows, settings, checked, warnings, status)
    beyond = str(failing or f"> {flags['most']}")
    click.echo(table([("gateway", "N*", "fails at", ""), (said.link, str(passing), beyond, said.cause)]))
    click.echo(f"report: {folder / 'report.html'}")
    if missed := [it for it in checked if not it["holds"]]:
        raise AssertionMissed("; ".join(f"{it['assertion']} (found {it['found']})" for it in missed))
    if limits:
        raise Inconclusive(warnings[0])


def foreign_of(flags: Mapping[str, Any]) -> Foreign:
    """The user's own stack, as `gateway_options` names it, once it has been reached. Raises `ConfigError`,
    `NotReachable`.
    """
    gateway, site = flags["gateway"], flags["site"]
    token_file: Path | None = flags["token_file"]
    if token_file is None:
        raise ConfigError(f"--gateway needs --token-file (`fishladder token create --site {site}` makes a token)")
    token = read_secret(token_file, "--token-file").strip()
    ca_file, proxy = flags["ca_file"] or "", flags["proxy"] or ""
    to = address(gateway, token=token, ca_file=Path(ca_file) if ca_file else None, proxy=proxy)
    asyncio.run(insist(to))
    return Foreign(gateway, site, token, ca_file, proxy)


def line_to(foreign: Foreign) -> Link:
    """The line this machine is on, of which nothing is known."""
    return Link(foreign.url, Direction(1.0, 1), Direction(1.0, 1), title="the line this machine is on")


def search(passes: Any, most: int) -> tuple[int, int | None]:
    """The largest N up to `most` in a doubling and halving search, and the first that failed in it, if one did."""
    passing, step = 0, 1
    while passing < most:
        ahead = min(passing + step, most)
        if not passes(ahead):
            break
        passing, step = ahead, step * 2
    else:
        return passing, None
    failing = ahead
    while failing - passing > 1:
        middle = (passing + failing) // 2
        passing, failing = (middle, failing) if passes(middle) else (passing, middle)
    return passing, failing


def _run(
    scenario: Scenario, content: Content, cameras: int, seed: int, foreign: Foreign, progress: Progress
) -> tuple[Run, SiteRun]:
    total_s = scenario.warm_up_s + scenario.seconds

    def tell(at_s: float) -> None:
        progress.step(f"{cameras} real cameras to {foreign.url}", at_s, total_s)

    site = emulated_run(scenario, cameras, seed, None, tell, content=content, foreign=foreign)
    run = judged(scenario, site, cameras, seed, "own gateway")
    return run, site


def _answer(
    scenario: Scenario,
    runs: dict[int, Run],
    ages: list[Ages],
    passing: int,
    failing: int | None,
    limits: list[str],
    flags: dict[str, Any],
) -> LinkAnswer:
    if limits:
        cause, text = limits[0].partition(":")[0], limits[0]
    elif failing is None:
        cause, text = "none", f"No limit was found up to {flags['most']} cameras."
    else:
        cause, text = "line or gateway", "From the edge alone the line and the gateway behind it cannot be told apart."
    return LinkAnswer(
        link=scenario.link.name,
        title=scenario.link.title,
        up_bps=0,
        down_bps=0,
        rtt_ms=0,
        loss=0,
        queue_ms=0,
        discipline="",
        figures={},
        camera=str(scenario.camera),
        passing=passing,
        failing=failing,
        limit=flags["most"],
        fluid=0,
        every_n=False,
        cause=cause,
        cause_text=text,
        curve=[Point(n, 1, run.decodable, None, None) for n, run in sorted(runs.items())],
        tornado=[],
        ages=ages,
        emulation="Real agents over the real line, one run at each N: no interval.",
    )
