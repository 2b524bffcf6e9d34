"""Several workers: sharing cameras, taking over from one that was killed, handing over in good order."""

import asyncio
import random
from collections import deque
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from support import clips
from support.logged import Producer
from support.offline import offline
from support.stores import wait_until
from support.workers import ledger_of, settled, worker_here, worker_process

from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.reports import Heartbeat
from fishladder.wire.unit import Codec

LEASE_MS = 500
#: Where no lease may run out by itself, however slow the machine.
SLOW_LEASE_MS = 10_000


async def heard(stores: Stores) -> dict[str, Heartbeat]:
    beats = await stores.state.hgetall(keys.WORKERS)
    return {name.decode(): msgspec.json.decode(beat, type=Heartbeat) for name, beat in beats.items()}


async def holders(stores: Stores) -> list[bytes | None]:
    return [await stores.state.get(keys.lease(partition)) for partition in range(stores.partitions)]


async def test_one_of_two_workers_is_killed_again_and_again(stores: Stores, model: Path, tmp_path: Path) -> None:
    """Always the one that has been at work for longer, at any moment; the other goes on with the same exactness."""
    rng = random.Random(11)
    sources = {"site/plain": clips.plain(), "site/b": clips.b_frames(), "site/refresh": clips.intra_refresh()}
    laps = 5
    producers = {camera: Producer(stores, camera) for camera in sources}
    for camera, clip in sources.items():
        for lap in range(laps):
            producers[camera].capture(clip, from_us=lap * len(clip) * 40_000)
    last = max(producer.position for producer in producers.values())

    async def film() -> None:
        for upto in range(0, last + 1, 4):
            for producer in producers.values():
                await producer.send(min(upto, producer.position))
            await asyncio.sleep(0.12)

    async def is_heard(pid: int) -> bool:
        return any(beat.pid == pid for beat in (await heard(stores)).values())

    kills = 0
    at_work: set[str] = set()
    filming = asyncio.create_task(film())
    async with AsyncExitStack() as stack:
        workers: deque[asyncio.subprocess.Process] = deque()
        while not filming.done() or len(workers) < 2:
            process = await stack.enter_async_context(
                worker_process(stores, model, tmp_path / "log", "--lease-ms", str(LEASE_MS))
            )
            workers.append(process)
            await wait_until(lambda pid=process.pid: is_heard(pid), 30, "the worker takes part")
            if len(workers) > 2:
                await asyncio.sleep(rng.uniform(0, 0.8))
                workers.popleft().kill()
                kills += 1
        await filming
        for camera, clip in sources.items():
            account = await settled(producers[camera], 30)
            whole = offline(model, Codec.H264, clip)
            assert set(account.fates.values()) == {Fate.INFERRED}
            assert account.frames() == {
                (1, seq + lap * len(clip)): found for seq, found in whole.items() for lap in range(laps)
            }
            at_work |= {one.worker for one in account.results}
    assert kills >= 2
    assert len(at_work) > 2


@pytest.mark.parametrize("cut", [7, 38])
async def test_a_worker_dies_with_work_in_hand(stores: Stores, model: Path, tmp_path: Path, cut: int) -> None:
    """Killed as soon as it has committed so much; the next begins at the clean point once the lease has run out."""
    clip = clips.b_frames()
    producer = Producer(stores, "site/camera")
    producer.capture(clip)
    await producer.send()
    log = tmp_path / "worker.log"

    async def begun() -> bool:
        # On a busy machine few commits hold much.
        commits = await stores.state.xlen(keys.results(producer.partition, producer.camera))
        return commits > cut // 8 or (await ledger_of(producer)).settled >= cut

    async with worker_process(stores, model, log, "--lease-ms", str(LEASE_MS)) as process:
        await wait_until(begun, 30, "the worker has committed something")
        process.kill()
    async with worker_here(stores, model, lease_ms=LEASE_MS):
        account = await settled(producer)
    assert account.frames() == {(1, seq): found for seq, found in offline(model, Codec.H264, clip).items()}


async def test_a_worker_that_joins_gets_its_share_and_gives_it_back(
    stores: Stores, model: Path, tmp_path: Path
) -> None:
    producers = [Producer(stores, f"site/camera{index}") for index in range(8)]
    clip = clips.b_frames()
    for producer in producers:
        producer.capture(clip)
        await producer.send(20)

    async def both() -> bool:
        held = await holders(stores)
        return None not in held and len(await heard(stores)) == 2 and len(set(tokens) & set(held)) == 2

    async with worker_here(stores, model, lease_ms=SLOW_LEASE_MS):
        await wait_until(lambda: all_held(stores), 30, "one worker holds all")
        tokens = await holders(stores)
        async with worker_process(stores, model, tmp_path / "log", "--lease-ms", str(SLOW_LEASE_MS)) as process:
            await wait_until(both, 60, "each of two workers holds half")
            for producer in producers:
                await producer.send(40)
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 15) == 0, (tmp_path / "log").read_text()
            assert len(await heard(stores)) == 1, "it has signed off"
        await wait_until(lambda: all_held(stores), 30, "one worker holds all again")
        for producer in producers:
            await producer.send()
        for producer in producers:
            account = await settled(producer)
            assert account.frames() == {(1, seq): found for seq, found in offline(model, Codec.H264, clip).items()}
    assert await holders(stores) == [None] * stores.partitions
    assert await heard(stores) == {}


async def all_held(stores: Stores) -> bool:
    return None not in await holders(stores)
