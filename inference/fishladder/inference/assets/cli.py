"""`fishladder assets`: what can be fetched, what is here already, and fetching it with progress on a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

from fishladder.inference.assets import cache, catalogue


@click.group()
def assets() -> None:
    """List or fetch the default model and footage."""


@assets.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array; `path` is null for what is not fetched yet.")
def list_assets(as_json: bool) -> None:
    """Say which assets there are, and which are in the cache."""
    rows = [(asset, cache.cached(asset.name)) for asset in catalogue.ASSETS.values()]
    if as_json:
        entries = [
            {"name": asset.name, "kind": asset.kind, "about": asset.about, "path": str(path) if path else None}
            for asset, path in rows
        ]
        click.echo(msgspec.json.format(msgspec.json.encode(entries), indent=2))
        return
    for asset, path in rows:
        click.echo(f"{asset.name:16} {asset.kind:8} {path or 'not fetched'}\n{'':25} {asset.about}")


@assets.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def pull(names: tuple[str, ...]) -> None:
    """Fetch assets into the cache; all of them without a NAME. What is there already is left alone.

    The name ssdlite-person@WIDTHxHEIGHT makes the model with another input size: larger sees smaller people and takes
    longer.
    """
    with _progress() as report:
        for name in names or catalogue.ASSETS:
            path = cache.fetch(name, report)
            click.echo(f"{name}: {path}")


@contextmanager
def _progress() -> Iterator[cache.Progress]:
    """A bar on a terminal; elsewhere a line for each step."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=None, visible=False)

        def report(what: str, done: int, total: int | None) -> None:
            if bars.tasks[task].description != what:
                bars.reset(task, description=what, total=total)
            bars.update(task, completed=done, total=total, visible=True)

        yield report


def _lines(what: str, done: int, total: int | None) -> None:
    if done == 0:
        click.echo(f"{what} ...", file=sys.stderr)
