"""Fixtures every test may use: real stores, and a check that nothing is left running."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from support.stores import StartServer, child_processes, temporary_server, temporary_stores

from fishladder.runtime.store import Stores


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves child processes behind, or, if it is a coroutine, asyncio tasks."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("no_tasks_left")
    before = child_processes()
    yield
    left = child_processes() - before
    assert not left, f"child processes left running: {sorted(left)}"


@pytest.fixture
async def no_tasks_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    for _ in range(3):  # callbacks of what has just ended
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks left running: {sorted(map(str, left))}"


@pytest.fixture
async def store_server() -> AsyncIterator[StartServer]:
    """A factory of servers: `url = await store_server(maxmemory=..., appendonly=...)`."""
    async with AsyncExitStack() as stack:

        async def start(name: str = "test", *, maxmemory: int = 64 * 1024 * 1024, appendonly: bool = False) -> str:
            server = temporary_server(name, maxmemory=maxmemory, appendonly=appendonly)
            return (await stack.enter_async_context(server)).url

        yield start


@pytest.fixture
async def stores() -> AsyncIterator[Stores]:
    """A pair of opened stores of 4 partitions, each its own server, empty."""
    async with temporary_stores() as opened:
        yield opened
