"""A worker process: opens the stores, holds partitions, and ties reading, decoding, inference and committing of their
cameras together until it is told to stop. Each of these is a file of its own; this one starts and ends them.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import msgspec
import structlog
from redis.exceptions import RedisError

from fishladder.inference.backfill import Backfill
from fishladder.inference.camera_run import CameraRun
from fishladder.inference.commit import Committer
from fishladder.inference.config import WorkerSettings
from fishladder.inference.feed import Feed
from fishladder.inference.leases import Leases
from fishladder.inference.mend import Mender
from fishladder.inference.model import Detector
from fishladder.inference.pipeline import Lane, Pipeline, Report
from fishladder.inference.retention import Retention
from fishladder.inference.roster import LEAVE_S, Roster
from fishladder.inference.slack import Slack
from fishladder.inference.steering import Steering
from fishladder.inference.suspects import Suspects
from fishladder.inference.trim import Trimmer
from fishladder.inference.vitals import VitalSigns
from fishladder.runtime.admin import Admin, Health
from fishladder.runtime.embedded import store_urls
from fishladder.runtime.heap import trim
from fishladder.runtime.lifecycle import Backoff, supervise
from fishladder.runtime.store import Stores, give_up_after, open_stores
from fishladder.wire.errors import StoreError, StoreMismatch, StoreUnavailable
from fishladder.wire.reports import Heartbeat

log = structlog.get_logger(__name__)
_RETRY_ON = (RedisError, OSError, StoreError)
_IDLE_TICK_S = 0.1
#: A loop silent for so long is stuck or without its store, in seconds.
_SILENT_S = 5.0
_COMPUTE_NICE = 5


async def run_worker(
    settings: WorkerSettings,
    detector: Detector,
    *,
    redis: str | None,
    frames: str | None,
    stopping: asyncio.Event,
    pipeline: Callable[..., Pipeline] = Pipeline,
) -> None:
    """Work until `stopping`, then finish what is in hand. `redis` and `frames` are store URLs, None for those of a
    gateway on this host; `pipeline` makes what decodes and infers. Raises `ConfigError` and `StoreError` if there is
    no store to begin with, `ModelError` if the model fails.
    """
    async with AsyncExitStack() as stack:
        worker: Worker | None = None

        def readiness() -> Health:
            return worker.health() if worker else Health(False, "waiting for the stores")

        if settings.metrics_port:
            stack.enter_context(Admin(settings.metrics_host, settings.metrics_port, readiness))
        stores = await open_in_time(stack, settings, redis, frames, stopping)
        if stores is None:
            return
        worker = Worker(settings, detector, stores, pipeline)
        try:
            await worker.run(stopping)
        except ExceptionGroup as group:
            raise first_error(group) from None


def first_error(error: Exception) -> Exception:
    """What ended a group of tasks; the rest is its echo."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def open_in_time(
    stack: AsyncExitStack, settings: WorkerSettings, redis: str | None, frames: str | None, stopping: asyncio.Event
) -> Stores | None:
    """Connect to the stores, trying again for as long as the settings say; None if told to stop meanwhile."""
    deadline = time.monotonic() + settings.store_timeout_s
    backoff = Backoff(0.2, 2.0)
    told = False
    while not stopping.is_set():
        try:
            urls = store_urls(redis, frames, settings.data_path)
            stores = await stack.enter_async_context(open_stores(urls))
        except StoreMismatch:
            raise
        except StoreUnavailable as error:
            if time.monotonic() >= deadline:
                raise
            if not told:
                log.warning("waiting for the stores", error=str(error), timeout_s=settings.store_timeout_s)
                told = True
            await asyncio.sleep(min(backoff.next(), max(deadline - time.monotonic(), 0.05)))
        else:
            for client in (stores.frames, stores.state):
                await give_up_after(client, _SILENT_S)
            return stores
    return None


