"""Addresses that may hold a login, which no message shows, however malformed they are."""

from urllib.parse import SplitResult, urlsplit

from fishladder.wire.errors import ConfigError

_UNREADABLE = "cannot be read; in a password, / # ? @ and % must be percent-encoded"


def without_login(url: str) -> str:
    """What may be shown of it: a password with a / or # in it, which should have been encoded, is a password still."""
    return url.rpartition("@")[2]


def split(url: str, what: str) -> SplitResult:
    """Its parts, host and port being good. Raises `ConfigError`."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:  # not quoted where there is a login: it may repeat a piece of it
        raise ConfigError(f"{what} {without_login(url)!r}: {_UNREADABLE if '@' in url else error}") from None
    if not host:
        raise ConfigError(f"{what} {without_login(url)!r}: no host in it")
    return parts


def split_proxy(url: str) -> SplitResult:
    """A proxy's, which has no path: an @ in what looks like one is the end of a login. Raises `ConfigError`."""
    parts = split(url, "proxy")
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ConfigError(f"proxy {without_login(url)!r}: {_UNREADABLE}")
    return parts
