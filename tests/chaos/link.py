"""The way between camera host and stack, which can be cut in either direction without anybody being told: a router
between two network namespaces that drops what it should forward, or, where root does not allow that, a relay that stops
carrying.
"""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

#: Given a connection from the camera host, finds a gateway for it.
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Link(Protocol):
    """`url` is where the agent finds the stack, `prefix` what its command begins with."""

    url: str
    prefix: tuple[str, ...]
    kind: str

    def cut(self, *, up: bool, down: bool) -> None:
        """Carry nothing in these directions from now on, and everything in the others."""


class Namespaces:
    """The agent's namespace - router - here. Addresses from 10.200.0.0/14, by our pid."""

    kind = "network namespaces"

    def __init__(self) -> None:
        name = f"flc{os.getpid()}"
        self.agent_space, self.router = f"{name}a", f"{name}r"
        self._host = name
        net = f"10.{200 + os.getpid() // 256 % 4}.{os.getpid() % 256}"
        self.agent_address, self.here = f"{net}.2", f"{net}.6"
        self._near, self._far = f"{net}.1", f"{net}.5"
        self._net = net
        self.port = 0
        self.prefix = ("ip", "netns", "exec", self.agent_space)

    @property
    def url(self) -> str:
        return f"http://{self.here}:{self.port}"

    def cut(self, *, up: bool, down: bool) -> None:
        for dropped, to in ((up, self.here), (down, self.agent_address)):
            if dropped:
                _ip("-n", self.router, "route", "replace", "blackhole", f"{to}/32")
            else:
                with contextlib.suppress(subprocess.CalledProcessError):
                    _ip("-n", self.router, "route", "del", "blackhole", f"{to}/32")

    @contextmanager
    def made(self) -> Iterator[None]:
        """Raises `CalledProcessError` or `OSError` where it is not allowed."""
        agent, router, host = self.agent_space, self.router, self._host
        try:
            for space in (agent, router):
                _ip("netns", "add", space)
                _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", agent, "link", "add", "up0", "type", "veth", "peer", "name", "ag0", "netns", router)
            _ip("-n", router, "link", "add", "st0", "type", "veth", "peer", "name", host, "netns", str(os.getpid()))
            _ip("-n", agent, "addr", "add", f"{self.agent_address}/30", "dev", "up0")
            _ip("-n", router, "addr", "add", f"{self._near}/30", "dev", "ag0")
            _ip("-n", router, "addr", "add", f"{self._far}/30", "dev", "st0")
            _ip("addr", "add", f"{self.here}/30", "dev", host)
            for space, device in ((agent, "up0"), (router, "ag0"), (router, "st0")):
                _ip("-n", space, "link", "set", device, "up")
            _ip("link", "set", host, "up")
            _ip("-n", agent, "route", "add", "default", "via", self._near)
            _ip("route", "add", f"{self._net}.0/30", "via", self._far)
            forward = "from pathlib import Path; Path('/proc/sys/net/ipv4/ip_forward').write_text('1')"
            _run("ip", "netns", "exec", router, "python3", "-c", forward)
            yield
        finally:
            for space in (agent, router):
                with contextlib.suppress(subprocess.CalledProcessError):
                    _ip("netns", "del", space)
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("link", "del", host)


class Relay:
    """What is carried waits while its direction is cut; a connection that is made then comes to nothing."""

    kind = "relay (no network namespaces here)"
    prefix: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.port = 0
        self._open = {"up": asyncio.Event(), "down": asyncio.Event()}
        self.cut(up=False, down=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self, *, up: bool, down: bool) -> None:
        for direction, dropped in (("up", up), ("down", down)):
            (self._open[direction].clear if dropped else self._open[direction].set)()

    async def carried(self, direction: str) -> None:
        await self._open[direction].wait()


@asynccontextmanager
async def link(
    connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
) -> AsyncIterator[Link]:
    """A link whose far end is `connect`, which may raise `OSError`."""
    async with contextlib.AsyncExitStack() as stack:
        spaces, relay = Namespaces(), Relay()
        try:
            stack.enter_context(spaces.made())
        except (OSError, subprocess.CalledProcessError):
            made: Namespaces | Relay = relay
            address = "127.0.0.1"
        else:
            made, address = spaces, spaces.here
        flows: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            flows.add(task)
            try:
                await relay.carried("up")
                far_reader, far_writer = await connect()
            except OSError:
                writer.transport.abort()
                flows.discard(task)
                return
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_carry(reader, far_writer, relay, "up"))
                    group.create_task(_carry(far_reader, writer, relay, "down"))
            except* (_Closed, OSError):
                pass
            finally:
                writer.transport.abort()
                far_writer.transport.abort()
                flows.discard(task)

        server = await asyncio.start_server(serve, address, 0)
        made.port = server.sockets[0].getsockname()[1]
        try:
            yield made
        finally:
            server.close()
            for flow in flows:
                flow.cancel()
            await asyncio.gather(*flows, return_exceptions=True)


class _Closed(Exception):
    """One end of a connection is closed, so both are."""


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, relay: Relay, direction: str) -> None:
    while data := await reader.read(65536):
        await relay.carried(direction)
        writer.write(data)
        await writer.drain()
    raise _Closed


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=10)
