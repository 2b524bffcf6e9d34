"""`fishladder loadtest selftest`: how near emulated links come to what was asked for, as a table."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from fishladder.loadtest.commands.options import writable
from fishladder.loadtest.console import table
from fishladder.loadtest.emulation.network import emulate
from fishladder.loadtest.emulation.privileges import enter
from fishladder.loadtest.emulation.selftest import Measured, SelfTest, self_test
from fishladder.loadtest.errors import SelfTestInvalid
from fishladder.loadtest.links.load import load_link, preset_names

_HEADINGS = (
    "link",
    "",
    "Mbit/s",
    "found",
    "error",
    "RTT ms",
    "found",
    "full ms",
    "found",
    "error",
    "lost",
    "found",
    "",
)


@click.command()
@click.option(
    "--link", "names", multiple=True, required=True, help="A preset, a TOML file, or `all` presets; may be repeated."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of losses and jitter.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here.")
def selftest(names: Sequence[str], seed: int, json_path: Path | None) -> None:
    """Emulate links and measure them: rate, round trip, delay of a full queue and losses, in both directions.

    Each takes about ten seconds. Expected is what the link, computed packet by packet, makes of just the packets that
    were sent; "lost" are the packets lost of those sent before the flood, which must be those that the seed chooses.
    Every run over an emulated link begins with this test and refuses to report above 5 % of error. Exits 3 if a link
    is refused, or if this machine cannot emulate (Linux, network namespaces as root or in a user namespace, iproute2).

    \b
    fishladder loadtest selftest --link docsis30
    fishladder loadtest selftest --link all --json selftest.json
    """
    writable(json_path)
    links = [load_link(each) for name in names for each in (preset_names() if name == "all" else [name])]
    rights = enter(sys.argv[1:])
    click.echo(f"namespaces as {rights.kind}", err=True)
    tests: list[SelfTest] = []
    for index, link in enumerate(links, start=1):
        click.echo(f"[{index}/{len(links)}] {link.name} ...", err=True)
        with emulate(link, seed=seed) as network:
            tests.append(self_test(network))
        for note in tests[-1].notes:
            click.echo(f"  {note}", err=True)
    click.echo(table([_HEADINGS, *(row for test in tests for row in _rows(test))]))
    if json_path is not None:
        json_path.write_text(json.dumps([asdict(test) for test in tests], indent=2) + "\n")
    refused = [f"{test.link}: {', '.join(faults)}" for test in tests if (faults := list(test.faults()))]
    if refused:
        raise SelfTestInvalid("refused: " + "; ".join(refused))


def _rows(test: SelfTest) -> list[tuple[str, ...]]:
    rtt = test.rtt_ms
    rows: list[tuple[str, ...]] = []
    for way in test.ways:
        first = way is test.ways[0]
        rows.append(
            (
                test.link if first else "",
                way.way,
                *_pair(way.rate_bps, 1e6),
                f"{way.rate_bps.error:+.1%}",
                *(_pair(rtt, 1) if first else ("", "")),
                *_pair(way.full_ms, 1),
                f"{way.full_ms.error:+.1%}",
                f"{way.lost.expected:g}",
                f"{way.lost.found:g}",
                "" if way.as_scheduled else "not those of the seed",
            )
        )
    return rows


def _pair(measured: Measured, unit: float) -> tuple[str, str]:
    return f"{measured.expected / unit:.4g}", f"{measured.found / unit:.4g}"
