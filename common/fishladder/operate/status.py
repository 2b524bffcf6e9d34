"""`fishladder status`: how the sites do, worst first, or one site with its cameras; what the live page says, in a
terminal.
"""

import asyncio
import time
from pathlib import Path

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from fishladder.operate.state_reader import state_url, store_options
from fishladder.view.findings import AWAY_S
from fishladder.view.models import (
    CameraView,
    Finding,
    Overview,
    SendingView,
    Severity,
    SiteDetail,
    SiteView,
    UplinkView,
)
from fishladder.view.reader import open_reader
from fishladder.view.sending import gate_words
from fishladder.view.snapshot import CLOSE, FAR, Snapshot, read_snapshot
from fishladder.view.words import count, duration, month, rate, sentence
from fishladder.wire.errors import ConfigError, FishladderError, WireError
from fishladder.wire.ids import check_name

#: Wide enough for a line a row where nobody says how wide the output is.
_PIPE_COLUMNS = 160
_SIGNS = {Severity.OK: "ok", Severity.NOTE: "note", Severity.TROUBLE: "TROUBLE", Severity.DOWN: "DOWN"}
_STYLES = {Severity.OK: "green", Severity.NOTE: "yellow", Severity.TROUBLE: "bold red", Severity.DOWN: "bold red"}


class InTrouble(FishladderError):
    """Something is down, or does not do its work."""


def _site(_: click.Context, __: click.Parameter, site: str | None) -> str | None:
    try:
        return check_name(site, "site") if site is not None else None
    except WireError as error:
        raise click.BadParameter(str(error)) from None


@click.command(short_help="Say how sites, cameras and workers do, worst first.")
@click.argument("site", required=False, callback=_site)
@store_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document, as the REST API has it.")
@click.option("--check", is_flag=True, help="Exit 1 if something is down or in trouble, for scripts.")
def status(site: str | None, redis: str | None, data_dir: Path | None, as_json: bool, check: bool) -> None:
    """Say how all sites, workers and sinks do, worst first, or SITE with its cameras."""
    snapshot = asyncio.run(_read(state_url(redis, data_dir), site))
    shown = snapshot.site(site) if site is not None else snapshot.overview()
    if shown is None:
        raise ConfigError(f"all cameras of {site} are retired: they are back when they are heard of again")
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
    elif isinstance(shown, SiteDetail):
        _show_site(_console(), shown)
    else:
        _show_all(_console(), shown)
    if check and (said := _trouble(shown)):
        raise InTrouble(said)


async def _read(url: str, site: str | None) -> Snapshot:
    async with open_reader(url) as reader:
        names = await reader.cameras(site)
        return await read_snapshot(reader, names=names, depth=FAR if site is None else CLOSE)


def _trouble(shown: Overview | SiteDetail) -> str:
    """What is wrong, in a line; empty if nothing is."""
    found: list[tuple[str, Finding]]
    if isinstance(shown, SiteDetail):
        found = [(it.camera, it.finding) for it in shown.cameras]
    else:
        found = [(it.site, it.finding) for it in shown.sites]
        found += [(it.worker, it.finding) for it in shown.workers] + [(it.sink, it.finding) for it in shown.sinks]
    now_ms = time.time_ns() // 1_000_000
    bad = [f"{name}: {sentence(it, now_ms)}" for name, it in found if it.severity.rank >= Severity.TROUBLE.rank]
    return "; ".join(bad)


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PIPE_COLUMNS
    return console


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in ("fps", "kbit/s", "latency", "pending") else "left")
    return table


def _row(table: Table, finding: Finding, name: str, *cells: str) -> None:
    said = sentence(finding, time.time_ns() // 1_000_000)
    table.add_row(
        _SIGNS[finding.severity], name, said, *cells, style=_STYLES[finding.severity] if _bad(finding) else ""
    )


def _bad(finding: Finding) -> bool:
    return finding.severity is not Severity.OK


def _show_all(console: Console, shown: Overview) -> None:
    if not shown.sites:
        console.print("no cameras yet")
    else:
        table = _table("", "site", "", "cameras well", "fps", "uplink used", "pending")
        for it in shown.sites:
            _row(table, it.finding, it.site, *_site_cells(it))
        console.print(table)
    workers = _table("", "worker", "", "cameras", "frames/s", "model")
    for worker in shown.workers:
        model = f"{worker.model} on {worker.provider}" if worker.model else ""
        _row(workers, worker.finding, worker.worker, str(worker.cameras), f"{worker.fps:.1f}", model)
    console.print(workers if shown.workers else "no worker is running: nothing is analysed")
    if shown.sinks:
        sinks = _table("", "sink", "", "to", "delivered", "behind")
        for sink in shown.sinks:
            _row(sinks, sink.finding, sink.sink, sink.to, str(sink.delivered), duration(sink.lag_s))
        console.print(sinks)


def _site_cells(it: SiteView) -> tuple[str, ...]:
    return f"{it.cameras_ok} of {it.cameras}", f"{it.fps:.1f}", rate(it.uplink.used_bps), str(it.pending)


def _show_site(console: Console, shown: SiteDetail) -> None:
    it = shown.site
    console.print(
        f"{it.site}: {sentence(it.finding, time.time_ns() // 1_000_000)}",
        style=_STYLES[it.finding.severity] if _bad(it.finding) else "",
    )
    console.print(f"uplink: {_uplink(it.uplink)}")
    console.print(f"spool: {it.uplink.spool}")
    table = _table("", "camera", "", "fps", "kbit/s", "latency", "pending", "sends", "sees")
    for camera in shown.cameras:
        _row(table, camera.finding, camera.name, *_camera_cells(camera))
    console.print(table)


def _uplink(it: UplinkView) -> str:
    said = [f"{rate(it.used_bps)} used"]
    if it.estimate_bps:
        said.append(f"of about {rate(it.estimate_bps)} ({it.used_bps / it.estimate_bps:.0%})")
    else:
        said.append("(how much it would carry is not known yet)")
    if it.rtt_ms is not None:
        said.append(f"round trip {it.rtt_ms:.0f} ms")
    if it.limited_by:
        said.append(f"limited by {it.limited_by}")
    if it.month is not None:
        said.append(month(it.month))
    if it.age_s is not None and it.age_s > AWAY_S:
        said.append(f"its agent said so {duration(it.age_s)} ago")
    return ", ".join(said).replace(", of", " of").replace(", (", " (")


def _sends(it: SendingView) -> str:
    return ", ".join(part for part in (it.what, gate_words(it)) if part)


def _camera_cells(it: CameraView) -> tuple[str, ...]:
    latency = f"{it.latency_ms:.0f} ms" if it.latency_ms is not None else "-"
    sees = ", ".join(f"{number} {label}" for label, number in sorted(it.seen.items())) or "nothing"
    away = it.fps is None
    return (
        "-" if it.fps is None else f"{it.fps:.1f}",
        "-" if it.bps is None else f"{it.bps / 1000:.0f}",
        "-" if away else latency,
        str(it.ledger.pending) + (f" ({count(it.ledger.deferred, 'frame')} spooled)" if it.ledger.deferred else ""),
        "-" if it.sending is None else _sends(it.sending),
        "-" if away else sees,
    )