class Worker:
    """One process' share of the work; `run` it once."""

    def __init__(
        self, settings: WorkerSettings, detector: Detector, stores: Stores, pipeline: Callable[..., Pipeline] = Pipeline
    ) -> None:
        self._runs: dict[str, CameraRun] = {}
        self._lanes: dict[Lane, CameraRun] = {}
        self._pipeline = pipeline(
            detector, batch=settings.batch, batch_wait_s=settings.batch_wait_ms / 1000, deliver=self._deliver
        )
        self._suspects = Suspects(self._pipeline, stores.state, self._take_reports, settings)
        self._feed = Feed(stores.frames, self._suspects, self._runs)
        self._roster = Roster(stores.state, self._suspects, self._feed, self._runs, self._lanes)
        self._leases = Leases(
            stores.state,
            stores.partitions,
            self._roster,
            ttl_ms=settings.lease_ms,
            weight=settings.weight,
            heartbeat=self._heartbeat,
        )
        self._roster.worker = self._leases.name
        self._mender = Mender(stores.frames, self._feed, self._runs)
        self._retention = Retention(settings.keep_results_bytes, settings.keep_results_ms)
        self._trimmer = Trimmer(
            stores.frames, stores.state, self._runs, self._retention, cameras=lambda: self._leases.cameras
        )
        self._backfill = Backfill(
            stores.frames,
            stores.state,
            self._suspects,
            self._runs,
            worker=self._leases.name,
            model=detector.model,
            retention=self._retention,
            lease_lost=lambda run: self._leases.drop(run.lease),
        )
        self._committer = Committer(
            stores.state,
            self._runs,
            worker=self._leases.name,
            model=detector.model,
            retention=self._retention,
            reset=self._roster.reset,
            lease_lost=lambda run: self._leases.drop(run.lease),
            deferred=self._backfill.deferred,
        )
        self._steering = Steering(stores.state, self._pipeline, self._runs)
        self._vital_signs = VitalSigns()
        self._slack = Slack()
        self._loop = asyncio.get_running_loop()
        self._provider = detector.provider
        self._model = detector.model

    def health(self) -> Health:
        """Ready while both stores answer."""
        now = time.monotonic()
        if now > self._leases.looked_at + _SILENT_S:
            return Health(False, "the state store does not answer")
        if now > self._feed.read_at + _SILENT_S:
            return Health(False, "the frame store does not answer")
        return Health(True, f"{len(self._leases.held)} partitions, {len(self._runs)} cameras")

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping`, then leave in good order."""
        log.info("worker ready", worker=self._leases.name, model=self._model.name, provider=self._provider)
        try:
            async with asyncio.TaskGroup() as group:
                compute = group.create_task(asyncio.to_thread(self._compute), name="compute")
                commits = self._keep(group, "commits", self._committer.run)
                leases = self._keep(group, "leases", self._leases.run)
                reading = [
                    self._keep(group, "frame logs", self._feed.run),
                    self._keep(group, "lost logs", self._mender.run),
                    self._keep(group, "cameras", self._roster.run),
                    self._keep(group, "log trimming", self._trimmer.run),
                    self._keep(group, "backfill", self._backfill.run),
                    self._keep(group, "suspects", self._suspects.run),
                    self._keep(group, "steering", self._steering.run),
                    group.create_task(self._roster.watch_unusable(), name="unusable logs"),
                    group.create_task(self._empty_idle_decoders(), name="idle decoders"),
                ]
                await stopping.wait()
                log.info("worker stops")
                for task in reading:
                    task.cancel()
                await self._leave(leases)
                for task in (leases, commits):
                    task.cancel()
                self._pipeline.stop()
                await compute
        finally:
            self._pipeline.stop()

    def _keep(self, group: asyncio.TaskGroup, name: str, loop: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return group.create_task(supervise(name, loop, backoff=Backoff(0.1, 2.0), retry_on=_RETRY_ON), name=name)

    async def _leave(self, leases: asyncio.Task[None]) -> None:
        """Commit what is in hand and release the leases, as far as the store lets us in time."""
        try:
            async with asyncio.timeout(LEAVE_S + 2.0):
                await self._leases.close()
                await asyncio.wait((leases,))
        except (RedisError, OSError) as error:
            log.warning("left without release; leases expire by themselves", error=str(error) or repr(error))

    def _heartbeat(self, beat: Heartbeat) -> Heartbeat:
        """What is to be said of this worker besides that it lives."""
        now, now_us = time.monotonic(), time.time_ns() // 1000
        vitals = self._vital_signs.take(self._runs.values(), self._committer.inferred, now, now_us)
        if self._slack.due(vitals.backlog_bytes):
            trim()
        return msgspec.structs.replace(
            beat,
            model=self._model.name,
            provider=self._provider,
            cameras=vitals.cameras,
            fps=vitals.fps,
            lag_ms=vitals.lag_ms,
            backlog_bytes=vitals.backlog_bytes,
            oldest_ms=round(self._steering.load.oldest_s * 1000),
            capacity_fps=round(capacity, 1) if (capacity := self._steering.load.capacity_fps) is not None else None,
        )

    def _compute(self) -> None:
        """Run the pipeline in this thread, which yields to what answers others: reading and committing, and a gateway
        or an encoder on the same host, need a core for a moment; inference can always use it.
        """
        if sys.platform == "linux":  # where a thread has a priority of its own
            thread = threading.get_native_id()
            # Started under `nice` it may be beyond that already, and nobody may go back.
            lower = max(os.getpriority(os.PRIO_PROCESS, thread), _COMPUTE_NICE)
            os.setpriority(os.PRIO_PROCESS, thread, lower)
        self._pipeline.run()

    def _deliver(self, reports: list[tuple[Lane, Report]]) -> None:
        """Called in the compute thread."""
        self._loop.call_soon_threadsafe(self._take_reports, reports)

    def _take_reports(self, reports: list[tuple[Lane, Report]]) -> None:
        now = time.monotonic()
        for lane, report in reports:
            run = self._lanes.get(lane)
            if run is not None:
                run.report(report, now)
            else:  # backfill's, or it was dropped meanwhile
                self._backfill.report(lane, report)
        self._committer.wake.set()

    async def _empty_idle_decoders(self) -> None:
        while True:
            await asyncio.sleep(_IDLE_TICK_S)
            now = time.monotonic()
            for run in self._runs.values():
                if run.holds_back and not run.leaving:
                    self._feed.submit(run, run.progress.idle(now))
