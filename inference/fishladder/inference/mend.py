"""Logs that do not reach back to what was read: looks again, in one step with the session that writes, and deletes
such a log so that its agent says hello and sends again.
"""

import asyncio
import time
from collections.abc import Mapping

import structlog
from redis.asyncio import Redis

from fishladder.inference.camera_run import CameraRun
from fishladder.inference.feed import Feed
from fishladder.runtime import scripts
from fishladder.runtime.frames import forget
from fishladder.wire import keys
from fishladder.wire.entry import LogEntry, read_entry
from fishladder.wire.errors import WireError
from fishladder.wire.ids import Position

log = structlog.get_logger(__name__)
_TICK_S = 0.05
#: A log that was deleted is given so long to begin anew, in seconds.
_AGAIN_S = 2.0
#: A camera silent for so long may have lost its log without a gap to see, in seconds.
_SILENT_S = 2.0


class Mender:
    def __init__(self, frames: Redis, feed: Feed, runs: Mapping[str, CameraRun]) -> None:
        self._frames = frames
        self._feed = feed
        self._runs = runs

    async def run(self) -> None:
        """Look after the logs until cancelled. Raises redis' errors when the store is away."""
        while True:
            for run in list(self._runs.values()):
                now = time.monotonic()
                if run.leaving or now < run.forgotten_at + _AGAIN_S:
                    continue
                if run.progress.lost or now >= run.read_at + _SILENT_S:
                    run.read_at = now
                    await self._look_after(run)
            await asyncio.sleep(_TICK_S)

    async def _look_after(self, run: CameraRun) -> None:
        try:
            session, owner_at, entry = await self._look(run)
        except WireError as error:
            self._feed.set_aside(run, str(error))
            return
        if self._runs.get(run.camera) is not run:
            return
        if not run.progress.reached_by(entry, owner_at):
            run.forgotten_at = time.monotonic()
            if not await forget(self._frames, run.partition, run.camera, session):
                return
            log.warning(
                "the frame log does not reach back to what was read; its agent will send again",
                camera=run.camera,
                read=str(run.progress.slots.tail),
                log=str(entry.position) if entry else f"empty, though written up to {owner_at}",
            )
        elif not run.progress.lost:
            return
        self._feed.submit(run, run.progress.found())

    async def _look(self, run: CameraRun) -> tuple[str, Position | None, LogEntry | None]:
        """The session that writes, how far it has written, and the first entry after what was read. Raises `WireError`
        if that entry cannot be read.
        """
        names = [keys.owner(run.partition, run.camera), run.log_key]
        session, epoch, following, entry = await scripts.run(
            self._frames, "look", names, [str(run.progress.slots.tail)]
        )
        owner_at = Position(int(epoch), int(following) - 1) if epoch and following else None
        return scripts.text(session), owner_at, read_entry(*entry) if entry else None
