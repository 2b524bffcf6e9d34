"""`fishladder results` as a user runs it, against real stores."""

import asyncio
import json
import os
import shutil
import signal
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.commands import fishladder, started
from support.stores import short_tmp, wait_until

from fishladder.operate.results import parse_since, sights
from fishladder.runtime import commits, leases, state
from fishladder.runtime.embedded import state_options
from fishladder.runtime.server import Server, find_server, run_server
from fishladder.runtime.store import Stores, StoreUrls, open_stores
from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import ORIGIN, Position, partition_of
from fishladder.wire.result import Detection, FrameResult, Result, decode, encode

NOON_US = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1e6)


class Results:
    """Commits results of cameras, one frame each."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.at: dict[str, Position] = {}

    async def add(self, camera: str, *labels: str) -> None:
        p = partition_of(camera, self.stores.partitions)
        if camera not in self.at:
            await state.claim(self.stores.state, p, camera, boot="b", hello=1, epoch=0, position=0, now_us=1)
            await self._commit(p, camera, ORIGIN, Position(1, 0), b"")
        start = self.at[camera]
        seq = start.seq + 1
        seen = [Detection(label, 0.9 - i / 10, 0, 0, 1, 1) for i, label in enumerate(labels)]
        frame = FrameResult(seq, 0, NOON_US + seq * 1000, seen)
        result = Result(camera, 1, seq, seq, [(int(Fate.INFERRED), seq, seq)], frames=[frame])
        await self._another_ms()
        await self._commit(p, camera, start, Position(1, seq), encode(result))

    async def _another_ms(self) -> None:
        """Commits of two cameras within one millisecond of the store's clock have no order."""
        before = at = await self.stores.state.time()
        while at[0] * 1000 + at[1] // 1000 == before[0] * 1000 + before[1] // 1000:
            at = await self.stores.state.time()

    async def _commit(self, p: int, camera: str, start: Position, to: Position, result: bytes) -> None:
        runs = [Run(Fate.INFERRED, start.seq + 1, to.seq)] if result else []
        assert await leases.acquire_lease(self.stores.state, p, "t", 600_000)
        done = await commits.commit(
            self.stores.state, p, camera, token="t", start=start, to=to, runs=runs, result=result,
            keep_bytes=1 << 30, keep_ms=1 << 40,
        )  # fmt: skip
        assert done == commits.Committed()
        self.at[camera] = to


@pytest.fixture
def results(stores: Stores) -> Results:
    return Results(stores)


def which_frames(out: str) -> list[str]:
    """camera/position of each line."""
    return [" ".join(line.split()[2:4]) for line in out.splitlines()]


async def test_the_last_frames_in_plain_words(stores: Stores, results: Results) -> None:
    for i in range(15):
        await results.add("a/one", "person", "car", "person")
        await results.add("a/two", *(["dog"] if i == 14 else []))
    done = await fishladder("results", "--redis", stores.urls.state, env={"TZ": "UTC"})
    assert done.status == 0, done.err
    # Cameras that commit in the same millisecond may come in either order.
    for name in ("one", "two"):
        ours = [frame for frame in which_frames(done.out) if frame.startswith(f"a/{name} ")]
        assert ours == [f"a/{name} 1-{seq}" for seq in range(6, 16)]
    lines = done.out.splitlines()
    assert "2026-03-01 12:00:00.015  a/one  1-15  2 person (90 %, 70 %), 1 car (80 %)" in lines[-2:]
    assert "2026-03-01 12:00:00.015  a/two  1-15  1 dog (90 %)" in lines[-2:]
    assert "2026-03-01 12:00:00.014  a/two  1-14  nothing" in lines


async def test_a_choice_of_cameras_and_lines(stores: Stores, results: Results) -> None:
    for _ in range(3):
        await results.add("a/one")
        await results.add("b/two")
    for which, lines, frames in (
        ("a/one", "2", ["a/one 1-2", "a/one 1-3"]),
        ("b", "1", ["b/two 1-3"]),
        ("a", "0", []),
    ):
        done = await fishladder("results", which, "-n", lines, "--redis", stores.urls.state)
        assert (done.status, which_frames(done.out)) == (0, frames)
    done = await fishladder("results", "c", "--redis", stores.urls.state)
    assert (done.status, done.out) == (2, "")


async def test_json_lines_are_whole_commits(stores: Stores, results: Results) -> None:
    await results.add("a/one", "person")
    await results.add("a/one")
    done = await fishladder("results", "--json", "--redis", stores.urls.state)
    read = [decode(line.encode()) for line in done.out.splitlines()]
    assert [(it.first, it.runs) for it in read] == [(1, [(1, 1, 1)]), (2, [(1, 2, 2)])]
    assert json.loads(done.out.splitlines()[0])["frames"][0]["detections"][0]["label"] == "person"


