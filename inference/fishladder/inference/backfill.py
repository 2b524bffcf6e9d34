"""The worker's backfill lanes: reads the open sets of the cameras held and, of those with something open, the backfill
streams; settles what comes of them. The live lane has nothing to do with it, and comes first in the compute thread.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from fishladder.inference import metrics
from fishladder.inference.backfill_progress import BackfillProgress, Settle
from fishladder.inference.camera_run import CameraRun
from fishladder.inference.commit import is_store_wide
from fishladder.inference.pipeline import Lane, Report, Settlement
from fishladder.inference.progress import Job
from fishladder.inference.retention import Retention
from fishladder.inference.suspects import (
    Past,
    Suspect,
    Suspects,
    begun_field,
    forget_begun,
    remember_begun,
    trying_field,
)
from fishladder.runtime.commits import LeaseLost, open_field, settle_keys_args, settle_outcome
from fishladder.runtime.frames import trim_backfill
from fishladder.runtime.scripts import script, text
from fishladder.wire import keys, open_set, result
from fishladder.wire.entry import LogEntry, read_entry
from fishladder.wire.errors import StoreUnavailable, WireError
from fishladder.wire.open_set import OpenRange
from fishladder.wire.result import ModelId, Result

log = structlog.get_logger(__name__)
_TICK_S = 0.05
#: How often the open sets are read, and how long a stream may be silent before it is looked at, in seconds.
_LOOK_S = 1.0
_SILENT_S = 1.0
#: Nothing more came for so long: a decoder that holds pictures back is emptied, in seconds.
_IDLE_S = 0.3
#: Read ahead of the decoder at most so much a camera.
_CAMERA_BYTES = 2 * 1024 * 1024
_MOST_UNSETTLED = 512
_READ_COUNT = 16
_FIELDS = (open_field(), begun_field(keys.BACKFILL), trying_field(keys.BACKFILL))


@dataclass(slots=True, eq=False)
class _Run:
    """A camera with something open."""

    run: CameraRun
    progress: BackfillProgress
    lane: Lane
    jobs: int = 0
    held: int = 0
    backlog_bytes: int = 0
    read_at: float = 0.0

    @property
    def key(self) -> str:
        return keys.backfill(self.run.partition, self.run.camera)

    @property
    def has_room(self) -> bool:
        return self.backlog_bytes < _CAMERA_BYTES and self.progress.unsettled < _MOST_UNSETTLED


class Backfill:
    """`lease_lost(run)` is called when another worker has a camera."""

    def __init__(
        self,
        frames: Redis,
        state: Redis,
        pipeline: Suspects,
        runs: Mapping[str, CameraRun],
        *,
        worker: str,
        model: ModelId,
        retention: Retention,
        lease_lost: Callable[[CameraRun], None],
    ) -> None:
        self._frames = frames
        self._state = state
        self._pipeline = pipeline
        self._live = runs
        self._worker = worker
        self._model = model
        self._retention = retention
        self._lease_lost = lease_lost
        self._runs: dict[str, _Run] = {}
        self._lanes: dict[Lane, _Run] = {}
        self._look_at = 0.0

    def deferred(self, camera: str) -> None:
        """A live commit has left something of a camera open."""
        self._look_at = 0.0

    def report(self, lane: Lane, report: Report) -> None:
        """Take in what the compute thread says of one of our lanes; of others nothing is known here."""
        run = self._lanes.get(lane)
        if run is None:
            return
        if isinstance(report, Settlement):
            run.progress.settle(report.position, report.fate, report.frame)
        else:
            run.jobs -= 1
            run.held = report.held
            run.backlog_bytes -= report.size_bytes

    async def run(self) -> None:
        """Work until cancelled. Raises redis' errors, `StoreUnavailable` and `WireError` when a store is away."""
        while True:
            for run in [run for run in self._runs.values() if self._live.get(run.run.camera) is not run.run]:
                self._end(run)
            if time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + _LOOK_S
                await self._look([run for run in self._live.values() if not run.leaving])
            await self._settle()
            if not await self._read():
                await asyncio.sleep(_TICK_S)

    # -- which cameras

    async def _look(self, live: list[CameraRun]) -> None:
        """Read the open sets of some cameras: begin and end with them."""
        async with self._state.pipeline(transaction=False) as pipe:
            for one in live:
                pipe.hmget(keys.cursor(one.partition, one.camera), _FIELDS)
            sets = await pipe.execute()
        begun: list[str] = []
        for one, (raw, *crashes) in zip(live, sets, strict=True):
            if self._live.get(one.camera) is not one:
                continue
            ranges, run = open_set.parse(raw), self._runs.get(one.camera)
            if run is not None:
                await self._opened(run, ranges)
            elif ranges:
                begun.append(keys.cursor(one.partition, one.camera))
                self._begin(one, ranges, Past.parse(*crashes))
        if begun:
            await remember_begun(self._state, keys.BACKFILL, begun, self._worker)

    def _begin(self, live: CameraRun, ranges: tuple[OpenRange, ...], past: Past) -> None:
        lane = Lane(live.camera, weight=live.lane.weight, backfill=True)
        run = _Run(live, BackfillProgress(live.progress, ranges), lane, read_at=time.monotonic())
        self._runs[live.camera] = self._lanes[lane] = run
        key = keys.cursor(live.partition, live.camera)
        suspect = Suspect(key, keys.BACKFILL, live.camera, past, live.progress.poison)
        self._pipeline.begin(lane, suspect, self._worker)
        self._submit(run, run.progress.begin())
        log.info("backfill begins", camera=live.camera, open=open_set.count(ranges))

    def _end(self, run: _Run) -> None:
        self._pipeline.clear(run.lane)
        self._lanes.pop(run.lane, None)
        if self._runs.get(run.run.camera) is run:
            del self._runs[run.run.camera]

    async def _opened(self, run: _Run, ranges: tuple[OpenRange, ...]) -> None:
        """The open set as it is now: trim the stream, and end where nothing is left."""
        run.progress.open = ranges
        if (keep_from := run.progress.keep_from()) is not None:
            await trim_backfill(self._frames, run.run.partition, run.run.camera, keep_from)
        if not ranges:
            self._end(run)
            key = keys.cursor(run.run.partition, run.run.camera)
            await forget_begun(self._state, [key], [keys.BACKFILL])
            log.info("backfill is done", camera=run.run.camera)

    # -- reading

    async def _read(self) -> bool:
        """Read some entries of each stream with room; whether anything came."""
        readable = {run.key: run for run in self._runs.values() if run.has_room}
        if not readable:
            return False
        after: dict[Any, Any] = {key: run.progress.read_after for key, run in readable.items()}
        reply: Any = await self._frames.xread(after, count=_READ_COUNT)
        for key, raw in reply:
            run = readable.pop(key.decode())
            entries: list[tuple[str, LogEntry | None]] = []
            for entry_id, fields in raw:
                try:
                    entries.append((text(entry_id), read_entry(entry_id, fields)))
                except WireError as error:
                    entries.append((text(entry_id), None))
                    log.warning("backfill entry passed over", camera=run.run.camera, error=str(error))
            if not all(run.progress.knows(entry) for _, entry in entries):
                await self._look([run.run])
            if self._runs.get(run.run.camera) is run:
                run.read_at = time.monotonic()
                self._submit(run, run.progress.take(entries, time.time_ns() // 1000))
        for run in readable.values():
            await self._silent(run)
        return bool(reply)

    async def _silent(self, run: _Run) -> None:
        """Nothing came: empty the decoder if it holds something back, and see whether the stream began anew."""
        silent_s = time.monotonic() - run.read_at
        if run.held and not run.jobs and silent_s >= _IDLE_S:
            self._submit(run, run.progress.idle())
        if silent_s < _SILENT_S:
            return
        run.read_at = time.monotonic()
        last: Any = await self._frames.xrevrange(run.key, count=1)
        if last and _order(text(last[0][0])) < _order(run.progress.read_after):
            log.warning("a backfill stream began anew", camera=run.run.camera)
            self._submit(run, run.progress.begin())

    def _submit(self, run: _Run, jobs: list[Job]) -> None:
        run.jobs += len(jobs)
        run.backlog_bytes += sum(job.size_bytes for job in jobs)
        self._pipeline.submit(run.lane, jobs)

    # -- settling

    async def _settle(self) -> None:
        """Settle what is ready, of all cameras in one round trip. One that is repeated finds nothing open, and ends."""
        now = time.monotonic()
        ready = [
            (run, what)
            for run in self._runs.values()
            if run.run.lease.valid(now) and (what := run.progress.to_settle()) is not None
        ]
        if not ready:
            return
        it = script("settle")
        async with self._state.pipeline(transaction=False) as pipe:
            for run, what in ready:
                names, args = settle_keys_args(
                    run.run.partition,
                    run.run.camera,
                    token=run.run.lease.token,
                    epoch=what.epoch,
                    runs=what.runs,
                    result=self._entry(run, what),
                    keep_bytes=self._retention.keep_bytes,
                    keep_ms=self._retention.keep_ms,
                )
                pipe.evalsha(it.sha, len(names), *names, *args)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
        for (run, what), reply in zip(ready, replies, strict=True):
            if isinstance(reply, NoScriptError):
                await self._state.script_load(it.source)
            elif is_store_wide(reply):
                raise StoreUnavailable(f"the state store settles nothing: {reply}")
            elif isinstance(reply, Exception):
                raise reply
            else:
                await self._settled(run, what, settle_outcome(reply))

    async def _settled(self, run: _Run, what: Settle, outcome: Any) -> None:
        if isinstance(outcome, LeaseLost):
            self._lease_lost(run.run)
            return
        before = open_set.count(run.progress.open)
        if open_set.count(outcome.open) < before:
            for fate, first, last in what.runs:
                metrics.count_fate(run.run.camera, fate, last - first + 1)
        message = msgspec.json.encode({"camera": run.run.camera, "settled": True})
        await self._state.publish(keys.control(run.run.partition), message)
        await self._opened(run, outcome.open)

    def _entry(self, run: _Run, what: Settle) -> bytes:
        return result.encode(
            Result(
                camera=run.run.camera,
                epoch=what.epoch,
                first=what.runs[0].first,
                last=what.runs[-1].last,
                runs=[(int(fate), first, last) for fate, first, last in what.runs],
                frames=list(what.frames),
                model=self._model if what.frames else None,
                worker=self._worker,
                lane=keys.BACKFILL,
            )
        )


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
