"""`fishladder token`: makes tokens for agents, WHIP clients and viewers, lists them and takes them back."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from fishladder.gateway.token_register import Issued
from fishladder.gateway.tokens import ALL_SITES, KEYS_FILE, SCOPES, KeyFile, Scope, issue
from fishladder.runtime.embedded import default_data_dir
from fishladder.wire.errors import ConfigError, WireError
from fishladder.wire.ids import check_name

_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_PATTERN = re.compile(r"[a-z0-9._*?\[\]!-]{1,64}")


@click.group()
def token() -> None:
    """Make tokens for agents, WHIP clients and viewers, list them and take them back.

    Gateways read the same files, and act on a change at once.
    """


def _files(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where keys and register are."""
    for add in (
        click.option(
            "--keys", "keys_file", type=click.Path(path_type=Path), envvar="FISHLADDER_GATEWAY_KEYS", help="Key file."
        ),
        click.option(
            "--register",
            type=click.Path(path_type=Path),
            envvar="FISHLADDER_GATEWAY_REGISTER",
            help="File with what was made and revoked  [default: tokens.json beside the key file]",
        ),
        click.option("--data-dir", type=click.Path(path_type=Path), help="Where the gateway keeps its files."),
    ):
        command = add(command)
    return command


def _key_file(keys_file: Path | None, register: Path | None, data_dir: Path | None) -> KeyFile:
    return KeyFile(keys_file or (data_dir or default_data_dir()) / KEYS_FILE, register)


@token.command()
@click.option("--site", required=True, help="The site whose cameras it covers, for example shop-7; '*' to view all.")
@click.option(
    "--camera", "cameras", multiple=True, help="Pattern of camera names, for example 'door*'. Repeatable; default all."
)
@click.option("--expires", default="90d", show_default=True, help="Life time: a number with m, h, d, w or y.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    help="publish video, view results and pictures, or admin: view and change. Repeatable; default publish.",
)
@click.option(
    "--renew/--no-renew",
    default=True,
    show_default=True,
    help="Agents are sent a new one over the uplink before it expires, until it is revoked.",
)
@click.option("--subject", help="Who it is for, as shown in logs and limits; default the site.")
@_files
def create(
    site: str,
    cameras: tuple[str, ...],
    expires: str,
    scopes: tuple[Scope, ...],
    renew: bool,
    subject: str | None,
    **files: Path | None,
) -> None:
    """Make a token and print it, and nothing else, on stdout."""
    try:
        if site != ALL_SITES:
            check_name(site, "--site")
    except WireError as error:
        raise ConfigError(str(error)) from None
    for pattern in cameras:
        if not _PATTERN.fullmatch(pattern):
            raise ConfigError(f"--camera {pattern[:80]!r}: a pattern has the signs of names, * ? and [...]")
    made = issue(
        _key_file(**files),
        subject=subject or ("all sites" if site == ALL_SITES else site),
        site=site,
        cameras=list(cameras) or ["*"],
        scope=list(scopes) or ["publish"],
        lifetime_s=lifetime_s(expires),
        now=time.time(),
        renew=renew,
    )
    click.echo(made)


@token.command(name="list")
@click.option("--site", help="Only those of a site.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@_files
def list_(site: str | None, as_json: bool, **files: Path | None) -> None:
    """Show which tokens were made and what became of them. Expired ones are shown for a month."""
    keys = _key_file(**files)
    tokens = [it for it in keys.register.tokens().values() if site in (None, it.site)]
    if as_json:
        click.echo(msgspec.json.encode(tokens).decode())
        return
    known, now = keys.keys(), time.time()
    rows = [("ID", "SUBJECT", "SITE", "CAMERAS", "SCOPE", "KEY", "MADE", "EXPIRES", "STATE")]
    for it in tokens:
        what = (it.id, it.subject, it.site, " ".join(it.cameras), " ".join(it.scope), it.kid)
        rows.append((*what, _day(it.issued), _day(it.expires), _state(it, known, now)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@token.command()
@click.argument("ids", nargs=-1)
@click.option("--site", help="All tokens of a site.")
@_files
def revoke(ids: tuple[str, ...], site: str | None, **files: Path | None) -> None:
    """Take tokens back, by the IDs that `token list` shows. Connections made with them end within seconds."""
    register = _key_file(**files).register
    chosen = [*ids, *(it.id for it in register.tokens().values() if site is not None and it.site == site)]
    if not chosen:
        raise ConfigError(f"no token of site {site!r}" if site else "name the IDs of tokens, or a --site")
    for it in register.revoke(chosen, time.time()):
        click.echo(f"revoked {it.id} ({it.subject}, site {it.site})")


@token.command()
@click.option("--drop", metavar="KID", help="Forget this key: tokens signed with it are refused from now on.")
@_files
def rotate(drop: str | None, **files: Path | None) -> None:
    """Make a new signing key. Tokens of the keys before stay good until they expire, or until their key is dropped."""
    keys = _key_file(**files)
    if drop is not None:
        keys.drop(drop)
        click.echo(f"dropped {drop}")
        return
    kid = keys.rotate()
    click.echo(f"new key {kid}; also good: {', '.join(it for it in keys.keys() if it != kid)}")  # noqa: SIM118


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _state(it: Issued, keys: dict[str, str], now: float) -> str:
    if it.revoked:
        return f"revoked {_day(it.revoked)}"
    if it.kid not in keys:
        return "its key is gone"
    return "good" if it.expires > now else "expired"


def lifetime_s(text: str) -> int:
    """Seconds of, for example, 90d. Raises `ConfigError`."""
    match = re.fullmatch(r"(\d{1,6})([mhdwy])", text.strip().lower())
    if not match or not int(match[1]):
        raise ConfigError(f"--expires {text!r}: expected a number with m, h, d, w or y, for example 90d")
    return int(match[1]) * _UNITS_S[match[2]]
