"""Stores behind Sentinel: `redis+sentinel://[user:password@]host[:port][,host[:port]...]/<master's name>[/<db>]`, or
`rediss+sentinel` for TLS. Each new connection asks the sentinels who the master is, so that a fail-over is followed.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel

SCHEMES = ("redis+sentinel", "rediss+sentinel")
PORT = 26379
#: How long a sentinel may take to answer before the next is asked.
_ANSWER_S = 2.0


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """`login` and `tls` are for the master and for the sentinels alike."""

    hosts: tuple[tuple[str, int], ...]
    master: str
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, url: str) -> "SentinelUrl":
        """Raises `ValueError`, without a piece of the URL in it: it may hold a password."""
        scheme, _, rest = url.partition("://")
        rest, _, query = rest.partition("?")
        where, _, path = rest.partition("/")
        login, _, hosts = where.rpartition("@")
        master, _, database = path.partition("/")
        if scheme not in SCHEMES or not master:
            raise ValueError("expected redis+sentinel://host:port,host:port/name-of-the-master")
        options: dict[str, Any] = {}
        if login:
            user, colon, password = login.partition(":")
            options["password"] = unquote(password if colon else user)
            if colon and user:
                options["username"] = unquote(user)
        if database:
            options["db"] = _number(database, "the database")
        if scheme.startswith("rediss"):
            options["ssl"] = True
            options |= {name: value for name, value in parse_qsl(query) if name.startswith("ssl_")}
        return cls(tuple(_host(text) for text in hosts.split(",")), unquote(master), options)

    def sentinels(self, timeout_s: float) -> Sentinel:
        login = {name: value for name, value in self.options.items() if name != "db"}
        bounds = {"socket_connect_timeout": min(timeout_s, _ANSWER_S), "socket_timeout": _ANSWER_S}
        found: Sentinel = Sentinel(list(self.hosts), sentinel_kwargs=login | bounds)  # type: ignore[no-untyped-call]
        return found

    def client(self, timeout_s: float) -> Redis:
        """A client of whoever is master when it connects."""
        client: Redis = self.sentinels(timeout_s).master_for(
            self.master, socket_connect_timeout=timeout_s, socket_timeout=None, health_check_interval=0, **self.options
        )
        return client

    async def address(self, timeout_s: float) -> tuple[str, int]:
        """The master's host and port now. Raises redis' errors."""
        sentinels = self.sentinels(timeout_s)
        try:
            host, port = await sentinels.discover_master(self.master)
        finally:
            for one in sentinels.sentinels:
                await one.aclose()
        return host, int(port)


def _host(text: str) -> tuple[str, int]:
    if text.startswith("["):  # IPv6
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    if not host:
        raise ValueError("a sentinel has no host")
    return host, _number(port, "a sentinel's port") if port else PORT


def _number(text: str, what: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{what} is no number")
    return int(text)
