"""`fishladder loadtest calibrate`: the model's error against the kernel's queue, as a table."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from fishladder.loadtest.commands.options import law_of, seed_option, writable
from fishladder.loadtest.console import table
from fishladder.loadtest.errors import Inconclusive, SelfTestInvalid
from fishladder.loadtest.links.link import Link
from fishladder.loadtest.links.load import load_link
from fishladder.loadtest.model.pool import pool
from fishladder.loadtest.report.progress import Progress
from fishladder.loadtest.saturation.knees import CAMERAS, KneeError, knee_error

_USUAL = ("adsl2plus", "vdsl2", "docsis30", "docsis31-mid", "lte", "starlink", "geo", "fibre-100")


#: Links for `--knees`, which real agents on two cores can saturate.
_KNEES = (
    "adsl2plus",
    "vdsl2",
    "docsis30",
    "docsis31-mid",
    "lte",
    "fwa5g",
    "starlink",
    "geo",
    "fibre-100",
    "ethernet-100",
)


@click.command()
@click.option(
    "--link", "links", multiple=True, help=f"A preset or a TOML file; may be repeated.  [default: {', '.join(_USUAL)}]"
)
@click.option("--knees", is_flag=True, help="Compare N* of the model with that of real agents instead of packets.")
@click.option("--seconds", type=click.FloatRange(2, 600), help="Counted, a run.  [default: 8, or 15 with --knees]")
@seed_option
@click.option(
    "--seeds", type=click.IntRange(1, 30), default=3, show_default=True, help="With --knees: runs at N* and past it."
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here.")
def calibrate(
    links: tuple[str, ...], knees: bool, seconds: float | None, seed: int, seeds: int, json_path: Path | None
) -> None:
    """Measure the model's error: the same packets at the same times over an emulated link and through the model.

    Each link gets two runs, one below and one above saturation. The model promises to be within 0.3 percentage points
    of loss, 3 ms of the median and 5 ms of the 99th percentile of the delay; exits 3 where it is not, which on a busy
    machine is rather the emulation's fault.

    With --knees, N* is searched for on each link by the model and with real agents, gateway and a committing worker, on
    the same seeds; the model promises to be within one camera. Cameras are the default ones, but for their
    bitrate: so much that six to twelve fit; and their deadline leaves time to repeat a lost packet. N* is by the mean
    over the seeds: near it, single runs of this length differ by some cameras. It takes two to four minutes a link.

    \b
    fishladder loadtest calibrate
    fishladder loadtest calibrate --knees --link docsis30 --link geo
    """
    from fishladder.loadtest.emulation.privileges import enter

    writable(json_path)
    chosen = [load_link(name) for name in links or (_KNEES if knees else _USUAL)]
    enter(sys.argv[1:])
    if knees:
        _compare_knees(chosen, seconds or 15.0, seed, seeds, json_path)
    else:
        _compare_packets(chosen, seconds or 8.0, seed, json_path)


def _compare_packets(chosen: list[Link], seconds: float, seed: int, json_path: Path | None) -> None:
    from fishladder.loadtest.calibration import LOSS_POINTS, P50_MS, P99_MS
    from fishladder.loadtest.calibration import calibrate as measure

    found = [
        run
        for link in chosen
        for run in measure(link, seconds=seconds, seed=seed, progress=lambda what: click.echo(what, err=True))
    ]
    both = ("loss %", "model", "p50 ms", "model", "p99 ms", "model", "decodable", "model")
    heading = ("link", "load", "packets", *both, "")
    rows: list[tuple[str, ...]] = [heading]
    rows += [
        (
            run.link,
            f"{run.load:.0%}",
            str(run.packets),
            *(f"{value:.2%}"[:-1] for value in run.loss),
            *(f"{value:.1f}" for value in run.p50_ms),
            *(f"{value:.1f}" for value in run.p99_ms),
            *(f"{value:.1%}" for value in run.decodable),
            "ok" if run.within else "MISSED",
        )
        for run in found
    ]
    click.echo(table(rows))
    click.echo(
        f"largest errors of {len(found)} runs: loss {max(abs(it.loss_points) for it in found):.2f} points (promised "
        f"{LOSS_POINTS:g}), p50 {max(abs(it.p50_error_ms) for it in found):.1f} ms ({P50_MS:g}), "
        f"p99 {max(abs(it.p99_error_ms) for it in found):.1f} ms ({P99_MS:g})"
    )
    if json_path is not None:
        json_path.write_text(json.dumps([asdict(run) for run in found], indent=2) + "\n")
    if missed := [f"{it.link} at {it.load:.0%}" for it in found if not it.within]:
        raise SelfTestInvalid(f"the model is further from the emulated link than it promises: {', '.join(missed)}")


def _compare_knees(chosen: list[Link], seconds: float, seed: int, seeds: int, json_path: Path | None) -> None:
    found: list[KneeError] = []
    with Progress() as progress, pool() as workers:
        for link in chosen:
            found.append(
                knee_error(
                    link,
                    workers,
                    law=law_of(None),
                    seconds=seconds,
                    seeds=range(seed, seed + seeds),
                    on_run=progress.on_run,
                    progress=progress.step,
                )
            )
            progress.say(_knee_line(found[-1]))
    rows: list[tuple[str, ...]] = [
        ("link", "cameras of", "deadline ms", "N* real", "model", "saturate", "decodable, real/model, by N", "TCP", "")
    ]
    rows += [
        (
            it.link,
            it.camera,
            f"{it.deadline_ms:.0f}",
            str(it.real),
            str(it.model),
            str(it.sure),
            ", ".join(f"{n}: {_share(it, n, 0)}/{_share(it, n, 1)}" for n in it.tried),
            it.congestion_control,
            "ok" if it.within else it.limited or "MISSED",
        )
        for it in found
    ]
    click.echo(table(rows))
    if json_path is not None:
        json_path.write_text(json.dumps([asdict(it) for it in found], indent=2) + "\n")
    if limited := [f"{it.link}: {it.limited}" for it in found if it.limited]:
        raise Inconclusive(f"not a result of the link: {'; '.join(limited)}")
    if missed := [it.link for it in found if not it.within]:
        raise SelfTestInvalid(f"N* of the model is more than {CAMERAS} off that of real agents: {', '.join(missed)}")


def _share(it: KneeError, cameras: int, which: int) -> str:
    """The mean of real (0) or modelled runs, with their range if there are some."""
    found = [run[which] for run in it.runs[cameras]]
    if min(found) == max(found):
        return f"{found[0]:.1%}"
    return f"{it.tried[cameras][which]:.1%} ({min(found):.1%} to {max(found):.1%})"


def _knee_line(it: KneeError) -> str:
    return f"{it.link}: N* is {it.real} with real agents, {it.model} by the model of the same seeds"
