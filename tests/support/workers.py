"""Workers for tests: in this process, or as processes that can be killed; and waiting until cameras are settled."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.fleet import Account, Fleet
from support.logged import Producer
from support.stores import wait_until

from fishladder.inference.config import WorkerSettings
from fishladder.inference.model import load_detector
from fishladder.inference.worker import run_worker
from fishladder.runtime.ledger import Ledger, read_ledger
from fishladder.runtime.store import Stores
from fishladder.wire.ids import Position


@asynccontextmanager
async def worker_here(stores: Stores, model: Path, **settings: Any) -> AsyncIterator[None]:
    """A worker in this process; told to stop, and waited for, when the block ends."""
    stopping = asyncio.Event()
    chosen = WorkerSettings(metrics_port=0, provider="cpu", **settings)
    task = asyncio.create_task(
        run_worker(
            chosen,
            load_detector(model, provider="cpu"),
            redis=stores.urls.state,
            frames=stores.urls.frames,
            stopping=stopping,
        )
    )
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(task, 15)


@asynccontextmanager
async def worker_process(
    stores: Stores, model: Path, log: Path, *flags: str, env: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`fishladder worker run` as an operator starts it; killed when the block ends, unless it has ended."""
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fishladder.runtime", "worker", "run", "--model", str(model)),
            *("--processes", "1", "--metrics-port", "0", "--provider", "cpu"),
            *("--redis", stores.urls.state, "--frames", stores.urls.frames, *flags),
            stdout=out,
            stderr=out,
            env={**os.environ, **(env or {})},
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ledger_of(producer: Producer) -> Ledger:
    return await read_ledger(producer.stores.state, producer.partition, producer.camera, now_us=0)


async def settled(
    producer: Producer, timeout: float = 20.0, meanwhile: Callable[[], Awaitable[None]] | None = None
) -> Account:
    """Wait until all a producer captured is committed; its account, recounted from the results. The ledger closes."""

    async def at_end() -> bool:
        if meanwhile:
            await meanwhile()
        ledger = await ledger_of(producer)
        return ledger.cursor == Position(producer.epoch, producer.position) and not ledger.deferred

    await wait_until(at_end, timeout, f"{producer.camera} is settled up to {producer.position}")
    await producer.report()
    ledger = await ledger_of(producer)
    assert ledger.closes, ledger
    assert ledger.pending == 0, ledger
    return await Fleet(Path()).account(producer.stores, producer.camera)
