"""Rolling restarts: a gateway, or a worker, is replaced by another that is started before it is stopped, one after the
other, while cameras send. Each camera moves once, and nothing of it is lost.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

from support.gateways import gateway, ledger
from support.link import link
from support.models import strips_model
from support.stores import wait_until
from support.workers import worker_here

from fishladder.edge.agent import Agent
from fishladder.edge.config import CameraConfig, EdgeConfig
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.ids import partition_of
from fishladder.wire.result import decode

SITES = ("north", "south")
CAMERAS = tuple(f"{site}/cam{index}" for site in SITES for index in range(3))


@asynccontextmanager
async def agent(url: str, token: str, site: str) -> AsyncIterator[None]:
    cameras = tuple(CameraConfig(name.partition("/")[2], "test:64x48@8") for name in CAMERAS if name.startswith(site))
    it = Agent(EdgeConfig(gateway=url, site=site, token=token, cameras=cameras, proxy="none", drain_s=60))
    stopping = asyncio.Event()
    task = asyncio.create_task(it.run(stopping))
    try:
        yield
        stopping.set()
        assert await asyncio.wait_for(task, 70), "everything captured was committed"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def hellos(stores: Stores, site: str) -> list[int]:
    """How often each camera of a site was opened."""
    names = [name for name in CAMERAS if name.startswith(site)]
    found = [
        await stores.state.hget(keys.camera(partition_of(name, stores.partitions), name), "hello") for name in names
    ]
    return [int(it or 0) for it in found]


async def go_on(stores: Stores) -> None:
    """Wait until every camera has got further."""
    before = {name: (await ledger(stores, name)).settled for name in CAMERAS}

    async def further() -> bool:
        return all([(await ledger(stores, name)).settled > before[name] + 5 for name in CAMERAS])

    await wait_until(further, 40, "every camera goes on")


async def nothing_lost(stores: Stores) -> None:
    for name in CAMERAS:
        found = await ledger(stores, name)
        assert found.closes
        assert (set(found.fates), found.pending) == ({Fate.INFERRED}, 0)


async def test_a_rolling_restart_of_gateways_moves_each_camera_once(stores: Stores, tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    async with AsyncExitStack() as stack:
        old = [AsyncExitStack() for _ in SITES]
        first = [await it.enter_async_context(gateway(tmp_path / "data", stores.urls)) for it in old]
        for it in old:
            stack.push_async_callback(it.aclose)
        await stack.enter_async_context(worker_here(stores, model))
        ways = [await stack.enter_async_context(link(it.server.port)) for it in first]
        agents = await stack.enter_async_context(AsyncExitStack())
        for way, site in zip(ways, SITES, strict=True):
            await agents.enter_async_context(agent(way.url, first[0].token(site), site))
        await go_on(stores)
        before = [await hellos(stores, site) for site in SITES]
        for index, way in enumerate(ways):
            new = await stack.enter_async_context(gateway(tmp_path / "data", stores.urls))
            way.to_port = new.server.port  # as a balancer does
            await old[index].aclose()
            await go_on(stores)
            moves = [
                [now - then for now, then in zip(await hellos(stores, site), was, strict=True)]
                for site, was in zip(SITES, before, strict=True)
            ]
            assert moves == [[1] * 3 if position <= index else [0] * 3 for position in range(len(SITES))]
        await agents.aclose()
        await nothing_lost(stores)


async def test_a_rolling_restart_of_workers_moves_each_camera_once(stores: Stores, tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")

    async def heard_of(count: int) -> bool:
        return len(await stores.state.hgetall(keys.WORKERS)) == count

    async with AsyncExitStack() as stack:
        it = await stack.enter_async_context(gateway(tmp_path / "data", stores.urls))
        old = [AsyncExitStack(), AsyncExitStack()]
        for worker in old:
            await worker.enter_async_context(worker_here(stores, model))
            stack.push_async_callback(worker.aclose)
        await wait_until(lambda: heard_of(2), 20, "both workers are there")
        agents = await stack.enter_async_context(AsyncExitStack())
        for site in SITES:
            await agents.enter_async_context(agent(it.url, it.token(site), site))
        await go_on(stores)
        for worker in old:
            await stack.enter_async_context(worker_here(stores, model))
            await wait_until(lambda: heard_of(3), 20, "the new worker is there")
            await worker.aclose()
            await go_on(stores)
        await agents.aclose()
        await nothing_lost(stores)
        for name in CAMERAS:
            entries = await stores.state.xrange(keys.results(partition_of(name, stores.partitions), name))
            workers = [decode(fields[b"r"]).worker for _, fields in entries]
            moves = sum(before != after for before, after in pairwise(workers))
            assert moves == 1, f"{name} went {workers}"
