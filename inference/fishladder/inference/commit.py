"""Commits what has settled: for each camera the next contiguous piece, many cameras in one round trip, with at most
one commit of a camera under way; then tells the gateways. A commit whose reply was lost is sent again as it was.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from fishladder.inference import metrics
from fishladder.inference.camera_run import CameraRun
from fishladder.inference.retention import Retention
from fishladder.inference.slots import Commit
from fishladder.runtime.commits import CursorMoved, LeaseLost, commit_keys_args, commit_outcome
from fishladder.runtime.scripts import script
from fishladder.wire import keys, result
from fishladder.wire.errors import StoreUnavailable
from fishladder.wire.fates import Fate
from fishladder.wire.result import ModelId, Result

log = structlog.get_logger(__name__)
#: Most cameras in one round trip.
_CAMERAS = 128
#: Errors that are the store's, not one camera's.
_STORE_WIDE = (OutOfMemoryError, ReadOnlyError, BusyLoadingError, AuthenticationError)


class Committer:
    """`reset(run, why)` is called for a camera that has to begin anew, `lease_lost(run)` when another worker has it,
    `deferred(camera)` when a commit has left something open.
    """

    def __init__(
        self,
        state: Redis,
        runs: Mapping[str, CameraRun],
        *,
        worker: str,
        model: ModelId,
        retention: Retention,
        reset: Callable[[CameraRun, str], None],
        lease_lost: Callable[[CameraRun], None],
        deferred: Callable[[str], None],
    ) -> None:
        self._state = state
        self._runs = runs
        self._worker = worker
        self._model = model
        self._retention = retention
        self._reset = reset
        self._lease_lost = lease_lost
        self._deferred = deferred
        self._served: CameraRun | None = None  # the last of the round before
        self.inferred = 0  #: frames with a result, in all
        self.wake = asyncio.Event()  #: set when something has settled

    async def run(self) -> None:
        """Commit until cancelled. Raises redis' errors and `StoreUnavailable` when the store is away."""
        while True:
            self.wake.clear()
            ready, wait_s = self._ready(time.monotonic())
            if ready:
                await self._round(ready)
                continue
            try:
                async with asyncio.timeout(wait_s):
                    await self.wake.wait()
            except TimeoutError:
                continue

    def _ready(self, now: float) -> tuple[list[tuple[CameraRun, Commit]], float]:
        """What is to be committed now, else how long to wait at most."""
        ready: list[tuple[CameraRun, Commit]] = []
        wait_s = 0.5
        for run in self._in_turn():
            if not run.lease.valid(now):
                continue
            slots = run.progress.slots
            due_s = 0.0 if slots.flying else slots.due(now)
            if due_s == 0.0:
                commit = slots.take_commit()
                assert commit is not None
                ready.append((run, commit))
                self._served = run
                if len(ready) == _CAMERAS:
                    break
            elif due_s is not None:
                wait_s = min(wait_s, due_s)
        return ready, wait_s

    def _in_turn(self) -> list[CameraRun]:
        """All runs, beginning after the one last served: more than fit into one round get their turn in the next."""
        runs = list(self._runs.values())
        after = next((index for index, run in enumerate(runs, 1) if run is self._served), 0)
        return runs[after:] + runs[:after]

    async def _round(self, ready: list[tuple[CameraRun, Commit]]) -> None:
        it = script("commit")
        began = time.monotonic()
        async with self._state.pipeline(transaction=False) as pipe:
            for run, commit in ready:
                names, args = commit_keys_args(
                    run.partition,
                    run.camera,
                    token=run.lease.token,
                    start=commit.start,
                    to=commit.to,
                    runs=commit.runs,
                    result=self._entry(run, commit),
                    keep_bytes=self._retention.keep_bytes,
                    keep_ms=self._retention.keep_ms,
                )
                pipe.evalsha(it.sha, len(names), *names, *args)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
        metrics.commit.observe(time.monotonic() - began)
        landed: dict[int, list[tuple[str, int, int]]] = {}
        for (run, commit), reply in zip(ready, replies, strict=True):
            if self._runs.get(run.camera) is not run:
                continue
            if isinstance(reply, NoScriptError):
                await self._state.script_load(it.source)
            elif is_store_wide(reply):
                raise StoreUnavailable(f"the state store takes no commits: {reply}")
            elif isinstance(reply, Exception):
                self._reset(run, f"the commit was refused: {reply}")
            elif self._landed(run, commit, commit_outcome(reply)):
                landed.setdefault(run.partition, []).append((run.camera, *commit.to))
        if landed:
            async with self._state.pipeline(transaction=False) as pipe:
                for partition, news in landed.items():
                    pipe.publish(keys.committed(partition), msgspec.json.encode(news))
                await pipe.execute()

    def _entry(self, run: CameraRun, commit: Commit) -> bytes:
        """The commit's results entry; none for a step to another epoch, which settles nothing."""
        if not commit.runs:
            return b""
        return result.encode(
            Result(
                camera=run.camera,
                epoch=commit.to.epoch,
                first=commit.start.seq + 1,
                last=commit.to.seq,
                runs=[(int(fate), first, last) for fate, first, last in commit.runs],
                frames=list(commit.frames),
                model=self._model if commit.frames else None,
                worker=self._worker,
            )
        )

    def _landed(self, run: CameraRun, commit: Commit, outcome: object) -> bool:
        """Whether a commit is durable, by its reply or by the reply to its repetition."""
        if isinstance(outcome, LeaseLost):
            self._lease_lost(run)
            return False
        # Our token was never another's: a cursor that stands where this commit goes was moved by its first attempt.
        if isinstance(outcome, CursorMoved) and outcome.cursor != commit.to:
            self._reset(run, f"its cursor stands at {outcome.cursor}, not {commit.start}")
            return False
        now = time.monotonic()
        run.progress.slots.landed(now)
        run.keep_from = run.progress.replay.advance(commit.to, now)
        run.keyframe_wanted |= run.progress.replay.keyframe_wanted
        now_us = time.time_ns() // 1000
        for fate, count in commit.counts:
            if fate is Fate.DEFERRED:  # its fate is still to come
                self._deferred(run.camera)
            else:
                metrics.count_fate(run.camera, fate, count)
        for frame in commit.frames:
            metrics.observe_frame(frame, run.partition, now_us)
        if commit.frames:
            self.inferred += len(commit.frames)
            run.committed_us, run.landed_us = commit.frames[-1].captured_us, now_us
        return True


def is_store_wide(reply: object) -> bool:
    """Whether a reply is an error that is the store's, not one camera's."""
    return isinstance(reply, _STORE_WIDE) or (isinstance(reply, ResponseError) and str(reply).startswith("MISCONF"))
