"""Asks agents for fewer pictures, or for more again, as the governor says: measures how this worker does, writes what
is asked of each camera into the state store, and tells gateways. Agents hear of it at once.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Mapping

import msgspec
import structlog
from redis.asyncio import Redis

from fishladder.inference import metrics
from fishladder.inference.camera_run import CameraRun
from fishladder.inference.governor import Governor, Load, Watched
from fishladder.inference.pipeline import Pipeline
from fishladder.runtime.wanted import set_asked
from fishladder.wire.messages import Asked, in_force

log = structlog.get_logger(__name__)

TICK_S = 0.25
#: Capacity is measured over so long, and over so many frames at least.
WINDOW_S, FRAMES = 5.0, 5
#: A camera's pictures are counted for so long before it is known how many come; then the mean follows.
FOLLOW_S = 3.0
#: More is asked for not sooner than so long after the last change: encoders begin anew.
UP_S = 2.0


class Steering:
    def __init__(self, state: Redis, pipeline: Pipeline, runs: Mapping[str, CameraRun]) -> None:
        self._state = state
        self._pipeline = pipeline
        self._runs = runs
        self._governor = Governor()
        self._samples: deque[tuple[float, float, int]] = deque()  # when, seconds at work and frames done so far
        self._at_s = time.monotonic()
        self.load = Load(0.0, None)  #: as last measured

    async def run(self) -> None:
        """Until cancelled. Raises redis' errors when the store is away."""
        while True:
            await asyncio.sleep(TICK_S)
            await self._step(time.monotonic())

    async def _step(self, now_s: float) -> None:
        # Of a camera that is analysed by its keyframes nobody knows beforehand how many will be.
        runs = [run for run in self._runs.values() if not (run.leaving or run.progress.keyframes_only)]
        passed_s, self._at_s = now_s - self._at_s, now_s
        self.load = self._measured(runs, now_s)
        watched = {}
        for run in runs:
            run.came_fps += (run.came / passed_s - run.came_fps) * min(passed_s / FOLLOW_S, 1.0)
            run.came = 0
            watched[run.camera] = Watched(run.policy, run.came_fps, now_s - run.seen_at, run.asked.fps)
        news: dict[int, dict[str, Asked]] = defaultdict(dict)
        for name, asked in self._governor.step(self.load, watched, now_s).items():
            run = self._runs[name]
            if _is_news(asked, run.asked, now_s - run.asked_at):
                news[run.partition][name] = msgspec.structs.replace(asked, at_ms=time.time_ns() // 1_000_000)
        level = self._governor.level
        metrics.asked_level.set(1.0 if level is None else level)
        for partition, some in news.items():
            await set_asked(self._state, partition, some)
            for name, asked in some.items():
                self._took(self._runs.get(name), asked, now_s)

    def _took(self, run: CameraRun | None, asked: Asked, now_s: float) -> None:
        if run is None:
            return
        before, fps = run.asked.fps or run.policy.fps, asked.fps or run.policy.fps
        log.info("asked of a camera", camera=run.camera, fps=fps or "all", why=asked.why or None)
        if before and fps:
            run.came_fps *= fps / before  # what comes from now on, as far as anybody knows
        run.asked, run.asked_at = asked, now_s
        run.progress.set_policy(in_force(run.policy, asked))  # its analyse is the policy's: no job follows

    def _measured(self, runs: list[CameraRun], now_s: float) -> Load:
        busy_s, done = self._pipeline.worked()
        self._samples.append((now_s, busy_s, done))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - WINDOW_S:
            self._samples.popleft()
        _, busy_before_s, done_before = self._samples[0]
        capacity = self.load.capacity_fps
        if done - done_before >= FRAMES and busy_s > busy_before_s:
            capacity = (done - done_before) / (busy_s - busy_before_s)
        oldest_us, waiting = self._pipeline.waiting([run.lane for run in runs])
        oldest_s = max(time.time_ns() // 1000 - oldest_us, 0) / 1e6 if oldest_us is not None else 0.0
        return Load(oldest_s, capacity, waiting)


def _is_news(asked: Asked, before: Asked, since_s: float) -> bool:
    if (asked.fps, asked.why) == (before.fps, before.why):
        return False
    more = before.fps is not None and (asked.fps is None or asked.fps > before.fps)
    return not more or before.why == "quiet" or since_s >= UP_S
