"""The gateway as one process: the order in which it binds, opens its stores, takes in, drains and ends."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
from aiohttp import web
from redis.exceptions import RedisError
from yarl import URL

from fishladder.gateway import metrics
from fishladder.gateway.asking import hang_up
from fishladder.gateway.certificate import Certificate
from fishladder.gateway.config import GatewaySettings
from fishladder.gateway.entrance import Entrance
from fishladder.gateway.fleet import Fleet
from fishladder.gateway.http_log import http_log
from fishladder.gateway.intake import Intake
from fishladder.gateway.listen import bind, descriptors
from fishladder.gateway.routes import Routes
from fishladder.gateway.tokens import KeyFile
from fishladder.gateway.uplink import Uplinks
from fishladder.gateway.webrtc.dtls import check_aiortc
from fishladder.gateway.whip.endpoint import WhipSessions
from fishladder.gateway.whip.siblings import VARIABLE, Siblings
from fishladder.runtime.admin import Admin, Health
from fishladder.runtime.durability import frame_limits, state_durability
from fishladder.runtime.embedded import embedded_stores
from fishladder.runtime.lifecycle import supervise
from fishladder.runtime.store import Stores, StoreUrls, open_stores, redacted
from fishladder.wire.errors import StoreUnavailable

log = structlog.get_logger(__name__)

_HEALTH_S = 2.0
_HEALTH_TIMEOUT_S = 2.0
_ASK_AGAIN_S = 1.0
#: Agents that were asked to go have so long before their connections are closed.
_LEAVE_S = 3.0


@asynccontextmanager
async def background(name: str, loop: Callable[[], Awaitable[None]]) -> AsyncIterator["asyncio.Task[None]"]:
    """Run `loop` under supervision while the block runs."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(supervise(name, loop), name=name)
            try:
                yield task
            finally:
                task.cancel()
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # it is one: that of the block, or of the loop that ended it


class Server:
    """`urls` None starts the embedded stores. `shared`: other processes of ours listen on the same port."""

    def __init__(self, settings: GatewaySettings, urls: StoreUrls | None, *, shared: bool = False) -> None:
        self.health = Health(False, "starting")
        self.port = 0
        self._settings = settings
        self._urls = urls
        self._shared = shared

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping`, then drain."""
        settings = self._settings
        keys = KeyFile(settings.keys_path, settings.register_path) if settings.auth == "on" else None
        if keys is not None:  # a bad file is found now, not at the first connection
            keys.keys(), keys.register.tokens()
        certificate = (
            Certificate(settings.tls_cert, settings.tls_key) if settings.tls_cert and settings.tls_key else None
        )
        descriptors()
        check_aiortc()
        async with AsyncExitStack() as stack:
            bound = stack.enter_context(bind(settings, shared=self._shared))
            if settings.metrics_port:
                stack.enter_context(Admin(settings.metrics_host, settings.metrics_port, lambda: self.health))
            urls = self._urls
            if urls is None:
                own = embedded_stores(settings.data_path, frames_bytes=settings.frames_bytes)
                urls = await stack.enter_async_context(own)
            routes = Routes(keys, lambda: self.health, settings.limits)
            runner = web.AppRunner(
                routes.app(),
                access_log=None,
                handle_signals=False,
                shutdown_timeout=1.0,
                keepalive_timeout=settings.limits.idle_s,
                lingering_time=1.0,
                logger=http_log(),
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            siblings = Siblings(Path(os.environ[VARIABLE]) if VARIABLE in os.environ else None)
            await siblings.listen(runner)
            assert runner.server is not None
            entrance = Entrance(
                bound, runner.server, settings.limits, certificate.context if certificate else lambda: None
            )
            routes.admission.on_known = entrance.known
            entering = await stack.enter_async_context(background("entrance", entrance.run))
            if certificate is not None:
                await stack.enter_async_context(background("certificate", certificate.watch))
            self.port = bound.getsockname()[1]
            url = URL.build(scheme="https" if certificate else "http", host=settings.host, port=self.port)
            log.info("listening", url=str(url), auth=settings.auth)
            stores = await self._stores(stack, urls, stopping)
            if stores is None:
                return
            name = f"{socket.gethostname()}/{os.getpid()}"
            intake = Intake(
                stores,
                default_policy=settings.default_policy,
                assumed_bytes=settings.assumed_bytes,
                limits=settings.limits,
                gateway=name,
            )
            async with intake.running():
                if settings.metrics_port:
                    await stack.enter_async_context(Fleet(stores).running())
                watch = asyncio.create_task(self._watch(stores, intake), name="health")
                uplinks = Uplinks(intake, settings.limits, name)
                whips = WhipSessions(intake, settings.limits, settings.whip, settings.media, siblings)
                looking = asyncio.create_task(whips.look(), name="whip load")
                routes.ready(stores, uplinks, whips)
                log.info("ready", frames=redacted(urls.frames), state=redacted(urls.state))
                try:
                    await stopping.wait()
                finally:
                    watch.cancel()
                    looking.cancel()
                self.health = Health(False, "draining")
                metrics.ready.set(0)
                entering.cancel()
                await asyncio.wait([entering])
                bound.close()  # what waits there is refused, or goes to another process
                await asyncio.gather(self._drain(uplinks, whips), routes.close())
        log.info("stopped")

    async def _stores(self, stack: AsyncExitStack, urls: StoreUrls, stopping: asyncio.Event) -> Stores | None:
        """Open the stores, waiting for them; None if told to stop meanwhile. Raises `StoreUnavailable` in the end."""
        deadline = asyncio.get_running_loop().time() + self._settings.store_timeout_s
        while True:
            try:
                return await stack.enter_async_context(open_stores(urls))
            except StoreUnavailable as error:
                self.health = Health(False, f"waiting for the stores: {error}")
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                log.warning("waiting for the stores", error=str(error))
            try:
                async with asyncio.timeout(_ASK_AGAIN_S):
                    await stopping.wait()
                return None
            except TimeoutError:
                continue

    async def _watch(self, stores: Stores, intake: Intake) -> None:
        """Keep `health` true to the facts."""
        while True:
            try:
                async with asyncio.timeout(_HEALTH_TIMEOUT_S):
                    state = await state_durability(stores.state)
                    frames = await frame_limits(stores.frames)
                ready = intake.frames.link.connected
                metrics.state_durable.set(state.sound is True)
                self.health = Health(ready, f"state store: {state}; frame store: {frames}{intake.room}")
            except TimeoutError:
                self.health = Health(False, "a store does not answer: time-out")
                await asyncio.gather(hang_up(stores.state), hang_up(stores.frames))
            except (RedisError, OSError) as error:
                self.health = Health(False, f"a store does not answer: {error}")
            metrics.ready.set(self.health.ready)
            await asyncio.sleep(_HEALTH_S)

    async def _drain(self, uplinks: Uplinks, whips: WhipSessions) -> None:
        """Ask agents to go, wait a little, and close what is left. The frame log is flushed after this."""
        log.info("draining", uplinks=len(uplinks), whip=len(whips))
        uplinks.drain("the gateway is going down")
        await asyncio.gather(uplinks.close(_LEAVE_S), whips.close())
