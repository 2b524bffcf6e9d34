"""`fishladder loadtest accuracy`: what bit rate, frame rate and resolution cost in detections, on real footage."""

from pathlib import Path

import click

from fishladder.loadtest.accuracy.table import CLIPS, INSTANTS, Table, table
from fishladder.loadtest.commands.options import command_line, out_dir, out_option
from fishladder.loadtest.console import table as columns
from fishladder.loadtest.report.progress import Progress


@click.command()
@click.option(
    "--clip", "clips", multiple=True, type=click.Choice(CLIPS), help="Footage to measure on.  [default: all of it]"
)
@click.option(
    "--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An ONNX detector of yours."
)
@click.option(
    "--instants", type=click.IntRange(5, 500), default=INSTANTS, show_default=True, help="Pictures compared a clip."
)
@click.option("--again", is_flag=True, help="Measure anew what the cache holds.")
@out_option
def accuracy(clips: tuple[str, ...], model: Path | None, instants: int, again: bool, out: Path | None) -> None:
    """Measure F1 of the detections against those on the source pictures, by bit rate, frame rate and resolution.

    Footage is encoded as the agent does it (x264, constant bit rate), decoded and given to the model. A detection
    agrees with one of the source if the label is the same and the boxes overlap by half (IoU 0.5, greedily paired).
    Between two pictures of a low frame rate the last detections stand. The first time takes some minutes; the result
    is cached, and `saturate` uses it to say what the last camera costs. `profile.json` beside the report is for
    agents: `profile = "profile.json"` in edge.toml, and their ladders keep what this detector needs.
    """
    folder = out_dir(out, "accuracy")
    with Progress() as progress:
        found = table(clips or CLIPS, progress.step, model=model, instants=instants, again=again)
    from fishladder.loadtest.report.accuracy import write_report

    write_report(folder, command_line(), found, {"instants": instants, "clips": ", ".join(found.clips)})
    click.echo(columns(rows(found)))
    click.echo(f"report: {folder / 'report.html'}")
    click.echo(f"for agents (profile in edge.toml): {folder / 'profile.json'}")


def rows(found: Table) -> list[tuple[str, ...]]:
    made: list[tuple[str, ...]] = [
        ("clip", "varied", "size", "fps", "kbit/s", "bits/pixel", "F1", "precision", "recall", "objects")
    ]
    made += [
        (
            rung.clip,
            rung.varied,
            f"{rung.width}x{rung.height}",
            f"{rung.fps:g}",
            f"{rung.bitrate_bps / 1000:.0f}",
            f"{rung.bits_per_pixel:.3f}",
            f"{rung.f1:.3f}",
            f"{rung.precision:.3f}",
            f"{rung.recall:.3f}",
            str(rung.objects),
        )
        for rung in found.rungs
    ]
    return made
