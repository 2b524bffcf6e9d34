"""Whole agents with real capture processes, a real gateway and real stores, and their spools: what an outage, a crash,
a restart of the host, a full disk or a gateway without room does to the account. Nothing captured goes missing.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from structlog.testing import capture_logs
from support.gateways import Gateway, gateway, ledger
from support.link import Cut, Link, link
from support.models import strips_model
from support.stores import wait_until
from support.workers import worker_here

from fishladder.edge.agent import Agent
from fishladder.edge.config import CameraConfig, EdgeConfig
from fishladder.edge.spool import keeper, spill
from fishladder.edge.spool.settings import SpoolConfig
from fishladder.runtime.ledger import Ledger
from fishladder.runtime.store import Stores
from fishladder.wire.errors import ConfigError
from fishladder.wire.fates import Fate

CAMERA = "shop/door"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ages in tenths: nobody waits five seconds for each test."""
    monkeypatch.setattr(spill, "SPILL_US", 500_000)
    monkeypatch.setattr(spill, "FRESH_US", 300_000)
    monkeypatch.setattr(spill, "BLOCKED_US", 200_000)
    monkeypatch.setattr(keeper, "AGAIN_S", 0.3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return strips_model(tmp_path / "strips.onnx")


def config(it: Gateway, way: Link, place: Path, **settings: Any) -> EdgeConfig:
    spool = SpoolConfig(directory=str(place / "spool"), **settings.pop("spool", {}))
    return EdgeConfig(
        gateway=way.url,
        site="shop",
        token=it.token("shop"),
        cameras=(CameraConfig("door", settings.pop("source", "test:128x64@15")),),
        proxy="none",
        spool=spool,
        **settings,
    )


class Run:
    """An agent that runs, and may be killed as a crash would: nothing it holds is put away."""

    started: ClassVar[list["Run"]] = []

    def __init__(self, settings: EdgeConfig) -> None:
        self.started.append(self)
        self.agent = Agent(settings)
        self.stopping = asyncio.Event()
        self.task = asyncio.create_task(self.agent.run(self.stopping))

    @property
    def position(self) -> int:
        return self.agent.sessions[0].position

    @property
    def spooled(self) -> int:
        return self.agent.keeper.filling().bytes if self.agent.keeper else 0

    async def until_captured(self, more: int) -> None:
        at = self.position + more
        await self.until(lambda: self.position >= at, f"{more} more frames")

    async def until(self, condition: Callable[[], bool], what: str, timeout: float = 30) -> None:
        await wait_until(lambda: condition() or self.task.done(), timeout, what)
        if self.task.done():
            self.task.result()
            raise AssertionError("the agent has ended")

    async def crash(self) -> None:
        assert self.agent.keeper is not None
        keeper = self.agent.keeper

        async def nothing_put() -> None:
            keeper._thread.shutdown()
            for lane in keeper.lanes.values():
                lane.store.close()
            from fishladder.edge.spool.places import unlock

            unlock(keeper._locks)

        keeper.close = nothing_put  # type: ignore[method-assign]
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def stop(self) -> bool:
        self.stopping.set()
        return await asyncio.wait_for(self.task, 40)


@asynccontextmanager
async def site(stores: Stores, place: Path) -> AsyncIterator[tuple[Gateway, Link]]:
    async with gateway(place / "gateway", stores.urls) as it, link(it.server.port) as way:
        try:
            yield it, way
        finally:
            for run in Run.started:
                run.task.cancel()
            await asyncio.gather(*(run.task for run in Run.started), return_exceptions=True)
            Run.started.clear()


async def closed(stores: Stores, captured: int) -> Ledger:
    """Wait until everything captured has its fate; the ledger, which closes."""

    async def quiet() -> bool:
        found = await ledger(stores, CAMERA)
        return found.captured >= captured and not found.pending and not found.deferred

    await wait_until(quiet, 40, f"{captured} frames are settled")
    found = await ledger(stores, CAMERA)
    assert found.closes
    return found


async def test_an_outage_is_survived_by_everything(stores: Stores, tmp_path: Path, model: Path) -> None:
    async with site(stores, tmp_path) as (it, way), worker_here(stores, model):
        run = Run(config(it, way, tmp_path))
        await run.until(lambda: run.agent.uplink.connected, "a connection")
        await run.until_captured(20)
        assert run.spooled == 0
        way.cut(Cut.RESET)
        await run.until_captured(40)
        assert run.spooled > 0
        way.cut(Cut.NONE)
        await run.until(lambda: run.agent.uplink.connected, "a connection")
        await run.until(lambda: run.agent.sessions[0].backlog == 0, "it is drained")
        captured = run.position
        assert await run.stop()
        found = await closed(stores, captured)
        assert set(found.fates) == {Fate.INFERRED}
        assert run.spooled == 0


async def test_after_a_crash_in_an_outage_the_same_epoch_goes_on(stores: Stores, tmp_path: Path, model: Path) -> None:
    async with site(stores, tmp_path) as (it, way), worker_here(stores, model):
        settings = config(it, way, tmp_path)
        run = Run(settings)
        await run.until(lambda: run.agent.uplink.connected, "a connection")
        await run.until_captured(10)
        way.cut(Cut.RESET)
        await run.until_captured(30)
        assert run.spooled > 0
        captured = run.position
        await run.crash()
        run = Run(settings)
        await run.until(lambda: run.position > captured + 10, "capture goes on behind what there was")
        way.cut(Cut.NONE)
        await run.until(lambda: run.agent.uplink.connected and not run.agent.sessions[0].backlog, "it is drained")
        captured = run.position
        assert await run.stop()
        found = await closed(stores, captured)
        assert set(found.fates) <= {Fate.INFERRED, Fate.ENCODER}  # what was in the encoder's hands
        assert found.fates.get(Fate.ENCODER, 0) <= 2
        assert found.cursor.epoch == 1


async def test_what_waits_of_a_camera_taken_out_is_named_and_goes_when_it_is_put_back(
    stores: Stores, tmp_path: Path, model: Path
) -> None:
    async with site(stores, tmp_path) as (it, way), worker_here(stores, model):
        settings = config(it, way, tmp_path)
        run = Run(settings)
        await run.until(lambda: run.agent.uplink.connected, "a connection")
        way.cut(Cut.RESET)
        await run.until_captured(30)
        await run.until(lambda: run.spooled > 0, "something is spooled")
        await run.crash()
        with capture_logs() as said:
            other = Run(msgspec.structs.replace(settings, cameras=(CameraConfig("yard", "test:128x64@15"),)))
            await other.until_captured(1)
            await other.crash()
        [named] = [line for line in said if "not in the settings" in line["event"]]
        assert (named["camera"], named["log_level"]) == ("door", "warning")
        assert named["units"] > 0
        run = Run(settings)
        way.cut(Cut.NONE)
        await run.until(lambda: run.agent.uplink.connected and not run.agent.sessions[0].backlog, "it is drained")
        captured = run.position
        assert await run.stop()
        found = await closed(stores, captured)
        assert set(found.fates) <= {Fate.INFERRED, Fate.ENCODER}


async def test_a_restart_of_the_host_loses_the_ring_alone(stores: Stores, tmp_path: Path, model: Path) -> None:
    async with site(stores, tmp_path) as (it, way), worker_here(stores, model):
        settings = config(it, way, tmp_path)
        run = Run(settings)
        await run.until(lambda: run.agent.uplink.connected, "a connection")
        await run.until_captured(10)
        way.cut(Cut.RESET)
        await run.until_captured(40)
        captured, spooled = run.position, run.spooled
        assert spooled > 0
        assert run.agent.keeper is not None
        memory = run.agent.keeper.settings.memory
        assert memory is not None
        await run.crash()
        shutil.rmtree(memory)
        run = Run(settings)
        await run.until_captured(10)
        way.cut(Cut.NONE)
        await run.until(lambda: run.agent.uplink.connected and not run.agent.sessions[0].backlog, "it is drained")
        again = run.position
        assert await run.stop()
        found = await closed(stores, again + 10)
        assert found.cursor.epoch == 2
        assert set(found.fates) <= {Fate.INFERRED, Fate.SPOOL_LOST}
        assert found.fates.get(Fate.SPOOL_LOST, 0) < 20
        assert found.fates[Fate.INFERRED] >= captured + again - 20


async def test_an_agent_that_never_had_a_link_brings_everything(stores: Stores, tmp_path: Path, model: Path) -> None:
    """Its numberings have no epoch yet, neither that before the restart of the host nor that after it."""
    async with site(stores, tmp_path) as (it, way), worker_here(stores, model):
        way.cut(Cut.SILENT)
        settings = config(it, way, tmp_path)
        run = Run(settings)
        await run.until_captured(30)
        assert run.spooled > 0
        assert run.agent.keeper is not None
        memory = run.agent.keeper.settings.memory
        assert memory is not None
        await run.crash()
        shutil.rmtree(memory)
        run = Run(settings)
        await run.until_captured(15)
        way.cut(Cut.NONE)
        await run.until(lambda: run.agent.uplink.connected and not run.agent.sessions[0].backlog, "it is drained")
        again = run.position
        assert await run.stop()
        found = await closed(stores, again + 10)
        assert found.cursor.epoch == 2
        assert found.fates[Fate.INFERRED] >= again + 15
        assert set(found.fates) <= {Fate.INFERRED, Fate.SPOOL_LOST}


async def test_a_restored_disk_gives_no_number_twice(stores: Stores, tmp_path: Path, model: Path) -> None:
    async with site(stores, tmp_path) as (it, way), worker_here(stores, model):
        settings = config(it, way, tmp_path)
        run = Run(settings)
        await run.until(lambda: run.agent.uplink.connected, "a connection")
        way.cut(Cut.RESET)
        await run.until_captured(30)
        await run.crash()
        shutil.copytree(tmp_path / "spool", tmp_path / "image")
        run = Run(settings)
        way.cut(Cut.NONE)
        await run.until(lambda: run.agent.uplink.connected and not run.agent.sessions[0].backlog, "it is drained")
        await run.until_captured(10)
        assert await run.stop()
        first = await closed(stores, run.position)
        assert run.agent.keeper is not None
        memory = run.agent.keeper.settings.memory
        assert memory is not None
        shutil.rmtree(memory)
        shutil.rmtree(tmp_path / "spool")
        (tmp_path / "image").rename(tmp_path / "spool")
        run = Run(settings)
        await run.until(lambda: run.agent.uplink.connected and not run.agent.sessions[0].backlog, "it is open")
        await run.until_captured(10)
        assert await run.stop()
        found = await closed(stores, first.captured + 10)
        assert found.cursor.epoch == 2
        assert found.captured == first.captured + run.position
        assert found.fates[Fate.INFERRED] >= found.captured - 2


async def test_a_full_spool_drops_its_oldest_and_live_goes_on(stores: Stores, tmp_path: Path, model: Path) -> None:
    async with site(stores, tmp_path) as (it, way), worker_here(stores, model):
        run = Run(config(it, way, tmp_path, keyframe_s=0.5, spool={"bytes": 60_000}))
        await run.until(lambda: run.agent.uplink.connected, "a connection")
        way.cut(Cut.RESET)
        await run.until(lambda: run.agent.keeper is not None and run.agent.keeper.lanes[0].store.dropped > 10, "drops")
        assert run.spooled <= 60_000
        way.cut(Cut.NONE)
        await run.until(lambda: run.agent.uplink.connected and not run.agent.sessions[0].backlog, "it is drained")
        captured = run.position
        assert await run.stop()
        found = await closed(stores, captured)
        assert set(found.fates) == {Fate.INFERRED, Fate.SPOOL_FULL}


async def test_a_disk_that_is_full_for_a_moment_costs_no_frame(stores: Stores, tmp_path: Path, model: Path) -> None:
    """Live waits for it, as long as memory has room: what it goes on without would be lost."""
    async with site(stores, tmp_path) as (it, way), worker_here(stores, model):
        run = Run(config(it, way, tmp_path, source="test:320x180@15"))
        await run.until(lambda: run.agent.keeper is not None and run.agent.uplink.connected, "a connection")
        assert run.agent.keeper is not None
        lane = run.agent.keeper.lanes[0]
        way.cut(Cut.RESET)
        await run.until(lambda: lane.deferred_to > 0, "something is spooled")
        db = lane.store.database._db
        assert db is not None
        [(pages,)] = db.execute("PRAGMA page_count").fetchall()
        db.execute(f"PRAGMA max_page_count = {pages}")
        await run.until(lambda: lane.refused_s is not None, "the disk is full")
        way.cut(Cut.NONE)
        await run.until(lambda: run.agent.uplink.connected, "a connection again")
        await run.until_captured(20)
        db.execute("PRAGMA max_page_count = 100000")
        await run.until(lambda: not run.agent.sessions[0].backlog and lane.refused_s is None, "it is drained")
        captured = run.position
        assert await run.stop()
        found = await closed(stores, captured)
        assert set(found.fates) == {Fate.INFERRED}


async def test_a_disk_without_room_stops_nothing(
    stores: Stores, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "PATIENCE_S", 2.0)
    async with site(stores, tmp_path) as (it, way), worker_here(stores, model):
        run = Run(config(it, way, tmp_path, source="test:640x360@15"))
        await run.until(lambda: run.agent.keeper is not None and run.agent.uplink.connected, "a connection")
        assert run.agent.keeper is not None
        db = run.agent.keeper.lanes[0].store.database._db
        assert db is not None
        db.execute("PRAGMA max_page_count = 20")
        with capture_logs() as logs:
            way.cut(Cut.RESET)
            await run.until(lambda: bool(run.agent.keeper and run.agent.keeper.filling().failing), "it fails")
            await run.until_captured(20)
            way.cut(Cut.NONE)
            await run.until(lambda: run.agent.uplink.connected and not run.agent.sessions[0].backlog, "it is drained")
        assert [one for one in logs if one["event"].startswith("the spool does not work")]
        await run.stop()
        found = await closed(stores, run.position)
        assert set(found.fates) <= {Fate.INFERRED, Fate.SPOOL_FULL}
        assert found.fates[Fate.INFERRED] > found.captured * 0.5  # memory alone has room for some


@pytest.mark.timeout(300)
async def test_a_frame_store_without_room_fills_spools_and_empties_them(
    stores: Stores, tmp_path: Path, model: Path
) -> None:
    async with site(stores, tmp_path) as (it, way):
        with capture_logs() as logs:
            run = Run(config(it, way, tmp_path, source="test:320x180@20"))
            await run.until(lambda: run.agent.uplink.connected, "a connection")
            used = (await stores.frames.info("memory"))["used_memory"]
            limit = int((used + 300_000) / 0.9)  # a worker's connections will take a third of that
            await stores.frames.config_set("maxmemory", limit)
            await run.until(lambda: run.spooled > 20_000, "the spool fills", 90)
            assert run.agent.uplink.connected
            assert (await stores.frames.info("memory"))["used_memory"] <= limit
            async with worker_here(stores, model):
                await run.until(lambda: run.spooled == 0 and not run.agent.sessions[0].backlog, "it is drained", 60)
                captured = run.position
                assert await run.stop()
                found = await closed(stores, captured)
        assert set(found.fates) == {Fate.INFERRED}
        assert not [one for one in logs if one["log_level"] == "error"]


async def test_a_state_store_that_went_back_is_told_what_is_still_there(
    stores: Stores, tmp_path: Path, model: Path
) -> None:
    async with site(stores, tmp_path) as (it, way), worker_here(stores, model):
        run = Run(config(it, way, tmp_path))
        await run.until(lambda: run.agent.uplink.connected, "a connection")
        await run.until_captured(60)
        await stores.state.flushall()
        await stores.frames.flushall()
        # What is lost with them is found out by whoever writes or reads next; the meta goes as well.
        way.cut(Cut.RESET)
        await run.until_captured(15)
        from fishladder.runtime.store import open_stores

        async with open_stores(stores.urls, partitions=stores.partitions):
            way.cut(Cut.NONE)
            await run.until(lambda: run.agent.uplink.connected and not run.agent.sessions[0].backlog, "it is drained")
            assert await run.stop()
            found = await closed(stores, run.position)
        assert set(found.fates) <= {Fate.INFERRED, Fate.STATE_LOST}
        assert found.fates[Fate.STATE_LOST] > 0
        assert found.captured == run.position


async def test_two_agents_do_not_share_a_camera(stores: Stores, tmp_path: Path) -> None:
    async with site(stores, tmp_path) as (it, way):
        settings = config(it, way, tmp_path, drain_s=0.2)
        run = Run(settings)
        await run.until(lambda: run.agent.keeper is not None, "it runs")
        with pytest.raises(ConfigError, match="another agent on this host sends camera door"):
            await Agent(settings).run(asyncio.Event())
        await run.stop()


async def test_the_loop_is_never_held_up_by_the_disk(stores: Stores, tmp_path: Path) -> None:
    """SQLite works in a thread: one that takes half a second for each write delays nobody."""
    async with site(stores, tmp_path) as (it, way):
        run = Run(config(it, way, tmp_path, drain_s=0.2))
        await run.until(lambda: run.agent.keeper is not None and run.agent.uplink.connected, "a connection")
        assert run.agent.keeper is not None
        lane = run.agent.keeper.lanes[0]
        put, calls = lane.store.put, 0

        def slowly(*args: Any) -> bool:
            nonlocal calls
            calls += 1
            time.sleep(0.5)
            return put(*args)

        lane.store.put = slowly  # type: ignore[method-assign]
        way.cut(Cut.RESET)
        worst_s, before_s = 0.0, time.monotonic()
        while calls < 3:
            await asyncio.sleep(0.01)
            now_s = time.monotonic()
            worst_s, before_s = max(worst_s, now_s - before_s), now_s
        assert worst_s < 0.4
        await run.stop()
