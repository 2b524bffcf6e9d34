"""An agent whose gateway is gone finds out when it is there again, wherever that is."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest

from fishladder.edge import knock


@pytest.fixture
def nobody() -> Iterator[tuple[str, int]]:
    """Where nothing ever answers: a host that is gone. (A queue that is full lets nobody in, and refuses nobody.)"""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


@asynccontextmanager
async def somebody() -> AsyncIterator[int]:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def stays(waiting: "asyncio.Task[None]") -> bool:
    return not (await asyncio.wait({waiting}, timeout=1.5))[0]


async def test_a_gateway_that_has_moved_is_found_by_its_name(nobody: tuple[str, int]) -> None:
    """Its old address does not answer any more, as that of a container that was replaced, and never will."""
    async with somebody() as port:
        await asyncio.wait_for(knock.answers(nobody, ("localhost", port)), 10)


async def test_a_name_that_comes_to_stand_for_somewhere_else_is_looked_up_again(
    nobody: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knock, "LOOK_UP_S", 0.1)
    async with somebody() as port:
        names = {"gateway": nobody}

        async def look_up(host: str, port: int, **more: object) -> list[tuple[object, ...]]:
            return [(2, 1, 6, "", names[host])]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        waiting = asyncio.create_task(knock.answers(nobody, ("gateway", 0)))
        assert await stays(waiting)
        names["gateway"] = ("127.0.0.1", port)
        await asyncio.wait_for(waiting, 10)


async def test_while_the_name_cannot_be_looked_up_the_last_address_is_tried(nobody: tuple[str, int]) -> None:
    async with somebody() as port:
        await asyncio.wait_for(knock.answers(("127.0.0.1", port), ("no-such-name.invalid", port)), 10)
    waiting = asyncio.create_task(knock.answers(nobody, ("no-such-name.invalid", 9)))
    assert await stays(waiting)
    waiting.cancel()
