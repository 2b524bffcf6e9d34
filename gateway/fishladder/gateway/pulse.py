"""Whether the peer of a WebSocket is there: one that is quiet is pinged, one that answers nothing is dead. Heartbeats
of aiohttp are not used: their timers outlive the connection, for 20 s and with all that was its.
"""

import asyncio
import contextlib
from collections.abc import Awaitable

from aiohttp import WSMessage, WSMsgType, web

#: Pinged after so long without a word, and dead after so much longer.
_PING_S = 20.0
_PONG_S = 10.0
#: A ping to one that does not read waits no longer; that it is deaf shows soon enough.
_SEND_S = 1.0


class Pulse:
    """The socket must leave pings to us (`autoping=False`). Times are monotonic seconds."""

    def __init__(self, socket: web.WebSocketResponse, now: float) -> None:
        self._socket = socket
        self._heard_at = self._pinged_at = now

    def heard(self, now: float) -> None:
        """Something has come."""
        self._heard_at = now

    async def answer(self, message: WSMessage) -> bool:
        """Whether a message was a ping, which it answers, or a pong: neither is for anybody else."""
        if message.type is WSMsgType.PING:
            await self._say(self._socket.pong(message.data))
        return message.type in (WSMsgType.PING, WSMsgType.PONG)

    async def beat(self, now: float) -> bool:
        """To be called every few seconds; False if the peer is dead."""
        quiet_s = now - self._heard_at
        if quiet_s >= _PING_S + _PONG_S:
            return False
        if quiet_s >= _PING_S and now - self._pinged_at >= _PING_S:
            self._pinged_at = now
            await self._say(self._socket.ping())
        return True

    async def _say(self, what: Awaitable[None]) -> None:
        with contextlib.suppress(OSError):  # it goes; a time-out is one as well
            async with asyncio.timeout(_SEND_S):
                await what
