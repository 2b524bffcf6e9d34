"""How far each camera has captured, as its sender says, on the way into the state store: gathered, and written once a
second in one exchange. Only the newest of a camera counts, so one that is lost is made good by the next.
"""

import asyncio

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from fishladder.gateway.asking import asking
from fishladder.gateway.clock import wall_us
from fishladder.gateway.session import LogSession
from fishladder.runtime.scripts import script
from fishladder.wire import keys

EVERY_S = 1.0
_AT_ONCE = 512


class Positions:
    """`report` never waits; `run` writes."""

    def __init__(self, state: Redis) -> None:
        self._state = state
        self._news: dict[str, tuple[int, int, int]] = {}  # camera -> partition, epoch, seq

    def report(self, session: LogSession) -> None:
        """Note `session.position`."""
        self._news[session.camera] = (session.partition, session.epoch, session.position)

    async def run(self) -> None:
        """Write for ever. Raises `StoreUnavailable`, having kept what could not be written."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.write()

    async def write(self) -> None:
        """Write what there is now. Raises `StoreUnavailable`."""
        while self._news:
            some = dict(list(self._news.items())[:_AT_ONCE])
            async with asking(self._state, "state store, recording positions"):
                await self._send(some)
            for camera, news in some.items():
                if self._news.get(camera) == news:
                    del self._news[camera]

    async def _send(self, news: dict[str, tuple[int, int, int]]) -> None:
        it, now_us = script("position"), wall_us()
        pipe = self._state.pipeline(transaction=False)
        for camera, (partition, epoch, seq) in news.items():
            pipe.evalsha(it.sha, 1, keys.camera(partition, camera), epoch, seq, now_us)
        replies = await pipe.execute(raise_on_error=False)
        errors = [reply for reply in replies if isinstance(reply, Exception)]
        if not errors:
            return
        if not isinstance(errors[0], NoScriptError):
            raise errors[0]
        await self._state.script_load(it.source)
        await self._send(news)
