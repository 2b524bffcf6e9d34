"""Notices lost logs of cameras that are silent. A camera that sends learns it from its next append; one that has
ended, or is frozen, with units not yet committed would wait for ever.
"""

import asyncio
from collections.abc import Callable, Mapping

from redis.asyncio import Redis

from fishladder.gateway.asking import asking
from fishladder.gateway.session import LogSession
from fishladder.wire import keys

LOOK_S = 1.0
_LOOK_AT_ONCE = 256
_LOST = "the log was lost, or has another session"


class OwnerWatch:
    """Looks each second whether the logs of `sessions` with something uncommitted are theirs; tells `fence` if not."""

    def __init__(
        self, frames: Redis, sessions: Mapping[str, LogSession], fence: Callable[[LogSession, str], None]
    ) -> None:
        self._frames = frames
        self._sessions = sessions
        self._fence = fence

    async def run(self) -> None:
        """Look until the store fails: raises `StoreUnavailable`."""
        while True:
            await asyncio.sleep(LOOK_S)
            # What is being written will be answered by the append itself.
            quiet = [one for one in self._sessions.values() if one.committed < one.logged and not one.queue]
            for first in range(0, len(quiet), _LOOK_AT_ONCE):
                await self._look(quiet[first : first + _LOOK_AT_ONCE])

    async def _look(self, sessions: list[LogSession]) -> None:
        pipe = self._frames.pipeline(transaction=False)
        for session in sessions:
            pipe.hget(keys.owner(session.partition, session.camera), "session")
        async with asking(self._frames, "frame store, reading owners"):
            owners = await pipe.execute()
        for session, owner in zip(sessions, owners, strict=True):
            if self._sessions.get(session.camera) is session and owner != session.token.encode():
                self._fence(session, _LOST)
