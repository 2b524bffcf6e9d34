"""Fixtures every test may use: real stores, and a check that nothing is left running."""

import asyncio
import inspect
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import hypothesis
import pytest
from support.installed import look
from support.stores import (
    PARTITIONS,
    STORE_BYTES,
    StartServer,
    child_processes,
    reset,
    temporary_pair,
    temporary_server,
)

from fishladder.runtime.embedded import frames_options, state_options
from fishladder.runtime.store import Stores, StoreUrls, open_stores

#: No test asserts timing, so none has a deadline for an example either.
hypothesis.settings.register_profile("fishladder", deadline=None)
hypothesis.settings.load_profile("fishladder")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(found, packages): the test ends if `found()` finds nothing")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        look(mark)


#: What aiortc, of which our test clients are made, leaves behind when it is closed while it connects.
_LEFT_BY_AIORTC = ("RTCPeerConnection.__connect", "Connection.query_consent")


@pytest.fixture(scope="session", autouse=True)
def no_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What agents keep by default goes with the tests: their spools, and their rings in memory."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as runtime:
        patch.setenv("XDG_RUNTIME_DIR", runtime)
        yield
    patch.undo()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves child processes behind, or, if it is a coroutine, asyncio tasks."""
    if "stores" in request.fixturenames:
        request.getfixturevalue("shared_servers")  # these stay
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
    left = {
        task
        for task in asyncio.all_tasks() - before - {asyncio.current_task()}
        if getattr(task.get_coro(), "__qualname__", "") not in _LEFT_BY_AIORTC
    }
    assert not left, f"tasks left running: {sorted(map(str, left))}"


@pytest.fixture
async def store_server() -> AsyncIterator[StartServer]:
    """A factory of servers: `url = await store_server(maxmemory=..., appendonly=...)`."""
    async with AsyncExitStack() as stack:

        async def start(name: str = "test", *, maxmemory: int = STORE_BYTES, appendonly: bool = False) -> str:
            server = temporary_server(name, maxmemory=maxmemory, appendonly=appendonly)
            return (await stack.enter_async_context(server)).url

        yield start


@pytest.fixture(scope="session")
def shared_servers() -> Iterator[StoreUrls]:
    """A frame and a state server that tests use one after the other: starting them takes longer than most tests."""
    with asyncio.Runner() as runner:
        pair = temporary_pair()
        yield runner.run(pair.__aenter__())
        runner.run(pair.__aexit__(None, None, None))


@pytest.fixture
async def stores(shared_servers: StoreUrls) -> AsyncIterator[Stores]:
    """A pair of opened stores of 4 partitions, each its own server, empty and with our settings."""
    for url, settings in ((shared_servers.frames, frames_options), (shared_servers.state, state_options)):
        await reset(url, settings(STORE_BYTES))
    async with open_stores(shared_servers, partitions=PARTITIONS) as opened:
        yield opened
