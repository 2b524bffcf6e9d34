"""`fishladder ledger`: what became of every captured frame, camera by camera, and whether it adds up."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from fishladder.operate.audit import Audit, audit, show
from fishladder.operate.state_reader import reader_options, state_url
from fishladder.runtime.durability import Finding, state_durability
from fishladder.runtime.embedded import store_urls
from fishladder.runtime.ledger import Ledger, read_ledger
from fishladder.runtime.store import StoreUrls
from fishladder.view.reader import open_reader
from fishladder.wire.errors import FishladderError
from fishladder.wire.open_set import OpenRange
from fishladder.wire.spooled import decode, together

_GROUPS = ("inferred", "skipped", "dropped")
#: Wide enough for a line a camera where nobody says how wide the output is.
_PIPE_COLUMNS = 160


class LedgerOpen(FishladderError):
    """Some ledger does not close: frames are missing from it, or counted twice."""


@click.command(short_help="Show what became of every captured frame.")
@reader_options
@click.option("--frames", envvar="FISHLADDER_FRAMES", help="With --audit: frame store URL  [default: the state store]")
@click.option("--audit", "audited", is_flag=True, help="Recount every seq from the results that are kept.")
@click.option(
    "--spool",
    "spools",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    multiple=True,
    help="With --audit: what `fishladder edge spool --json` said on a camera host. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def ledger(
    which: str | None,
    redis: str | None,
    frames: str | None,
    data_dir: Path | None,
    audited: bool,
    spools: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Show what became of every captured frame: captured = inferred + skipped + dropped + pending.

    With --audit it is not taken from the sums: each camera is recounted from its results as far as they are kept, and
    every seq without exactly one fate is named. What was deferred waits on a camera host's disk, where no store sees
    it: with --spool it is looked for there as well (what is deferred after the list was made is not in it). Exits 1 if
    something does not add up, 3 if there is no store.
    """
    if spools and not audited:
        raise click.UsageError("--spool is for --audit")
    if audited:
        lists = [decode(click.open_file(str(path), "rb").read(), str(path)) for path in spools]
        audits = asyncio.run(_audit(store_urls(redis, frames, data_dir), which, together(lists)))
        show(audits, as_json=as_json)
        if unsound := [it.ledger.camera for it in audits if it.findings]:
            raise LedgerOpen(f"the audit of {', '.join(unsound)} does not close")
        return
    ledgers, durability = asyncio.run(_read(state_url(redis, data_dir), which))
    if as_json:
        click.echo(json.dumps(as_document(ledgers, durability), indent=2))
    else:
        _show(ledgers, durability)
    if wrong := [it for it in ledgers if not it.closes]:
        raise LedgerOpen("; ".join(map(why_open, wrong)))


async def _read(url: str, which: str | None) -> tuple[list[Ledger], Finding]:
    async with open_reader(url) as reader:
        cameras = await reader.cameras(which)
        now_us = time.time_ns() // 1000
        ledgers = [
            await read_ledger(reader.state, reader.partition(camera), camera, now_us=now_us) for camera in cameras
        ]
        return ledgers, await state_durability(reader.state)


async def _audit(urls: StoreUrls, which: str | None, spools: Mapping[str, Sequence[OpenRange]]) -> list[Audit]:
    async with open_reader(urls.state) as reader:
        return await audit(reader, await reader.cameras(which), urls.frames, spools)


def why_open(it: Ledger) -> str:
    """A sentence about a ledger that does not close."""
    if it.unaccounted > 0:
        return f"the ledger of {it.camera} does not close: {it.unaccounted} captured frames have no fate"
    if it.unaccounted < 0:
        return f"the ledger of {it.camera} does not close: {-it.unaccounted} more fates than captured frames"
    return f"the ledger of {it.camera} does not close: it is {-it.pending} frames ahead of what was captured"


def as_document(ledgers: Sequence[Ledger], durability: Finding) -> dict[str, Any]:
    """The ledgers as --json prints them."""
    return {
        "closes": all(it.closes for it in ledgers),
        "durability": str(durability),
        "cameras": [
            {
                "camera": it.camera,
                "captured": it.captured,
                **{name: it.group(name) for name in _GROUPS},
                "pending": it.pending,
                "unaccounted": it.unaccounted,
                "closes": it.closes,
                "reasons": {fate.label: count for fate, count in sorted(it.fates.items())},
                "position": str(it.position),
                "cursor": str(it.cursor),
                "position_age_s": it.position_age_s,
            }
            for it in ledgers
        ],
    }


def reasons(it: Ledger) -> str:
    """Why frames were not inferred, most frequent first."""
    lost = [(count, fate.label) for fate, count in it.fates.items() if fate.group != "inferred"]
    return ", ".join(f"{label} {count}" for count, label in sorted(lost, key=lambda one: (-one[0], one[1])))


def age(seconds: float | None) -> str:
    """How long ago a camera last said how far it is."""
    if seconds is None:
        return "never"
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _show(ledgers: Sequence[Ledger], durability: Finding) -> None:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PIPE_COLUMNS
    if ledgers:
        table = Table(box=box.SIMPLE, pad_edge=False)
        table.add_column("camera", no_wrap=True)
        for name in ("captured", "= inferred", "+ skipped", "+ dropped", "+ pending", "position age"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("reasons", overflow="fold")
        table.add_column("closes", no_wrap=True)
        for it in ledgers:
            counts = (it.captured, *(it.group(name) for name in _GROUPS), it.pending)
            closes = "yes" if it.closes else f"NO, by {it.unaccounted or it.pending}"
            table.add_row(it.camera, *map(str, counts), age(it.position_age_s), reasons(it), closes)
        console.print(table)
    else:
        console.print("no cameras yet")
    if durability.sound is not True:
        console.print(f"state store {durability}", soft_wrap=True)
