"""After commits: shortens the logs to what a take-over needs and to what there is room for, and asks cameras for a
keyframe where only that helps. Knows the stores' limits, and says how much room there is for results.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec
from redis.asyncio import Redis

from fishladder.inference.camera_run import CameraRun
from fishladder.inference.replay import keep_bytes
from fishladder.inference.retention import Retention
from fishladder.wire import keys

_TICK_S = 0.2
#: A camera is asked for a keyframe not more often than this, in seconds.
_ASK_S = 2.0
#: How often the stores are asked for their memory limits, in seconds.
_MEASURE_S = 5.0


class Trimmer:
    """`cameras` says how many there are in all, also those of other workers."""

    def __init__(
        self,
        frames: Redis,
        state: Redis,
        runs: Mapping[str, CameraRun],
        retention: Retention,
        *,
        cameras: Callable[[], int],
    ) -> None:
        self._frames = frames
        self._state = state
        self._runs = runs
        self._retention = retention
        self._cameras = cameras
        self._measure_at = 0.0
        self._limit_bytes = 0

    async def run(self) -> None:
        """Trim and ask until cancelled. Raises redis' errors when a store is away."""
        while True:
            await asyncio.sleep(_TICK_S)
            if time.monotonic() >= self._measure_at:
                self._limit_bytes, _ = await _memory(self._frames)
                limit_bytes, used_bytes = await _memory(self._state)
                self._retention.bound(limit_bytes, max(self._cameras(), len(self._runs)), used_bytes)
                self._measure_at = time.monotonic() + _MEASURE_S
            self._bound()
            await self._trim()
            await self._ask()

    def _bound(self) -> None:
        """Hold all to what there is room for, those as well that wait for room to get to their next commit."""
        now, most = time.monotonic(), keep_bytes(self._limit_bytes, max(self._cameras(), len(self._runs)))
        for run in self._runs.values():
            replay = run.progress.replay
            replay.keep_bytes = most
            if not replay.begun:
                continue
            run.keep_from = max(run.keep_from, replay.advance(run.progress.slots.cursor, now))
            run.keyframe_wanted |= replay.keyframe_wanted

    async def _trim(self) -> None:
        due = [(run, run.keep_from) for run in self._runs.values() if run.keep_from > run.trimmed_to]
        if not due:
            return
        async with self._frames.pipeline(transaction=False) as pipe:
            for run, keep_from in due:
                pipe.xtrim(run.log_key, minid=str(keep_from), approximate=False)
            await pipe.execute()
        for run, keep_from in due:
            run.trimmed_to = keep_from

    async def _ask(self) -> None:
        now = time.monotonic()
        due = [run for run in self._runs.values() if run.keyframe_wanted and now >= run.keyframe_asked_at + _ASK_S]
        if not due:
            return
        async with self._state.pipeline(transaction=False) as pipe:
            for run in due:
                run.keyframe_wanted, run.keyframe_asked_at = False, now
                message = msgspec.json.encode({"camera": run.camera, "keyframe": True})
                pipe.publish(keys.control(run.partition), message)
            await pipe.execute()


async def _memory(store: Redis) -> tuple[int, int]:
    """A store's memory limit (0 = none) and what it uses."""
    told = await store.info("memory")
    return int(told.get("maxmemory", 0)), int(told.get("used_memory", 0))
