"""After commits: shortens the logs to what a take-over needs, and asks cameras for a keyframe where only that helps."""

import asyncio
import time
from collections.abc import Mapping

import msgspec
from redis.asyncio import Redis

from fishladder.inference.camera_run import CameraRun
from fishladder.wire import keys

_TICK_S = 0.2
#: A camera is asked for a keyframe not more often than this, in seconds.
_ASK_S = 2.0


class Trimmer:
    def __init__(self, frames: Redis, state: Redis, runs: Mapping[str, CameraRun]) -> None:
        self._frames = frames
        self._state = state
        self._runs = runs

    async def run(self) -> None:
        """Trim and ask until cancelled. Raises redis' errors when a store is away."""
        while True:
            await asyncio.sleep(_TICK_S)
            await self._trim()
            await self._ask()

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
