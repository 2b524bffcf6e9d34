"""`fishladder loadtest links`: the presets as a table, and one link in full with the source of each number."""

import json
from collections.abc import Iterable
from typing import Any

import click

from fishladder.loadtest.console import table
from fishladder.loadtest.links.link import Direction, Link, Step
from fishladder.loadtest.links.load import figures, load_link, preset_names, preset_text


@click.command()
@click.argument("name", required=False)
@click.option("--toml", "as_toml", is_flag=True, help="Print the preset's TOML, to be copied and changed.")
@click.option("--json", "as_json", is_flag=True, help="Print every number with its source as JSON.")
def links(name: str | None, as_toml: bool, as_json: bool) -> None:
    """List link presets, or show NAME (a preset or a TOML file) with the source of every number.

    \b
    fishladder loadtest links                            # all presets
    fishladder loadtest links docsis30                   # one, with sources and assumptions
    fishladder loadtest links docsis30 --toml > my.toml  # a link of your own to begin with
    fishladder loadtest links my.toml                    # check it

    A direction has rate_mbps (or a mahimahi file as trace), queue_ms or queue_bytes, discipline (droptail, pie),
    delay_ms (one way), jitter (normal, uniform, steps; normal has early_sigmas), loss (rate, burst), bucket_bytes and
    grant_ms. A number may be written as { value = 12, source = "..." } or { value = 12, assumed = "..." }. [[schedule]]
    entries change it while it runs: at_s, direction, rate_mbps, loss, delay_ms, over_s (a fade), outage_s; repeat_s
    starts over.
    """
    if as_toml:
        if name is None:
            raise click.UsageError("--toml needs the NAME of a preset")
        click.echo(preset_text(name), nl=False)
    elif as_json:
        found = [load_link(name)] if name else [load_link(preset) for preset in preset_names()]
        click.echo(json.dumps([_document(link) for link in found], indent=2))
    elif name:
        _show_one(load_link(name))
    else:
        _show_all(load_link(preset) for preset in preset_names())


def _document(link: Link) -> dict[str, Any]:
    return {
        "name": link.name,
        "title": link.title,
        "rtt_ms": link.rtt_ms,
        "figures": {
            field: {"value": value, "assumed" if source.assumed else "source": source.text}
            for field, (value, source) in figures(link).items()
        },
        "discipline": {"up": link.up.discipline, "down": link.down.discipline},
        "trace": {"up": link.up.trace and link.up.trace.name, "down": link.down.trace and link.down.trace.name},
        "schedule": [step_text(step) for step in link.schedule],
    }


def _show_all(found: Iterable[Link]) -> None:
    rows = [("link", "down/up Mbit/s", "RTT ms", "jitter ms", "loss %", "queue up ms", "")]
    for link in found:
        up = link.up
        rate = f"{link.down.rate_bps / 1e6:g}/{up.rate_bps / 1e6:g}"
        jitter = "trace" if up.trace else f"{up.jitter.ms:g} {up.jitter.kind}"
        queue = f"{up.queue_ms:.0f}" + (" PIE" if up.discipline == "pie" else "")
        rows.append((link.name, rate, f"{link.rtt_ms:.3g}", jitter, f"{up.loss.rate * 100:.3g}", queue, link.title))
    click.echo(table(rows))
    click.echo("\n`fishladder loadtest links NAME` shows every number with its source.")


def _show_one(link: Link) -> None:
    click.echo(f"{link.name}: {link.title}\n")
    for way in ("up", "down"):
        direction: Direction = getattr(link, way)
        notes = [direction.discipline, f"full queue {direction.queue_ms:.0f} ms"]
        if direction.trace:
            notes.append(f"trace {direction.trace.name}, mean {direction.trace.mean_bps / 1e6:.3g} Mbit/s")
        click.echo(f"{way}: {', '.join(notes)}")
    rows = [("number", "value", "", "from")]
    for field, (value, source) in figures(link).items():
        rows.append((field, f"{value:g}", "assumed" if source.assumed else "source", source.text))
    click.echo("\n" + table(rows))
    for step in link.schedule:
        click.echo(step_text(step))
    if link.repeat_ms:
        click.echo(f"the schedule begins again after {link.repeat_ms / 1000:g} s")


def step_text(step: Step) -> str:
    """One step of a schedule in words."""
    said = []
    if step.outage is not None:
        said.append("outage begins" if step.outage else "outage ends")
    if step.rate_bps is not None:
        said.append(f"rate {step.rate_bps / 1e6:g} Mbit/s")
    if step.loss_rate is not None:
        said.append(f"loss {step.loss_rate * 100:g} %")
    if step.delay_ms is not None:
        said.append(f"delay {step.delay_ms:g} ms")
    return f"at {step.at_ms / 1000:g} s {step.direction}: {', '.join(said)}"
