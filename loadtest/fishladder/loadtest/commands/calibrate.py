"""`fishladder loadtest calibrate`: the model's error against the kernel's queue, as a table."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from fishladder.loadtest.commands.options import seed_option
from fishladder.loadtest.console import table
from fishladder.loadtest.errors import SelfTestInvalid
from fishladder.loadtest.links.load import load_link

_USUAL = ("adsl2plus", "vdsl2", "docsis30", "docsis31-mid", "lte", "starlink", "geo", "fibre-100")


@click.command()
@click.option("--link", "links", multiple=True, help=f"A preset or a TOML file.  [default: {', '.join(_USUAL)}]")
@click.option("--seconds", type=click.FloatRange(2, 600), default=8.0, show_default=True, help="Length of a run.")
@seed_option
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here.")
def calibrate(links: tuple[str, ...], seconds: float, seed: int, json_path: Path | None) -> None:
    """Measure the model's error: the same packets at the same times over an emulated link and through the model.

    Each link gets two runs, one below and one above saturation. The model promises to be within 0.3 percentage points
    of loss, 3 ms of the median and 5 ms of the 99th percentile of the delay; exits 3 where it is not, which on a busy
    machine is rather the emulation's fault.
    """
    from fishladder.loadtest.calibration import LOSS_POINTS, P50_MS, P99_MS
    from fishladder.loadtest.calibration import calibrate as measure
    from fishladder.loadtest.emulation.privileges import enter

    chosen = [load_link(name) for name in links or _USUAL]
    enter(sys.argv[1:])
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
