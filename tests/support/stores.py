"""Real stores for tests: servers on unix sockets in short temporary directories, and waiting for a condition."""

import asyncio
import inspect
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

from fishladder.runtime.embedded import frames_options, state_options
from fishladder.runtime.server import Server, find_server, run_server
from fishladder.runtime.store import Stores, StoreUrls, connect, open_stores

T = TypeVar("T")
PARTITIONS = 4
STORE_BYTES = 64 * 1024 * 1024


class StartServer(Protocol):
    """Start a server and return its URL. `maxmemory` in bytes; `appendonly` makes it durable (fsync always)."""

    async def __call__(self, name: str = ..., *, maxmemory: int = ..., appendonly: bool = ...) -> str: ...


async def wait_until(
    condition: Callable[[], T | Awaitable[T]], timeout: float = 10.0, what: str = "", every_s: float = 0.01
) -> T:
    """Poll `condition` (plain or async) until it is true; return what it gave. Fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        outcome = condition()
        value: T = await outcome if inspect.isawaitable(outcome) else outcome  # type: ignore[assignment]
        if value:
            return value
        if time.monotonic() > deadline:
            name = what or getattr(condition, "__name__", repr(condition))
            raise AssertionError(f"not within {timeout:g} s: {name} (it last gave {value!r})")
        await asyncio.sleep(every_s)


@asynccontextmanager
async def temporary_server(
    name: str = "test", *, maxmemory: int = STORE_BYTES, appendonly: bool = False
) -> AsyncIterator[Server]:
    """A server of its own, gone with its files when the block ends."""
    place = short_tmp()
    options = state_options(maxmemory) if appendonly else frames_options(maxmemory)
    try:
        async with run_server(
            name, binary=await find_server(), socket=place / "s", directory=place, options=options
        ) as server:
            yield server
    finally:
        shutil.rmtree(place, ignore_errors=True)


@asynccontextmanager
async def temporary_pair() -> AsyncIterator[StoreUrls]:
    """Two servers, a memory-only and a durable one."""
    async with temporary_server("frame") as frames, temporary_server("state", appendonly=True) as state:
        yield StoreUrls(frames.url, state.url)


@asynccontextmanager
async def temporary_stores(partitions: int = PARTITIONS) -> AsyncIterator[Stores]:
    """The same, opened."""
    async with temporary_pair() as urls, open_stores(urls, partitions=partitions) as stores:
        yield stores


async def reset(url: str, settings: dict[str, str]) -> None:
    """Empty a server and give it its settings back, whatever the test before did to it."""
    client = connect(url)
    try:
        for name, value in settings.items():
            await client.config_set(name, value)
        await client.flushall()
        await client.script_flush()
    finally:
        await client.aclose()


def short_tmp() -> Path:
    """A new temporary directory with a path short enough for sockets in it (pytest's `tmp_path` may be too long)."""
    return Path(tempfile.mkdtemp(prefix="fl-"))


@cache
def _children_file() -> bool:
    return Path("/proc/self/task").is_dir()


def child_processes() -> set[int]:
    """This process' children that still run; none where the system does not list them."""
    found: set[int] = set()
    if not _children_file():
        return found
    for task in Path("/proc/self/task").iterdir():
        try:
            listed = (task / "children").read_text()
        except OSError:  # the thread has ended, or the kernel has no such list
            continue
        found |= {int(pid) for pid in listed.split() if _runs(int(pid))}
    return found


def _runs(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
