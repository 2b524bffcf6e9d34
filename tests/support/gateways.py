"""A gateway within the test's own process, on real stores and a free port, and tokens for it."""

import asyncio
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
from fishladder.gateway.tokens import KeyFile, issue
from fishladder.runtime.store import Stores, StoreUrls
from fishladder.wire import keys
from fishladder.wire.entry import LogEntry, read_entry
from fishladder.wire.ids import partition_of


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


async def logged(stores: Stores, camera: str) -> list[LogEntry]:
    """A camera's whole live log."""
    entries = await stores.frames.xrange(keys.log(partition_of(camera, stores.partitions), camera))
    return [read_entry(entry_id, fields) for entry_id, fields in entries]
