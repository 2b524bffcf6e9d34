"""What goes out on an uplink's connection, and in which order: what is urgent, then live a fragment at a time, then
backfill when its turn has come; all of it no faster than the operator's limits let it.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from fishladder.edge import metrics
from fishladder.edge.clock import Clock
from fishladder.edge.limits.limiter import Limiter
from fishladder.edge.rate.backfill import BackfillPace
from fishladder.edge.uplink_cameras import UplinkCameras
from fishladder.edge.websocket import WebSocket
from fishladder.wire import messages
from fishladder.wire.errors import UplinkError

#: At most so long without a look, where a limit keeps everything back.
_LOOK_S = 0.25
_LAST_WORDS_S = 1.0


class UplinkWriter:
    """Of one connection after another: `connected` before each, then `run`."""

    def __init__(self, cameras: UplinkCameras, limiter: Limiter, clock: Clock) -> None:
        self.pace = BackfillPace()
        self.sent_bytes = 0  #: of units and ranges, ever
        self._cameras = cameras
        self._limiter = limiter
        self._clock = clock
        self._outbox: deque[str | bytes] = deque()
        self._wake = asyncio.Event()

    def connected(self) -> None:
        self.pace = BackfillPace()
        self._outbox.clear()

    def say(self, message: messages.FromAgent | None) -> None:
        """A message that goes before everything else, once somebody wakes the writer or it comes by."""
        if message is not None:
            self._outbox.append(messages.encode(message))

    def extend(self, packed: Iterable[str | bytes]) -> None:
        """The same of messages that are packed, at once."""
        self._outbox.extend(packed)
        self.wake()

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    async def run(self, link: WebSocket) -> None:
        """Until the link breaks: raises `UplinkError`."""
        try:
            while True:
                if self._outbox:
                    message = self._outbox.popleft()
                    await link.send(message, more=True)
                    self._limiter.sent(len(message))
                elif (wait_s := self._limiter.wait_s()) > 0:
                    self._cameras.held_back()
                    self._wake.clear()
                    await self._news_or(link, min(wait_s, _LOOK_S))
                elif (fragment := self._cameras.scheduler.next()) is not None:
                    self._cameras.handed()
                    await self._send(link, fragment)
                else:
                    self._wake.clear()
                    await self._backfill(link)
        except UplinkError:
            await asyncio.sleep(_LAST_WORDS_S)  # why it was closed may be there to be read
            raise

    async def _send(self, link: WebSocket, fragment: bytes, *, backfill: bool = False) -> None:
        await link.send(fragment, more=True)
        self._limiter.sent(len(fragment), backfill=backfill)
        self.sent_bytes += len(fragment)
        metrics.SENT.inc(len(fragment))

    async def _backfill(self, link: WebSocket) -> None:
        """There is nothing live: send a fragment of backfill if it is time for one, else wait for news."""
        scheduler = self._cameras.scheduler
        wait_s: float | None = None
        if scheduler.has_spare_credit and not (
            wait_s := max(
                self.pace.wait_s(asyncio.get_running_loop().time()),
                self._limiter.wait_s(backfill=True),
            )
        ):
            if (fragment := scheduler.next_backfill()) is not None:
                await self._send(link, fragment, backfill=True)
                self.pace.sent(len(fragment))
                self._cameras.rate.backfilled(len(fragment), self._clock.mono_us() / 1e6)
                return
            wait_s = None
        await self._news_or(link, wait_s)

    async def _news_or(self, link: WebSocket, wait_s: float | None) -> None:
        """Wait for news, at most so long."""
        link.flush()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s if wait_s != math.inf else None):
                await self._wake.wait()
