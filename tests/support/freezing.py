"""A relay in front of a unix socket whose connections can be frozen, as if the peer had vanished without a word: they
stay open and nothing comes through any more, while new ones work.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.stores import short_tmp


class FreezingRelay:
    """`url` is where it listens. A request that has `hold` in it freezes its connection."""

    def __init__(self, target: str) -> None:
        self.hold: bytes | None = None
        self.held = 0
        self._target = target.removeprefix("unix://")
        self._socket: Path = short_tmp() / "relay"
        self._flows: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def freeze(self) -> None:
        """Every connection there is."""
        for flow in self._flows:
            flow.clear()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._serve, str(self._socket))
        try:
            yield
        finally:
            server.close()
            self._over.set()
            if self._tasks:
                await asyncio.wait(self._tasks)
            self._socket.unlink(missing_ok=True)
            self._socket.parent.rmdir()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        flows = asyncio.Event()
        flows.set()
        self._flows.append(flows)
        there = asyncio.create_task(self._carry(reader, far_writer, flows, watched=True))
        back = asyncio.create_task(self._carry(far_reader, writer, flows, watched=False))
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait((there, back, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (there, back, over):
                one.cancel()
            await asyncio.gather(there, back, over, return_exceptions=True)
            writer.close()
            far_writer.close()
            self._tasks.discard(task)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event, *, watched: bool
    ) -> None:
        while data := await reader.read(65536):
            if watched and self.hold is not None and self.hold in data:
                flows.clear()
                self.held += 1
            await flows.wait()
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def freezing_relay(target: str) -> AsyncIterator[FreezingRelay]:
    """A relay to the server at the unix URL `target`."""
    relay = FreezingRelay(target)
    async with relay.listening():
        yield relay
