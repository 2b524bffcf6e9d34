"""A link between an agent and its gateway that tests can cut: a TCP relay that lets bytes through, swallows them as a
dead radio does (nobody is told), or answers with a reset.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum


class Cut(Enum):
    NONE = "none"
    SILENT = "silent"  #: nothing comes through, in either direction, and nobody is told
    RESET = "reset"  #: connections are reset, and new ones as well


class Link:
    """`url` is where the gateway seems to be."""

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self.carried_bytes = 0  #: from the agent to the gateway
        self.connections = 0
        self.rate_bytes_s: float | None = None  #: what it carries from the agent to the gateway; None = all
        self.to_port = to_port  #: where new connections go
        self._cut = Cut.NONE
        self._up = asyncio.Event()
        self._up.set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self, how: Cut) -> None:
        """From now on. What was connected when a silent cut began stays so, as far as either end knows, and is reset
        once the link is back: routes and addresses have changed meanwhile.
        """
        before, self._cut = self._cut, how
        if how is Cut.NONE:
            self._up.set()
        else:
            self._up.clear()
        if how is Cut.RESET or before is Cut.SILENT:
            for writer in list(self._writers):
                _reset(writer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        far_writer: asyncio.StreamWriter | None = None
        try:
            if self._cut is Cut.RESET:
                return
            await self._up.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
            self._writers.add(far_writer)
            self.connections += 1
            await asyncio.gather(self._carry(reader, far_writer, count=True), self._carry(far_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            for it in (writer, far_writer):
                if it is not None:
                    self._writers.discard(it)
                    _reset(it)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool = False) -> None:
        try:
            while data := await reader.read(65536):
                await self._up.wait()
                if count:
                    self.carried_bytes += len(data)
                    if self.rate_bytes_s is not None:
                        await asyncio.sleep(len(data) / self.rate_bytes_s)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once, with a reset where the socket is still ours."""
    plain = writer.get_extra_info("socket")
    if plain is not None:
        with contextlib.suppress(OSError):
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def link(to_port: int) -> AsyncIterator[Link]:
    """A relay to a port on this host while the block runs."""
    it = Link(to_port)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # what is slow shows at once
    server = await asyncio.start_server(it.serve, sock=listening, limit=2048)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        it.cut(Cut.RESET)
