"""`fishladder gateway init`: the secrets of a stack, made once. Each part gets a directory with what is for it and
nothing else, to be mounted into its containers alone; what is there already is kept, so it may run at every start.

    own/      the CA's key, which nothing but this reads
    frames/   store.conf, the store's users, operator.password for whoever is in its container
    state/    the same of the other store
    gateway/  keys.json (signs tokens), cert.pem, key.pem, ca.pem, redis.url, frames.url; gateway.toml (media ports)
    worker/   redis.url, frames.url
    sink/     redis.url
    admin/    redis.url; reader.url, for whoever is only to look
    edge/     ca.pem, and a token for the demo's cameras
    grafana/  admin.password
"""

import os
import re
import secrets
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from fishladder.gateway import store_users
from fishladder.gateway.authority import Pair, fingerprint, fits, make_authority, sign_server
from fishladder.gateway.tokens import KEYS_FILE, KeyFile, issue
from fishladder.wire.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")
_DEMO_SITE = "demo"
_DEMO_LIFETIME_S = 10 * 365 * 86_400
#: A certificate of the owner's own: never replaced by one of ours.
_OWN_MARK = "own-certificate"


@click.command()
@click.argument("place", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", "names", multiple=True, help="Name or address by which agents reach the gateway. Repeatable.")
@click.option("--udp-ports", default="", help="Ports for WebRTC's media, such as 50000-50063  [default: any]")
@click.option("--announce", default="", help="Addresses named to WebRTC clients, with commas  [default: our own]")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your own chain (PEM).")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its private key (PEM).")
def init(
    place: Path, names: tuple[str, ...], udp_ports: str, announce: str, tls_cert: Path | None, tls_key: Path | None
) -> None:
    """Make what a stack needs, in directories of PLACE: store passwords, signing keys, a certificate.

    What is there is kept, so run it as often as you like: with other names the certificate is made anew by the same CA,
    and with --tls-cert and --tls-key your own takes its place. Gateways notice within seconds.
    """
    if (tls_cert is None) != (tls_key is None):
        raise ConfigError("--tls-cert and --tls-key go together: name both")
    wanted = [*dict.fromkeys(name for given in names for name in given.replace(",", " ").split())]
    for name in wanted:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"--name {name!r}: expected a host name or an address")
    try:
        (place / "gateway").mkdir(mode=0o750, parents=True, exist_ok=True)
        if udp_ports:
            _keep(place / "gateway" / "gateway.toml", _media(udp_ports, announce).encode())
        for line in make(place, wanted or ["localhost"], _own(tls_cert, tls_key), time.time()):
            click.echo(line)
    except OSError as error:
        raise ConfigError(f"{error.filename or place}: {error.strerror}") from None


def make(place: Path, names: list[str], own: Pair | None, now: float) -> Iterator[str]:
    """Make what is missing; yields what to tell the operator. Raises `ConfigError`, `OSError`."""
    for part in ("own", "gateway", "edge", "grafana"):
        (place / part).mkdir(mode=0o750, parents=True, exist_ok=True)
    for name, content in store_users.files(place).items():
        (place / name).parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        _keep(place / name, content)
    admin = place / "grafana" / "admin.password"
    if not admin.exists():
        _write(admin, secrets.token_urlsafe(18).encode() + b"\n")
    yield from _certificate(place, names, own, datetime.fromtimestamp(now, UTC))
    keys = KeyFile(place / "gateway" / KEYS_FILE)
    keys.keys()
    token = place / "edge" / "token"
    if not token.exists():
        made = issue(
            keys,
            subject=_DEMO_SITE,
            site=_DEMO_SITE,
            cameras=["*"],
            scope=["publish"],
            lifetime_s=_DEMO_LIFETIME_S,
            now=now,
        )
        _write(token, made.encode() + b"\n")


def _media(udp_ports: str, announce: str) -> str:
    """`[gateway.media]`. Raises `ConfigError`."""
    addresses = announce.replace(",", " ").split()
    if not re.fullmatch(r"\d{1,5}-\d{1,5}", udp_ports) or not all(map(_NAME.fullmatch, addresses)):
        raise ConfigError(f"--udp-ports {udp_ports!r}, --announce {announce!r}: expected FIRST-LAST, and addresses")
    named = ", ".join(f'"{address}"' for address in addresses)
    return f'[gateway.media]\nudp_ports = "{udp_ports}"\nannounce = [{named}]\n'


def _certificate(place: Path, names: list[str], own: Pair | None, now: datetime) -> Iterator[str]:
    cert, key, mark = (place / "gateway" / name for name in ("cert.pem", "key.pem", _OWN_MARK))
    authority = _authority(place, now)
    if own is not None:
        _write(key, own.key)
        _write(cert, own.cert)
        _write(mark, b"")
    elif not mark.exists() and not (cert.exists() and fits(cert.read_bytes(), authority.cert, names, now)):
        made = sign_server(authority, names, now)
        _write(key, made.key)
        _write(cert, made.cert)
    whose = "your own" if mark.exists() else f"for {', '.join(names)}"
    yield f"gateway's certificate ({whose}), SHA-256 {fingerprint(cert.read_bytes())}"
    if not mark.exists():
        yield f"agents trust it by its CA (ca.pem),   SHA-256 {fingerprint(authority.cert)}"


def _authority(place: Path, now: datetime) -> Pair:
    cert, key = place / "own" / "ca.pem", place / "own" / "ca.key"
    if not cert.exists():
        made = make_authority(now)
        _write(key, made.key)
        _write(cert, made.cert)
    for reader in ("gateway", "edge"):
        _keep(place / reader / "ca.pem", cert.read_bytes())
    return Pair(cert.read_bytes(), key.read_bytes())


def _own(cert: Path | None, key: Path | None) -> Pair | None:
    """The owner's certificate, once it is clear that it can be used. Raises `ConfigError`."""
    if cert is None or key is None:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"--tls-cert {cert}, --tls-key {key}: {error}") from None
    return Pair(cert.read_bytes(), key.read_bytes())


def _keep(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        _write(path, content)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, readable by us and our group."""
    half = path.with_name(f".{path.name}.new")
    with half.open("wb") as file:
        os.fchmod(file.fileno(), 0o640)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
