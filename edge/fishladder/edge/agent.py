"""The edge agent: one feed for each camera and one uplink, side by side, so that a camera's trouble stays its own.
It ends when all cameras have and everything they captured is committed, or, when told to stop, after a time to
drain.
"""

import asyncio
from contextlib import suppress
from typing import Any

import structlog

from fishladder.edge.clock import Clock, SystemClock
from fishladder.edge.config import EdgeConfig
from fishladder.edge.feed import Feed
from fishladder.edge.ring import Ring
from fishladder.edge.session import Session
from fishladder.edge.uplink_stream import StreamUplink
from fishladder.runtime.admin import Health
from fishladder.wire.fates import Fate
from fishladder.wire.messages import Policy

log = structlog.get_logger(__name__)

_REPORT_S = 1.0


class Agent:
    """`run` once. Give `clock` to make this host's clock lie."""

    def __init__(self, config: EdgeConfig, clock: Clock | None = None) -> None:
        self.config = config
        self._clock = clock or SystemClock()
        self.sessions = [
            Session(f"{config.site}/{camera.name}", channel, Ring(config.ring_bytes))
            for channel, camera in enumerate(config.cameras)
        ]
        self.uplink = StreamUplink(
            config.address,
            self.sessions,
            self._clock,
            on_policy=self._obey,
            on_keyframe=lambda channel: self.feeds[channel].ask_keyframe(),
        )
        self.feeds = [
            Feed(
                session.camera,
                config.capture(camera),
                session,
                self._clock,
                self.uplink.wake,
                once=config.once,
                stall_s=config.stall_s,
            )
            for session, camera in zip(self.sessions, config.cameras, strict=True)
        ]

    def _obey(self, channel: int, policy: Policy) -> None:
        self.feeds[channel].obey(policy)

    def health(self) -> Health:
        if not self.uplink.connected:
            return Health(False, f"no uplink to {self.config.gateway}")
        silent = [feed.name for feed in self.feeds if feed.opened is None]
        return Health(True, f"waiting for {', '.join(silent)}" if silent else "ok")

    async def run(self, stopping: asyncio.Event) -> bool:
        """Returns whether everything captured was committed."""
        background: list[asyncio.Task[None]] = [
            asyncio.create_task(self.uplink.run()),
            asyncio.create_task(self._report()),
        ]
        cameras = asyncio.create_task(self._capture(stopping))
        done = asyncio.create_task(self._settled(cameras))
        stop: asyncio.Task[Any] = asyncio.create_task(stopping.wait())
        try:
            tasks: set[asyncio.Task[Any]] = {done, stop, *background}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not done.done() and stopping.is_set():
                await asyncio.wait(
                    {done, *background}, timeout=self.config.drain_s, return_when=asyncio.FIRST_COMPLETED
                )
            for task in background:
                if task.done():  # they run until cancelled: this one has a bug
                    task.result()
        finally:
            for task in (*background, cameras, done, stop):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*background, cameras, done, stop, return_exceptions=True)
        left = {session.camera: session.pending for session in self.sessions if session.pending}
        if left:
            log.warning("ended with frames not committed", pending=left)
        return not left

    async def _capture(self, stopping: asyncio.Event) -> None:
        """All cameras, to their ends; `stopping` ends them."""

        async def stop() -> None:
            await stopping.wait()
            for feed in self.feeds:
                feed.stop()

        stopper = asyncio.create_task(stop())
        try:
            async with asyncio.TaskGroup() as group:
                for feed in self.feeds:
                    group.create_task(feed.run(), name=feed.name)
        finally:
            stopper.cancel()

    async def _settled(self, cameras: asyncio.Task[None]) -> None:
        await cameras
        self.uplink.flush()
        await self.uplink.settled()

    async def _report(self) -> None:
        """Carry what the pure parts counted into the metrics, once a second; say once what was dropped meanwhile."""
        dropped = [0] * len(self.sessions)
        while True:
            await asyncio.sleep(_REPORT_S)
            for index, (session, feed) in enumerate(zip(self.sessions, self.feeds, strict=True)):
                counts = feed.counts
                counts.ring.set(session.ring.bytes)
                counts.pending.set(session.pending)
                if (new := session.spool_full - dropped[index]) > 0:
                    dropped[index] += new
                    counts.not_sent(Fate.SPOOL_FULL).inc(new)
                    log.warning("no room left: frames dropped", camera=session.camera, dropped=new)
