"""What every way in (uplink, WHIP) works with: sessions of cameras, the frame log, credit, positions and the news from
workers. It runs the loops behind them; each is begun again by itself when a store fails.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from fishladder.gateway import metrics
from fishladder.gateway.asking import asking
from fishladder.gateway.backlog import Backlog
from fishladder.gateway.committed import CommittedFeed
from fishladder.gateway.credit import CreditPool
from fishladder.gateway.framelink import FrameLink
from fishladder.gateway.framelog import FrameLog
from fishladder.gateway.limits import Limits
from fishladder.gateway.open import Opened, open_camera
from fishladder.gateway.owners import OwnerWatch
from fishladder.gateway.positions import Positions
from fishladder.gateway.quotas import Quotas
from fishladder.gateway.room import RoomWatch
from fishladder.gateway.session import LogOwner, LogSession
from fishladder.runtime.lifecycle import Backoff, supervise
from fishladder.runtime.store import Stores
from fishladder.wire.errors import StoreUnavailable
from fishladder.wire.ids import site_of
from fishladder.wire.messages import CameraHello, Policy, Refusal

log = structlog.get_logger(__name__)

MEASURE_S = 0.5
#: A pair of stores takes so many openings at a time; the rest waits its turn.
_OPENING_AT_ONCE = 32


class Intake:
    """One gateway process's hold on the stores. `assumed_bytes` stands for a frame store's limit where it has none."""

    def __init__(
        self,
        stores: Stores,
        *,
        default_policy: Policy,
        assumed_bytes: int,
        limits: Limits,
        gateway: str = "",
    ) -> None:
        self.stores = stores
        self.default_policy = default_policy
        self.sessions: dict[str, LogSession] = {}
        self.frames = FrameLog(FrameLink(stores.urls.frames))
        self.credit = CreditPool()
        self.limits = limits
        self.quotas = Quotas(limits, time.monotonic())
        self.room = RoomWatch()
        self.positions = Positions(stores.state, gateway)
        self.backlog = Backlog(stores, self.frames.fence)
        self.feed = CommittedFeed(stores.state, self.sessions, self.backlog.settled)
        self.owners = OwnerWatch(stores.frames, self.sessions, self.frames.fence)
        self._assumed_bytes = assumed_bytes
        self._warned = False
        self._opening = asyncio.Semaphore(_OPENING_AT_ONCE)

    async def open(
        self, owner: LogOwner, hello: CameraHello, *, boot: str, number: int, remote: bool = True
    ) -> Opened | Refusal:
        """Open a camera for its sender. A session this process had for it ends; its owner is told, if he is another.
        `remote`: it is numbered, and remembered, on its camera host.
        """
        if not hello.epoch:
            meter = self.quotas.epochs(hello.camera)
            meter.spend(1)
            if meter.over:
                why = f"{hello.camera}: it has begun {meter.most:.0f} epochs in no time, without a memory of any"
                return Refusal(hello.channel, "limit", why, meter.wait_s + MEASURE_S)
        async with self._opening:
            outcome = await open_camera(
                self.stores,
                owner,
                hello,
                boot=boot,
                number=number,
                default_policy=self.default_policy,
                most_cameras=self.limits.of(site_of(hello.camera)).cameras_per_site,
                remote=remote,
            )
        if isinstance(outcome, Opened):
            before = self.sessions.get(hello.camera)
            self.sessions[hello.camera] = outcome.session
            if before is not None:
                self.frames.drop(before)
                if before.owner is not owner:
                    before.owner.fenced(before, "the camera was opened anew")
        return outcome

    def close(self, session: LogSession) -> None:
        """Write nothing more for a session. Idempotent."""
        self.frames.drop(session)
        self.backlog.close(session)
        if self.sessions.get(session.camera) is session:
            del self.sessions[session.camera]

    def retire(self, owner: LogOwner, camera: str) -> None:
        """An owner has gone. What it gave is still written; nobody is told any more."""
        session = self.sessions.get(camera)
        if session is not None and session.owner is owner:
            del self.sessions[camera]
            self.backlog.close(session)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the loops going while the block runs; at its end what was taken is written, as far as possible."""
        loops = {
            "frame log": self.frames.run,
            "news from workers": self.feed.listen,
            "cursors": self.feed.poll,
            "owners": self.owners.run,
            "open sets": self.backlog.look,
            "backfill": self.backlog.write,
            "positions": self.positions.run,
            "credit": self._measure,
            "quotas": self._refill,
        }
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(supervise(name, loop, backoff=Backoff(0.2, 5.0)), name=name)
                for name, loop in loops.items()
            ]
            try:
                yield
                await self.frames.flushed(3.0)
                with contextlib.suppress(StoreUnavailable, TimeoutError):
                    async with asyncio.timeout(2.0):
                        await self.positions.write()
            finally:
                for task in tasks:
                    task.cancel()
                self.frames.link.close()

    async def _refill(self) -> None:
        while True:
            self.quotas.tick(time.monotonic())
            await asyncio.sleep(MEASURE_S)

    async def _measure(self) -> None:
        """Tell the credit pool of the frame store's memory. Raises `StoreUnavailable`."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                async with asking(self.stores.frames, "frame store, measuring its memory"):
                    memory = await self.stores.frames.info("memory")
            except StoreUnavailable:
                self.credit.closed = True
                raise
            limit = int(memory.get("maxmemory", 0))
            if not limit:
                limit = self._assumed_bytes
                if not self._warned:
                    self._warned = True
                    log.warning("the frame store has no memory limit: set maxmemory", assumed_bytes=limit)
            used = int(memory["used_memory"])
            queued = self.frames.queued_bytes + self.backlog.queued_bytes
            self.credit.measured(limit_bytes=limit, used_bytes=used, queued_bytes=queued)
            self.credit.closed = not self.frames.taking
            waiting = self.credit.waiting if self.frames.link.connected else 0  # else it is not room that lacks
            self.room.look(waiting, clock(), used_bytes=used, limit_bytes=limit)
            metrics.frames_used_bytes.set(used)
            metrics.frames_limit_bytes.set(limit)
            metrics.credit_bytes.set(self.credit.outstanding)
            await asyncio.sleep(MEASURE_S)
