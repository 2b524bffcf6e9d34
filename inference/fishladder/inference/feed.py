"""Reads the frame logs of the cameras held and passes their units to the compute thread: one blocking read for all of
them, bounded in bytes, and no further ahead of the decoders than a bound. Logs with holes are for `mend`.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from redis.asyncio import Redis

from fishladder.inference import metrics
from fishladder.inference.camera_run import CameraRun
from fishladder.inference.progress import Job, Push, Unusable
from fishladder.inference.suspects import Suspects
from fishladder.wire.entry import read_entry
from fishladder.wire.errors import WireError
from fishladder.wire.ids import Position

log = structlog.get_logger(__name__)
#: Read ahead of the decoders at most so much, for each camera and in all; reading goes on at half of it.
CAMERA_BYTES = 4 * 1024 * 1024
TOTAL_BYTES = 64 * 1024 * 1024
#: About so much comes in one read.
_READ_BYTES = 4 * 1024 * 1024
_READ_COUNT = 64
#: How long a read waits; a camera that is new, or may be read again, joins after this at the latest.
_BLOCK_MS = 100
#: While there is nothing to read, the store is asked so often whether it is there, in seconds.
_PING_S = 1.0
#: A read names every log: it is made not more often than its length allows, so that it costs a part of a core at most.
_PACE_S_PER_LOG = 50e-6
_PACE_MOST_S = 0.005


class Feed:
    def __init__(self, frames: Redis, pipeline: Suspects, runs: Mapping[str, CameraRun]) -> None:
        self._frames = frames
        self._pipeline = pipeline
        self._runs = runs
        self.read_at = 0.0  #: when the store was last heard, monotonic seconds
        self.unusable: asyncio.Queue[tuple[CameraRun, str]] = asyncio.Queue()

    async def run(self) -> None:
        """Read until cancelled. Raises redis' errors when the store is away."""
        while True:
            began = time.monotonic()
            readable = {run.log_key: run for run in self._readable()}
            if not readable:
                if began >= self.read_at + _PING_S:
                    await self._frames.ping()
                    self.read_at = time.monotonic()
                await asyncio.sleep(0.02)
                continue
            expected = sum(run.entry_bytes for run in readable.values())
            count = min(max(int(_READ_BYTES / expected), 1), _READ_COUNT)
            after: dict[Any, Any] = {key: str(run.progress.read_after) for key, run in readable.items()}
            reply: Any = await self._frames.xread(after, count=count, block=_BLOCK_MS)
            self.read_at = time.monotonic()
            for key, entries in reply:
                self._take(readable[key.decode()], entries)
            pace_s = min(_PACE_S_PER_LOG * len(readable), _PACE_MOST_S)
            await asyncio.sleep(max(0.0, began + pace_s - time.monotonic()))

    def submit(self, run: CameraRun, jobs: list[Job]) -> None:
        """Pass jobs of a camera on."""
        run.submitted(jobs)
        self._pipeline.submit(run.lane, jobs)

    def set_aside(self, run: CameraRun, why: str) -> None:
        """Read nothing more of a camera whose log cannot be used, and say so to those who take from `unusable`."""
        run.leaving = True
        self.unusable.put_nowait((run, why))

    def _readable(self) -> Iterable[CameraRun]:
        total = sum(run.backlog_bytes for run in self._runs.values())
        metrics.backlog_bytes.set(total)
        for run in self._runs.values():
            run.paused = run.backlog_bytes > (CAMERA_BYTES // 2 if run.paused else CAMERA_BYTES)
            # Over the total, only those that have nothing to do are read.
            crowded = total > TOTAL_BYTES and run.backlog_bytes > 0
            if not (run.paused or crowded or run.leaving or run.progress.lost):
                yield run

    def _take(self, run: CameraRun, raw: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        if run.leaving or self._runs.get(run.camera) is not run:
            return
        now = run.read_at = time.monotonic()
        try:
            entries = [(Position.parse(entry_id), read_entry(entry_id, fields)) for entry_id, fields in raw]
            jobs = run.progress.take(entries, now, time.time_ns() // 1000)
        except (WireError, Unusable) as error:
            self.set_aside(run, str(error))
            return
        metrics.read_bytes.inc(sum(job.size_bytes for job in jobs if isinstance(job, Push)))
        run.entry_bytes += 0.1 * (max(len(value) for _, fields in raw for value in fields.values()) - run.entry_bytes)
        self.submit(run, jobs)
