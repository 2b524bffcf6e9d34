"""`fishladder doctor`: what this machine can do and what is missing, a line each. What is looked at is in the other
`doctor_` files; this one asks them and prints.
"""

import sys

import click
import msgspec

from fishladder.operate.doctor_line import Line, Status
from fishladder.runtime.logs import configure_logging
from fishladder.runtime.secret_files import SecretOption

_COLOURS: dict[Status, str] = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option(
    "--redis",
    "state",
    cls=SecretOption,
    envvar="FISHLADDER_REDIS",
    help="State store URL  [default: a gateway's on this host]",
)
@click.option(
    "--frames", cls=SecretOption, envvar="FISHLADDER_FRAMES", help="Frame store URL  [default: the state store]"
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of {topic, status, text}.")
def doctor(state: str | None, frames: str | None, as_json: bool) -> None:
    """Say what this machine can do, and what is missing.

    Looks at Python and its packages, codecs and hardware encoders, fetched assets, the stores, the clock, and what the
    kernel offers for emulating links. Exits 1 if something fails that a part of fishladder cannot do without;
    warnings are for you to judge.
    """
    configure_logging("error")  # what there is to say is in the lines
    lines = examine(state, frames)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(lines), indent=2))
    else:
        for line in lines:
            click.echo(f"{click.style(f'{line.status:4}', fg=_COLOURS[line.status])}  {line.topic:19} {line.text}")
    if any(line.status == "fail" for line in lines):
        sys.exit(1)


def examine(state: str | None, frames: str | None) -> list[Line]:
    """Everything there is to say, in the order to say it."""
    from fishladder.operate import doctor_host, doctor_install, doctor_media, doctor_store

    return [
        *doctor_install.check_python(),
        *doctor_install.check_extras(),
        *doctor_install.check_assets(),
        *doctor_media.check_codecs(),
        *doctor_store.check_stores(state, frames),
        *doctor_host.check_clock(),
        *doctor_host.check_link_emulation(),
    ]
