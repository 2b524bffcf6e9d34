"""`fishladder loadtest fanin`: when a slower, steadier link beats a fast one for frames that belong together."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from fishladder.loadtest.commands.options import command_line, gateway_options, law_of, out_dir, out_option, seed_option
from fishladder.loadtest.commands.own_gateway import foreign_of, line_to
from fishladder.loadtest.console import table
from fishladder.loadtest.errors import CannotEmulate, Inconclusive, SelfTestInvalid
from fishladder.loadtest.fanin.contest import Cell, contest, measured
from fishladder.loadtest.links.load import load_link
from fishladder.loadtest.model.pool import pool
from fishladder.loadtest.report.progress import Progress
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.sources.camera import CameraSpec

_BACKEND = click.Choice(["auto", "model", "netns"])


@click.command()
@click.option("--fast", default="fwa5g", show_default=True, help="The fast, jittery link: a preset or a TOML file.")
@click.option("--steady", default="fibre-100", show_default=True, help="The steady line; its upstream rate is varied.")
@click.option("--fps", type=float, default=5.0, show_default=True, help="Sets a second.")
@click.option("--bitrate", type=float, default=0.2, show_default=True, help="Mbit/s of each camera.")
@click.option("--deadline", type=float, default=150.0, show_default=True, help="ms a whole set may be old.")
@click.option("--congestion", type=click.Choice(["cubic", "bbr"]), help="TCP's in the model.  [default: this system's]")
@click.option("--seeds", type=click.IntRange(2), default=6, show_default=True, help="Model runs a cell.")
@click.option("--seconds", type=click.FloatRange(5, 600), default=12.0, show_default=True, help="Counted, a run.")
@seed_option
@gateway_options
@click.option("--backend", type=_BACKEND, default="auto", show_default=True, help="Measure N = 4, 8, 16 as well?")
@out_option
def fanin(
    fast: str,
    steady: str,
    fps: float,
    bitrate: float,
    deadline: float,
    congestion: str | None,
    seeds: int,
    seconds: float,
    seed: int,
    backend: str,
    out: Path | None,
    **own: Any,
) -> None:
    """Compare links for N cameras whose frames must arrive together, as for tracking across views.

    A set is complete when the frames of all N cameras of one instant are decodable by the deadline, and it is as old as
    its latest. The map shows, by N and by the steady link's rate as a share of the fast one's, which link delivers more
    complete sets (or, where both deliver all, younger ones): on one shared link, and with a link for each camera.
    Around the border real agents over emulated links are measured at N = 4, 8 and 16. With --gateway they are over your
    own line, to your own stack, and nothing is compared.
    """
    camera = CameraSpec(
        width=640, height=360, fps=fps, bitrate_bps=bitrate * 1e6, phases="aligned", deadline_ms=deadline
    )
    law = law_of(congestion)
    if own["gateway"]:
        _own(own, camera, seconds, seed, out)
        return
    one = Scenario(load_link(fast), camera, law=law, seconds=seconds)
    other = Scenario(load_link(steady), camera, law=law, seconds=seconds)
    if backend != "model":
        from fishladder.loadtest.emulation.privileges import enter

        try:
            enter(sys.argv[1:])
        except CannotEmulate as error:
            if backend == "netns":
                raise
            click.echo(f"nothing can be measured here, the model answers alone: {error}", err=True)
            backend = "model"
    from fishladder.loadtest.report.fanin import write_report

    folder = out_dir(out, "fanin")
    cells: list[Cell] = []
    settings = {
        "fast": fast,
        "steady": steady,
        "camera": str(camera),
        "deadline_ms": deadline,
        "congestion": law,
        "seeds": seeds,
        "seconds": seconds,
    }
    try:
        note = _cells(cells, one, other, range(seed, seed + seeds), backend)
    except KeyboardInterrupt:
        if cells:
            write_report(
                folder, command_line(), cells, seed, settings, "Interrupted before all was tried.", "interrupted"
            )
            click.echo(f"interrupted; what was found until then: {folder / 'report.html'}", err=True)
        raise
    write_report(folder, command_line(), cells, seed, settings, note)
    click.echo(table(_rows(cells)))
    click.echo(f"report: {folder / 'report.html'}")


def _cells(cells: list[Cell], one: Scenario, other: Scenario, seeds: range, backend: str) -> str:
    """Adds the cells as they are found. Returns why nothing was measured, '' if it was or was not asked for."""
    with Progress() as progress:
        with pool() as workers:
            for sites in ("shared", "per-site"):
                cells += contest(one, other, sites, workers, seeds, partial(_tell, progress, sites))
        if backend != "model":
            try:
                for cell in measured(one, other, tuple(cells), seeds[0], progress.step):
                    cells.append(cell)
            except (CannotEmulate, Inconclusive, SelfTestInvalid) as error:
                if backend == "netns":
                    raise
                note = f"Not measured with real agents: {error}"
                progress.say(note)
                return note
    return ""


def _own(
    own: Mapping[str, Any],
    camera: CameraSpec,
    seconds: float,
    seed: int,
    out: Path | None,
) -> None:
    from fishladder.loadtest.fanin.own_gateway import over_own_line
    from fishladder.loadtest.report.fanin import write_own

    foreign = foreign_of(own)
    line = line_to(foreign)
    folder = out_dir(out, "fanin")
    with Progress() as progress:
        found = list(over_own_line(Scenario(line, camera, seconds=seconds), foreign, seed, progress.step))
    sets = [it for it, _ in found]
    limits = [limit for _, limit in found if limit]
    settings = {"gateway": foreign.url, "camera": str(camera), "deadline_ms": camera.deadline_ms, "seconds": seconds}
    write_own(folder, command_line(), sets, seed, settings, limits)
    rows = [("N", "complete sets", "single frames", "F^N", "p50 set ms", "p95 set ms", "parallelism")]
    rows += [
        (
            str(it.cameras),
            f"{it.complete:.1%}",
            f"{it.single:.1%}",
            f"{it.independent:.1%}",
            f"{it.set_p50_ms:.0f}",
            f"{it.set_p95_ms:.0f}",
            f"{it.parallelism:.2f}",
        )
        for it in sets
    ]
    click.echo(table(rows))
    click.echo(f"report: {folder / 'report.html'}")
    if limits:
        raise Inconclusive(f"not a result of the line: {limits[0]}")


def _tell(progress: Progress, sites: str, note: str, share: float) -> None:
    progress.step(f"map of {sites} links", share, 1, note)


def _rows(cells: list[Cell]) -> list[tuple[str, ...]]:
    made: list[tuple[str, ...]] = [
        (
            "links",
            "N",
            "steady rate",
            "complete, fast",
            "steady",
            "F^N, fast",
            "p95 set ms, fast",
            "steady",
            "wins",
            "by",
        )
    ]
    made += [
        (
            cell.sites,
            str(cell.cameras),
            f"{cell.share:.0%}",
            f"{cell.fast.complete:.1%}",
            f"{cell.steady.complete:.1%}",
            f"{cell.fast.independent:.1%}",
            f"{cell.fast.set_p95_ms:.0f}",
            f"{cell.steady.set_p95_ms:.0f}",
            cell.winner,
            cell.backend,
        )
        for cell in cells
        if cell.backend != "model" or cell.cameras in (4, 16, 64)
    ]
    return made
