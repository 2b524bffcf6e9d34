"""`fishladder token`: makes tokens for agents and WHIP clients."""

import re
import time
from pathlib import Path

import click

from fishladder.gateway.tokens import KEYS_FILE, SCOPES, KeyFile, Scope, issue
from fishladder.runtime.embedded import default_data_dir
from fishladder.wire.errors import ConfigError, WireError
from fishladder.wire.ids import check_name

_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}


@click.group()
def token() -> None:
    """Make tokens for agents and WHIP clients."""


@token.command()
@click.option("--site", required=True, help="The site whose cameras it covers, for example shop-7.")
@click.option(
    "--camera", "cameras", multiple=True, help="Pattern of camera names, for example 'door*'. Repeatable; default all."
)
@click.option("--expires", default="90d", show_default=True, help="Life time: a number with m, h, d, w or y.")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, help="Repeatable; default publish.")
@click.option("--subject", help="Who it is for, as shown in logs and limits; default the site.")
@click.option(
    "--keys", "keys_file", type=click.Path(path_type=Path), envvar="FISHLADDER_GATEWAY_KEYS", help="Key file."
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where the gateway keeps its files.")
def create(
    site: str,
    cameras: tuple[str, ...],
    expires: str,
    scopes: tuple[Scope, ...],
    subject: str | None,
    keys_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Make a token and print it, and nothing else, on stdout."""
    try:
        check_name(site, "--site")
    except WireError as error:
        raise ConfigError(str(error)) from None
    keys = KeyFile(keys_file or (data_dir or default_data_dir()) / KEYS_FILE)
    made = issue(
        keys,
        subject=subject or site,
        site=site,
        cameras=list(cameras) or ["*"],
        scope=list(scopes) or ["publish"],
        lifetime_s=lifetime_s(expires),
        now=time.time(),
    )
    click.echo(made)


def lifetime_s(text: str) -> int:
    """Seconds of, for example, 90d. Raises `ConfigError`."""
    match = re.fullmatch(r"(\d{1,6})([mhdwy])", text.strip().lower())
    if not match or not int(match[1]):
        raise ConfigError(f"--expires {text!r}: expected a number with m, h, d, w or y, for example 90d")
    return int(match[1]) * _UNITS_S[match[2]]
