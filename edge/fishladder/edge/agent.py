"""The edge agent: one feed for each camera and one uplink, side by side, so that a camera's trouble stays its own. It
ends when all cameras have and everything they captured is committed, or, when told to stop, after a time to drain.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Protocol

import msgspec
import structlog

from fishladder.edge.capture import CaptureSettings
from fishladder.edge.changes import Changes, needs_restart
from fishladder.edge.clock import Clock, SystemClock
from fishladder.edge.config import EdgeConfig, phase_of
from fishladder.edge.feed import Feed, Sink
from fishladder.edge.limits.limiter import Limiter
from fishladder.edge.rate.profile import Profile
from fishladder.edge.reporting import Reporter
from fishladder.edge.ring import Ring
from fishladder.edge.session import Session
from fishladder.edge.spool.keeper import Keeper
from fishladder.edge.spool.settings import find, place, token_place
from fishladder.edge.uplink_stream import StreamUplink
from fishladder.runtime.admin import Health
from fishladder.wire.errors import ConfigError
from fishladder.wire.messages import Policy

log = structlog.get_logger(__name__)


class Uplink(Protocol):
    """Carries all cameras' pictures away. `run` never returns; `settled` returns when nothing is left to carry."""

    limiter: Limiter

    @property
    def connected(self) -> bool: ...

    async def run(self) -> None: ...

    def wake(self) -> None: ...

    def flush(self) -> None: ...

    async def settled(self) -> None: ...


