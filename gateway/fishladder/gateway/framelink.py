"""The raw connection to the frame store: bytes out, so many replies back, one exchange at a time. What is sent, and
what to do when the connection breaks, is its user's business.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any, cast
from urllib.parse import urlsplit

import hiredis
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisError

from fishladder.gateway.resp import command
from fishladder.runtime.sentinel import SCHEMES, SentinelUrl
from fishladder.runtime.store import redacted
from fishladder.wire.errors import ConfigError, StoreUnavailable

_NOTHING = object()
#: A store that takes longer than this to answer is taken for gone.
REPLY_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0


class FrameLink:
    """One connection at a time to the store at `url`; `lost` is called when it has ended.

    Raises `ConfigError` for a URL that cannot be used.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.lost: Callable[[], None] = _nothing
        self._options: dict[str, Any] = {}
        self._sentinels: SentinelUrl | None = None
        try:
            if urlsplit(url).scheme in SCHEMES:
                self._sentinels = SentinelUrl.parse(url)
                self._options = self._sentinels.options
            else:
                self._options = dict(parse_url(url))
        except ValueError as error:
            raise ConfigError(f"store URL {redacted(url)!r}: {error}") from None
        self._protocol: _Exchange | None = None

    @property
    def connected(self) -> bool:
        return self._protocol is not None and self._protocol.open

    async def connect(self) -> None:
        """Connect and log in. Raises `StoreUnavailable`."""
        self.close()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._protocol = await self._open()
                await self._log_in()
        except (OSError, TimeoutError, RedisError, StoreUnavailable) as error:
            self.close()
            raise StoreUnavailable(f"no frame store at {redacted(self.url)}: {error or 'no answer'}") from None

    async def exchange(self, parts: Iterable[bytes], replies: int) -> list[Any]:
        """Send some commands and return their replies (errors among them are values, not raised).

        Raises `StoreUnavailable` when the connection breaks: whether the commands took effect is then unknown.
        """
        if self._protocol is None:
            raise StoreUnavailable(f"not connected to the frame store {redacted(self.url)}")
        waiting = self._protocol.send(b"".join(parts), replies)
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                return await waiting
        except TimeoutError:
            self.close()
            raise StoreUnavailable(f"the frame store did not answer within {REPLY_TIMEOUT_S:g} s") from None
        except asyncio.CancelledError:
            self.close()  # replies still to come would be taken for those of the next exchange
            raise

    def close(self) -> None:
        if self._protocol is not None:
            self._protocol.abort()
            self._protocol = None

    async def _open(self) -> "_Exchange":
        loop = asyncio.get_running_loop()
        kind = self._options.get("connection_class")
        if kind is UnixDomainSocketConnection:
            _, protocol = await loop.create_unix_connection(self._exchange, self._options["path"])
            return protocol
        context = _tls(self._options) if kind is SSLConnection or "ssl" in self._options else None
        if self._sentinels is not None:
            host, port = await self._sentinels.address(CONNECT_TIMEOUT_S)
        else:
            host, port = self._options.get("host", "localhost"), self._options.get("port", 6379)
        _, protocol = await loop.create_connection(self._exchange, host, port, ssl=context)
        return protocol

    def _exchange(self) -> "_Exchange":
        return _Exchange(self.lost)

    async def _log_in(self) -> None:
        steps = []
        if password := self._options.get("password"):
            user = self._options.get("username")
            steps.append(command("AUTH", user, password) if user else command("AUTH", password))
        if database := self._options.get("db"):
            steps.append(command("SELECT", database))
        for step in steps:
            [reply] = await self.exchange([step], 1)
            if isinstance(reply, hiredis.ReplyError):
                raise StoreUnavailable(f"it answers: {reply}")


def _nothing() -> None:
    """Nobody wants to know."""


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    """The TLS settings of a `rediss://` URL, by the names redis-py gives them."""
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"))
    if options.get("ssl_check_hostname") is False or options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
    if options.get("ssl_cert_reqs") == "none":
        context.verify_mode = ssl.CERT_NONE
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context


class _Exchange(asyncio.Protocol):
    """Counts replies as they come in."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: asyncio.Future[list[Any]] | None = None
        self._wanted = 0
        self._replies: list[Any] = []

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is one in all but name

    def send(self, data: bytes, replies: int) -> asyncio.Future[list[Any]]:
        assert self._waiting is None, "one exchange at a time"
        if self._transport is None or self._transport.is_closing():
            raise StoreUnavailable("the connection to the frame store is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._wanted, self._replies = replies, []
        self._transport.write(data)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _NOTHING:
                self._replies.append(reply)
        except hiredis.ProtocolError as error:
            self._fail(f"the frame store's answer is not RESP: {error}")
            self.abort()
            return
        if len(self._replies) == self._wanted and self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            if not waiting.done():
                waiting.set_result(self._replies)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._fail(f"the connection to the frame store broke: {error or 'closed by the store'}")
        self._lost()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, why: str) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(StoreUnavailable(why))
