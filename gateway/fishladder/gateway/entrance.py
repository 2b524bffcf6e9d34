"""The front door: accepts connections and hands them to the HTTP server. Whoever has shown no good token yet is a
stranger; strangers have little time and little room, so that any number of them costs the others nothing.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from aiohttp import web

from fishladder.gateway import metrics
from fishladder.gateway.limits import Limits

log = structlog.get_logger(__name__)

_SWEEP_S = 0.25
#: After an accept failed (no descriptors left, most likely).
_PAUSE_S = 0.1
_SAY_S = 10.0
#: A token may have so many uplinks, so many WHIP sessions, and so on; and connections for all of them.
CONNECTIONS_A_KIND = 4


@dataclass(slots=True, eq=False)
class _Stranger:
    address: str
    until: float
    protocol: web.RequestHandler
    entering: "asyncio.Task[None]"
    transport: asyncio.Transport | None = None

    @property
    def gone(self) -> bool:
        return self.entering.done() and self.protocol.transport is None

    def turn_out(self) -> None:
        self.entering.cancel()
        if self.transport is not None:
            self.transport.abort()


class Entrance:
    """`tls` gives the context for the next connection, or None for clear text."""

    def __init__(
        self, bound: socket.socket, server: web.Server, limits: Limits, tls: Callable[[], ssl.SSLContext | None]
    ) -> None:
        self._bound = bound
        self._server = server
        self._limits = limits
        self._tls = tls
        self._strangers: dict[web.RequestHandler, _Stranger] = {}  # the longest here first
        self._of_address: Counter[str] = Counter()
        self._known: dict[web.RequestHandler, str] = {}  # by whose token
        self._of_holder: Counter[str] = Counter()
        self._turned_out = 0
        self._said = float("-inf")

    def known(self, request: web.Request, holder: str) -> bool:
        """The peer behind a request has shown a good token, `holder`'s ('' = none is needed); from here on others look
        after what it does. False: with that token there are as many connections as one may have.
        """
        protocol = request.protocol
        if protocol in self._known:
            return True
        if holder and self._of_holder[holder] >= CONNECTIONS_A_KIND * self._limits.connections_per_token:
            return False
        if holder:
            self._known[protocol] = holder
            self._of_holder[holder] += 1
        stranger = self._strangers.get(protocol)
        if stranger is not None:
            self._forget(stranger)
        return True

    async def run(self) -> None:
        """Accept until cancelled. Connections that were accepted stay."""
        loop = asyncio.get_running_loop()
        self._bound.setblocking(False)
        self._bound.listen(1024)
        async with asyncio.TaskGroup() as group:
            sweeping = group.create_task(self._sweep(), name="entrance sweep")
            try:
                while True:
                    try:
                        peer, address = await loop.sock_accept(self._bound)
                    except OSError as error:
                        log.warning("cannot accept", error=error.strerror)
                        self._make_room(1)
                        await asyncio.sleep(_PAUSE_S)
                        continue
                    self._accept(peer, str(address[0]) if address else "", loop.time())
            finally:
                sweeping.cancel()
                entering = [it.entering for it in self._strangers.values() if not it.entering.done()]
                for task in entering:
                    task.cancel()
                await asyncio.gather(*entering, return_exceptions=True)

    def _accept(self, peer: socket.socket, address: str, now: float) -> None:
        if len(self._server.connections) + len(self._strangers) >= self._limits.connections + self._limits.strangers:
            metrics.refused.labels("connections").inc()
            peer.close()
            return
        if self._of_address[address] >= self._limits.strangers_per_address:
            self._make_room(1, of=address)
        elif len(self._strangers) >= self._limits.strangers:
            self._make_room(1)
        protocol = self._server()
        entering = asyncio.create_task(self._enter(peer, protocol), name="entrance")
        self._strangers[protocol] = _Stranger(address, now + self._limits.hello_s, protocol, entering)
        self._of_address[address] += 1

    async def _enter(self, peer: socket.socket, protocol: web.RequestHandler) -> None:
        """The TLS handshake, if there is one."""
        loop, tls = asyncio.get_running_loop(), self._tls()
        bound_s = self._limits.hello_s if tls else None
        try:
            peer.setblocking(False)
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, peer, ssl=tls, ssl_handshake_timeout=bound_s
            )
        except OSError:  # it left, or does not speak TLS (`ssl.SSLError` is one)
            metrics.refused.labels("handshake").inc()
            peer.close()
            return
        except asyncio.CancelledError:
            peer.close()
            raise
        if (stranger := self._strangers.get(protocol)) is not None:
            stranger.transport = transport

    def _make_room(self, count: int, of: str | None = None) -> None:
        """Turn out those who have stood about longest: whoever means business is through in no time."""
        for stranger in list(self._strangers.values()):
            if count and of in (None, stranger.address):
                self._turn_out(stranger)
                count -= 1

    async def _sweep(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = clock()
            for stranger in list(self._strangers.values()):
                if stranger.gone:
                    self._forget(stranger)
                elif now >= stranger.until:
                    self._turn_out(stranger)
            for protocol in [it for it in self._known if it.transport is None]:
                self._leave(protocol)
            metrics.connections.labels("stranger").set(len(self._strangers))
            if self._turned_out and now - self._said >= _SAY_S:
                log.warning("strangers turned out", count=self._turned_out, waiting=len(self._strangers))
                self._turned_out, self._said = 0, now

    def _turn_out(self, stranger: _Stranger) -> None:
        self._forget(stranger)
        if not stranger.gone:
            self._turned_out += 1
            metrics.refused.labels("stranger").inc()
            with contextlib.suppress(OSError):
                stranger.turn_out()

    def _leave(self, protocol: web.RequestHandler) -> None:
        holder = self._known.pop(protocol)
        self._of_holder[holder] -= 1
        if not self._of_holder[holder]:
            del self._of_holder[holder]

    def _forget(self, stranger: _Stranger) -> None:
        del self._strangers[stranger.protocol]
        self._of_address[stranger.address] -= 1
        if not self._of_address[stranger.address]:
            del self._of_address[stranger.address]
