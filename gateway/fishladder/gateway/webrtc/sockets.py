"""The UDP sockets of one peer: one for each address, told apart by number. What a datagram means, `peer` finds out."""

import asyncio
from collections.abc import Callable
from typing import cast

from fishladder.gateway.webrtc.addresses import MediaSettings, open_sockets
from fishladder.gateway.webrtc.ice import Path

Received = Callable[[Path, bytes], None]


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, number: int) -> None:
        self.number = number
        self.received: Received | None = None
        self.transport: asyncio.DatagramTransport | None = None
        self._path: Path | None = None  # of the last datagram: most come the same way
        self._address: tuple[str, int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        path = self._path
        if path is None or addr != self._address:
            path = self._path = Path(self.number, (addr[0], addr[1]))
            self._address = addr
        if self.received is not None:
            self.received(path, data)

    def error_received(self, exc: Exception) -> None:
        """The other side's port is closed, for the moment; whether it is gone, ICE finds out."""


class Sockets:
    """`bound` are their addresses and ports, once they are open."""

    def __init__(self) -> None:
        self.bound: list[tuple[str, int]] = []
        self._sockets: list[_Socket] = []

    @property
    def are_open(self) -> bool:
        return bool(self._sockets)

    async def open(self, settings: MediaSettings, received: Received) -> None:
        """`received` gets each datagram and its way, once all are open. Raises `UplinkError` if there is no port to
        receive at.
        """
        loop = asyncio.get_running_loop()
        try:
            for number, made in enumerate(open_sockets(settings)):
                own = _Socket(number)
                await loop.create_datagram_endpoint(lambda own=own: own, sock=made)  # type: ignore[misc]
                self._sockets.append(own)
                self.bound.append(made.getsockname()[:2])
        except BaseException:
            self.close()
            raise
        for own in self._sockets:
            own.received = received

    def send(self, path: Path, data: bytes) -> None:
        if path.socket < len(self._sockets):
            transport = self._sockets[path.socket].transport
            if transport is not None and not transport.is_closing():
                transport.sendto(data, path.address)

    def close(self) -> None:
        """Idempotent."""
        for own in self._sockets:
            own.received = None
            if own.transport is not None:
                own.transport.close()
        self._sockets = []