class Agent:
    """`run` once. Give `clock` to make this host's clock lie."""

    def __init__(self, config: EdgeConfig, clock: Clock | None = None) -> None:
        self.config = config
        self._clock = clock or SystemClock()
        self.sessions: list[Session] = []  #: of the `stream` uplink
        self.keeper: Keeper | None = None  #: while it runs, if there is a spool
        self._reporter: Reporter | None = None
        self._capturing: asyncio.TaskGroup | None = None  #: while cameras are captured
        self.uplink: Uplink
        sinks = self._whip() if config.uplink == "whip" else self._stream()
        #: By channel. Cameras that are removed keep their place: it is theirs again if they come back.
        self.feeds = [
            self._feed(camera.name, config.capture(camera), sink)
            for sink, camera in zip(sinks, config.cameras, strict=True)
        ]
        self._take(_profiles(config))

    def _feed(self, camera: str, settings: CaptureSettings, sink: Sink) -> Feed:
        config = self.config
        name = f"{config.site}/{camera}"
        return Feed(name, settings, sink, self._clock, self.uplink.wake, once=config.once, stall_s=config.stall_s)

    def _take(self, profiles: Mapping[str, Profile | None]) -> None:
        """What ladders go by, which no camera need be opened anew for."""
        for feed in self.feeds:
            feed.profile = profiles.get(feed.name)

    def _stream(self) -> Sequence[Sink]:
        config = self.config
        self.sessions = [
            Session(f"{config.site}/{camera.name}", channel, Ring(config.ring_bytes))
            for channel, camera in enumerate(config.cameras)
        ]
        self.uplink = StreamUplink(
            config.address,
            self.sessions,
            self._clock,
            on_policy=self._obey,
            on_keyframe=self._ask_keyframe,
            on_rate=lambda channel, order: self.feeds[channel].limit(order),
            wish=lambda channel, weight: self.feeds[channel].wish(weight),
            report=lambda channel: self.feeds[channel].report(channel),
            sending=lambda channel: self.feeds[channel].sending,
            agent=f"fishladder/{version('fishladder')}",
            limits=config.limits,
            state=place(config.spool, config.site, config.gateway, os.environ),
            tokens=token_place(config.spool, config.site, config.gateway, os.environ),
        )
        return self.sessions

    def _whip(self) -> Sequence[Sink]:
        from fishladder.edge.uplink_whip import WhipCamera, WhipUplink  # aiortc is slow to import

        config = self.config
        where = [config.whip(camera) for camera in config.cameras]
        cameras = [
            WhipCamera(f"{config.site}/{camera.name}", url)
            for camera, (_, url) in zip(config.cameras, where, strict=True)
        ]
        self.uplink = WhipUplink(
            [to for to, _ in where],
            cameras,
            self._clock,
            on_keyframe=self._ask_keyframe,
            on_rate=lambda index, order: self.feeds[index].limit(order),
            wish=lambda index: self.feeds[index].wish(config.cameras[index].weight),
            limits=config.limits,
            state=place(config.spool, config.site, config.gateway, os.environ),
        )
        return cameras

    def _obey(self, channel: int, policy: Policy) -> None:
        self.feeds[channel].obey(policy)

    def _ask_keyframe(self, channel: int) -> None:
        self.feeds[channel].ask_keyframe()

    def health(self) -> Health:
        standing = self._reporter.standing() if self._reporter is not None else ""
        if not self.uplink.connected:
            return Health(False, f"no uplink to {self.config.gateway}{': ' if standing else ''}{standing}")
        silent = [feed.name for feed in self.feeds if feed.opened is None and not feed.removed]
        return Health(True, f"waiting for {', '.join(silent)}" if silent else "ok")

    async def run(self, stopping: asyncio.Event) -> bool:
        """Returns whether all is well: everything captured was carried away, and no camera ended with an error.

        Raises `ConfigError` if the spool cannot be used.
        """
        self.keeper = keeper = self._open_spool()
        self._reporter = Reporter(self.feeds, self.sessions, self.uplink, keeper)
        try:
            return await self._run(stopping)
        finally:
            self.uplink.limiter.close()
            if keeper is not None:
                await keeper.close()

    def _open_spool(self) -> Keeper | None:
        """A spool for the `stream` uplink; what goes out by WHIP is sent at once or never."""
        config = self.config
        spool = find(config.spool, config.site, config.gateway, os.environ) if self.sessions else None
        if spool is None or not isinstance(self.uplink, StreamUplink):
            return None
        uplink = self.uplink
        keeper = Keeper(spool, self.sessions, self._clock, uplink.wake)
        uplink.remember(keeper.lanes, keeper.boot, keeper.hellos)
        uplink.spool = keeper.filling
        return keeper

    async def _run(self, stopping: asyncio.Event) -> bool:
        assert self._reporter is not None
        background: list[asyncio.Task[None]] = [
            asyncio.create_task(self.uplink.run()),
            asyncio.create_task(self.uplink.limiter.run()),
            asyncio.create_task(self._reporter.run()),
        ]
        if self.keeper is not None:
            background.append(asyncio.create_task(self.keeper.run()))
        cameras = asyncio.create_task(self._capture(stopping))
        done = asyncio.create_task(self._settled(cameras))
        stop: asyncio.Task[Any] = asyncio.create_task(stopping.wait())
        try:
            tasks: set[asyncio.Task[Any]] = {done, stop, *background}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not done.done() and stopping.is_set():
                tasks.discard(stop)
                await asyncio.wait(tasks, timeout=self.config.drain_s, return_when=asyncio.FIRST_COMPLETED)
            for task in (done, *background):
                if task.done():  # only `done` ends without a bug
                    task.result()
        finally:
            for task in (*background, cameras, done, stop):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*background, cameras, done, stop, return_exceptions=True)
        left = {feed.name: count for feed in self.feeds if (count := feed.sink.pending + feed.sink.abandoned)}
        if left:
            log.warning("ended with frames not committed", pending=left)
        return not left and not any(feed.child.failed for feed in self.feeds)

    async def _capture(self, stopping: asyncio.Event) -> None:
        """All cameras, to their ends; `stopping` ends them."""

        async def stop() -> None:
            await stopping.wait()
            for feed in self.feeds:
                feed.stop()

        stopper = asyncio.create_task(stop())
        try:
            async with asyncio.TaskGroup() as group:
                self._capturing = group
                for feed in self.feeds:
                    group.create_task(feed.run(), name=feed.name)
        finally:
            self._capturing = None
            stopper.cancel()

    def reload(self, config: EdgeConfig) -> None:
        """Take cameras in, out, or by other settings; those that are as they were do not notice. Other limits hold at
        once.

        Raises `ConfigError`, and then nothing has changed.
        """
        group, site = self._capturing, self.config.site
        if group is None:
            raise ConfigError("the agent is ending, or has not begun yet")
        if later := needs_restart(self.config, config):
            log.warning("takes effect when the agent is started anew", settings=later)
        wanted = {f"{site}/{camera.name}": config.capture(camera) for camera in config.cameras}
        profiles = _profiles(config)
        known = {feed.name: feed for feed in self.feeds}
        changes = Changes()
        for name, settings in wanted.items():
            if (feed := known.get(name)) is None:
                self._add(group, name, settings)
                changes.added.append(name)
                continue
            alike = msgspec.structs.replace(settings, phase=feed.settings.phase)
            if feed.removed:
                changes.added.append(name)
            elif alike != feed.settings:
                changes.changed.append(name)
            else:
                continue
            feed.change(alike)
            if feed.ended:
                group.create_task(feed.run(), name=name)
        for feed in self.feeds:
            if feed.name not in wanted and not feed.removed:
                feed.remove()
                changes.removed.append(feed.name)
        self._take(profiles)
        if config.limits != self.uplink.limiter.config:
            self.uplink.limiter.change(config.limits)
            changes.changed.append("[limits]")
        log.info("reloaded", **asdict(changes))

    def _add(self, group: asyncio.TaskGroup, name: str, settings: CaptureSettings) -> None:
        if not isinstance(self.uplink, StreamUplink):
            raise ConfigError(f'{name}: with uplink = "whip" a camera is added by starting the agent anew')
        channel = len(self.feeds)
        session = Session(name, channel, Ring(self.config.ring_bytes))
        if self.keeper is not None:
            self.keeper.add(session)
        self.sessions.append(session)
        camera = name.partition("/")[2]
        feed = self._feed(camera, msgspec.structs.replace(settings, phase=phase_of(channel)), session)
        self.feeds.append(feed)
        self.uplink.add(session)
        group.create_task(feed.run(), name=name)

    async def _settled(self, cameras: asyncio.Task[None]) -> None:
        await cameras
        self.uplink.flush()
        await self.uplink.settled()


def _profiles(config: EdgeConfig) -> dict[str, Profile | None]:
    return {f"{config.site}/{camera.name}": config.profile_of(camera) for camera in config.cameras}
