"""A gateway within the test's own process, on real stores and a free port, and tokens for it."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from support.stores import wait_until

from fishladder.gateway.config import GatewaySettings
from fishladder.gateway.server import Server
from fishladder.gateway.session import LogSession
from fishladder.gateway.tokens import KeyFile, issue
from fishladder.runtime import commits, leases
from fishladder.runtime.ledger import Ledger, read_ledger
from fishladder.runtime.store import Stores, StoreUrls
from fishladder.wire import keys
from fishladder.wire.entry import EpochStart, LogEntry, read_entry
from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import Position, partition_of
from fishladder.wire.messages import Policy
from fishladder.wire.unit import Range


@dataclass
class Gateway:
    server: Server
    settings: GatewaySettings
    stopping: asyncio.Event
    task: "asyncio.Task[None]"

    @property
    def url(self) -> str:
        return f"{'https' if self.settings.tls_cert else 'http'}://127.0.0.1:{self.server.port}"

    def token(self, site: str, **claims: Any) -> str:
        told = {"subject": site, "cameras": ["*"], "scope": ["publish"], "lifetime_s": 3600, "now": time.time()}
        return issue(KeyFile(self.settings.keys_path), site=site, **(told | claims))

    async def stop(self) -> None:
        self.stopping.set()
        await asyncio.wait_for(self.task, 15)


@asynccontextmanager
async def gateway(place: Path, urls: StoreUrls, **settings: Any) -> AsyncIterator[Gateway]:
    """Run a gateway while the block runs; it is drained at its end. `settings` as in the settings file."""
    told = {"port": 0, "metrics_port": 0, "data_dir": str(place)} | settings
    made = msgspec.convert(told, GatewaySettings)
    made.check()
    stopping = asyncio.Event()
    server = Server(made, urls)
    it = Gateway(server, made, stopping, asyncio.create_task(server.run(stopping)))
    try:
        await wait_until(lambda: server.health.ready or it.task.done(), what="the gateway is ready")
        if it.task.done():
            await it.task
        yield it
    finally:
        await it.stop()


class Nobody:
    """An owner of log sessions that is told nothing."""

    def logged(self, session: LogSession) -> None:
        pass

    def committed(self, session: LogSession) -> None:
        pass

    def fenced(self, session: LogSession, reason: str) -> None:
        pass

    def keyframe_wanted(self, session: LogSession) -> None:
        pass

    def policy_changed(self, session: LogSession, policy: Policy) -> None:
        pass


async def logged(stores: Stores, camera: str) -> list[LogEntry]:
    """A camera's whole live log."""
    entries = await stores.frames.xrange(keys.log(partition_of(camera, stores.partitions), camera))
    return [read_entry(entry_id, fields) for entry_id, fields in entries]


async def settle(stores: Stores, camera: str) -> Position:
    """Commit everything that is logged, as a worker that infers every unit would; returns the cursor."""
    partition, token = partition_of(camera, stores.partitions), secrets.token_hex(8)
    assert await leases.acquire_lease(stores.state, partition, token, 60_000)
    cursor = await commits.read_cursor(stores.state, partition, camera)
    for entry in await logged(stores, camera):
        if entry.position <= cursor:
            continue
        if isinstance(entry, EpochStart):
            runs = []
        elif isinstance(entry, Range):
            runs = [Run(entry.fate, cursor.seq + 1, entry.last)]
        else:
            runs = [Run(Fate.INFERRED, cursor.seq + 1, cursor.seq + 1)]
        done = await commits.commit(
            stores.state,
            partition,
            camera,
            token=token,
            start=cursor,
            to=entry.position,
            runs=runs,
            keep_bytes=1_000_000,
            keep_ms=1_000_000,
        )
        assert done == commits.Committed(), (done, entry)
        cursor = entry.position
    await stores.state.publish(keys.committed(partition), msgspec.json.encode([(camera, *cursor)]))
    await leases.release_lease(stores.state, partition, token)
    return cursor


async def ledger(stores: Stores, camera: str) -> Ledger:
    partition = partition_of(camera, stores.partitions)
    return await read_ledger(stores.state, partition, camera, now_us=time.time_ns() // 1000)