async def test_since_a_time_means_all_since_then(stores: Stores, results: Results) -> None:
    for _ in range(250):
        await results.add("a/one")
    done = await fishladder("results", "--since", "1h", "--redis", stores.urls.state)
    assert which_frames(done.out) == [f"a/one 1-{seq}" for seq in range(1, 251)]
    done = await fishladder("results", "--since", "2099-01-01", "--redis", stores.urls.state)
    assert (done.status, done.out) == (0, "")
    done = await fishladder("results", "--since", "noon", "--redis", stores.urls.state)
    assert done.status == 2
    assert "give 90s, 15m, 2h, 1d, or a time like" in done.err


@pytest.mark.parametrize("flags", [("-n", "1"), ("--since", "1h")])
async def test_following_prints_each_frame_once(stores: Stores, results: Results, flags: tuple[str, str]) -> None:
    """What is there, what comes, and cameras that are new; then Ctrl-C."""
    await results.add("a/one", "person")
    async with started("results", "-f", *flags, "--redis", stores.urls.state) as running:
        assert (await running.line()).split()[2:4] == ["a/one", "1-1"]
        await results.add("a/one")
        assert (await running.line()).split()[2:4] == ["a/one", "1-2"]
        await results.add("b/new")
        await results.add("b/new")
        assert (await running.line()).split()[2:4] == ["b/new", "1-1"]
        assert (await running.line()).split()[2:4] == ["b/new", "1-2"]
        running.process.send_signal(signal.SIGINT)
        assert await running.process.wait() == 130
        assert [said.strip() for said in await running.rest()] == ["", ""]


async def test_following_a_camera_that_is_still_to_come(stores: Stores, results: Results) -> None:
    async with started("results", "a/late", "-f", "--redis", stores.urls.state) as running:
        assert await running.error_line() == "a/late has not been heard of yet, waiting for it"
        await results.add("a/late")
        assert (await running.line()).split()[2:4] == ["a/late", "1-1"]


async def test_following_goes_on_when_the_store_comes_back() -> None:
    place = short_tmp()
    try:
        await _restart_while_following(place)
    finally:
        shutil.rmtree(place)


async def _restart_while_following(place: Path) -> None:
    binary = await find_server()

    def server() -> AbstractAsyncContextManager[Server]:
        return run_server("state", binary=binary, socket=place / "s", directory=place, options=state_options(1 << 26))

    async with AsyncExitStack() as first, AsyncExitStack() as second:
        url = (await first.enter_async_context(server())).url
        urls = StoreUrls(url, url)
        async with open_stores(urls, partitions=4) as stores:
            results = Results(stores)
            await results.add("a/one")
            running = await second.enter_async_context(started("results", "-f", "--redis", url))
            assert (await running.line()).split()[2:4] == ["a/one", "1-1"]
        await first.aclose()
        assert (await running.error_line()).startswith(f"the state store {url} is away, waiting for it: ")
        await second.enter_async_context(server())
        assert await running.error_line() == "the state store is back"
        async with open_stores(urls) as stores:
            results.stores = stores
            await results.add("a/one")
            assert (await running.line()).split()[2:4] == ["a/one", "1-2"]


async def test_a_reader_that_has_had_enough_is_no_error(stores: Stores, results: Results) -> None:
    await results.add("a/one")
    read, write = os.pipe()
    async with started("results", "-f", "--redis", stores.urls.state, stdout=write) as running:
        os.close(write)
        assert await asyncio.to_thread(os.read, read, 1000)
        os.close(read)

        async def ended() -> bool:
            await results.add("a/one")  # it notices when it writes
            return running.process.returncode is not None

        await wait_until(ended)
        assert running.process.returncode == 0
        assert await running.rest() == ("", "")


async def test_no_store_is_exit_status_3() -> None:
    done = await fishladder("results", "-f", "--redis", "unix:///nowhere/s")
    assert done.status == 3
    assert done.err.startswith("fishladder: no state store at unix:///nowhere/s: ")


def test_since_is_a_time_ago_or_a_time() -> None:
    assert parse_since("90s", 1000.0) == 910_000
    assert parse_since("1.5m", 1000.0) == 910_000
    assert parse_since("2h", 10_000.0) == 2_800_000
    assert parse_since("2026-03-01T12:00+00:00", 0) == NOON_US // 1000
    for wrong in ("", "5", "5 m", "-5m", "yesterday"):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever it says, the command line says it anew
            parse_since(wrong, 0)


def test_labels_do_not_command_the_terminal() -> None:
    frame = FrameResult(1, 0, 0, [Detection("\x1b[2Jcat", 0.5, 0, 0, 1, 1)])
    assert sights(frame) == "1 ?[2Jcat (50 %)"
