"""The WebSocket end of `/v1/uplink`, on aiohttp: the upgrade, messages in and out, heartbeats and time-outs. What
messages mean is `connection`'s business, so that another WebSocket engine could take this file's place.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from fishladder.gateway import metrics
from fishladder.gateway.connection import Connection
from fishladder.gateway.intake import Intake
from fishladder.gateway.limits import Limits, Places
from fishladder.gateway.pulse import Pulse
from fishladder.gateway.tokens import Grant, still_valid
from fishladder.wire.errors import WireError
from fishladder.wire.framing import MAX_MESSAGE_BYTES
from fishladder.wire.messages import Fault, encode

log = structlog.get_logger(__name__)

#: One connection after the other: none goes on for longer while others have something too.
_TURN_S = 0.002
#: Tokens are renewed one after the other: each writes a file.
_RENEW_EVERY_S = 0.5
_CLOSE_S = 2.0
#: For what a connection is told last and its close; then it is cut.
_LAST_WORDS_S = 4.0


class Uplinks:
    """All open uplinks of one process."""

    def __init__(self, intake: Intake, limits: Limits, gateway: str) -> None:
        self._intake = intake
        self._limits = limits
        self._gateway = gateway
        self._places = Places(limits, limits.connections)
        self._open: dict[Connection, _End] = {}
        self._renewed_at = float("-inf")
        self._none_left = asyncio.Event()
        self._none_left.set()

    def __len__(self) -> int:
        return len(self._open)

    async def serve(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        """One agent, from the upgrade to the end of its connection."""
        if not self._places.enter(grant):
            metrics.refused.labels("connections").inc()
            return web.Response(status=429, text="too many connections\n", headers={"Retry-After": "30"})
        metrics.connections.labels("uplink").inc()
        try:
            socket = web.WebSocketResponse(
                max_msg_size=MAX_MESSAGE_BYTES, autoping=False, timeout=_CLOSE_S, compress=False, decode_text=False
            )
            if (transport := request.transport) is None:
                return web.Response()  # it has gone already
            try:
                await socket.prepare(request)
            except ConnectionError:
                return web.Response()  # it went meanwhile
            await self._serve(socket, grant, _End(socket, transport))
            return socket
        finally:
            metrics.connections.labels("uplink").dec()
            self._places.leave(grant)

    def drain(self, reason: str) -> None:
        """Ask every agent to go elsewhere."""
        for connection in self._open:
            connection.drain(reason)

    async def close(self, leave_s: float) -> None:
        """Wait `leave_s` for agents to leave, then end what is still open."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(leave_s):
                await self._none_left.wait()
        closing = (end([], WSCloseCode.GOING_AWAY) for end in list(self._open.values()))
        await asyncio.gather(*closing, return_exceptions=True)

    async def _serve(self, socket: web.WebSocketResponse, grant: Grant, end: "_End") -> None:
        wake = _Wake()
        connection = Connection(self._intake, self._limits.of(grant.site), grant, self._gateway, wake)
        self._open[connection] = end
        self._none_left.clear()
        seen = _Seen(time.monotonic())
        pulse = Pulse(socket, seen.at)
        tasks = [
            asyncio.create_task(self._write(socket, connection, wake), name="uplink writer"),
            asyncio.create_task(connection.answer_hellos(), name="uplink hellos"),
            asyncio.create_task(self._watch(connection, seen, pulse, end), name="uplink watch"),
        ]
        try:
            await self._read(socket, connection, seen, pulse)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            del self._open[connection]
            if not self._open:
                self._none_left.set()
            connection.close()
        if not socket.closed:
            await end(connection.take(), WSCloseCode.POLICY_VIOLATION)
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(outcome, OSError):
                raise outcome

    async def _read(self, socket: web.WebSocketResponse, connection: Connection, seen: "_Seen", pulse: Pulse) -> None:
        """Until the connection ends, or breaks the protocol (then the fault is in the outbox)."""
        received_binary, turn = connection.received_binary, time.monotonic()
        try:
            while True:
                message = await socket.receive()
                now = time.monotonic()
                pulse.heard(now)
                if now - turn > _TURN_S:
                    # What has come already is given out without a pause: one who sends much would keep the loop busy.
                    await asyncio.sleep(0)
                    turn = time.monotonic()
                if message.type is WSMsgType.BINARY:
                    seen.at = now
                    received_binary(message.data)
                elif message.type is WSMsgType.TEXT:
                    seen.at = now
                    connection.received_text(message.data)
                elif not await pulse.answer(message):
                    if message.type is WSMsgType.ERROR:
                        metrics.faults.labels("websocket").inc()
                        log.warning("connection faulted", who=connection.grant.holder, error=str(message.data))
                    return
        except WireError as error:
            connection.fault(error)

    async def _write(self, socket: web.WebSocketResponse, connection: Connection, wake: "_Wake") -> None:
        while True:
            await wake.wait()
            for text in connection.take():
                await socket.send_str(text)

    async def _watch(self, connection: Connection, seen: "_Seen", pulse: Pulse, end: "_End") -> None:
        """End a connection that is dead, says no hello, says nothing, does not listen, or whose token has expired."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(min(1.0, self._limits.hello_s / 4))
            connection.top_up()
            now = time.monotonic()
            if now - self._renewed_at > _RENEW_EVERY_S and connection.wants_token(time.time()):
                self._renewed_at = now
                connection.renew_token(time.time())
            if not connection.said_hello and now - began > self._limits.hello_s:
                fault = Fault("timeout", f"no hello within {self._limits.hello_s:g} s")
            elif now - seen.at > self._limits.idle_s:
                fault = Fault("timeout", f"nothing heard for {self._limits.idle_s:g} s")
            elif connection.outbox.overflowing:
                fault = Fault("limit", "too many messages wait unread")
            elif not still_valid(connection.grant):
                fault = Fault("token", "the token has expired or was revoked")
            elif not await pulse.beat(now):
                fault = Fault("timeout", "it answers no ping")
            else:
                continue
            metrics.faults.labels(fault.code).inc()
            log.warning("connection ended", who=connection.grant.holder, code=fault.code, error=fault.message)
            await end([encode(fault)], WSCloseCode.POLICY_VIOLATION)
            return


class _End:
    """Ends a connection in good order; where the peer does not read, without it, so it will not hear why either."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self._socket = socket
        self._transport = transport

    async def __call__(self, last_words: Sequence[str], code: WSCloseCode) -> None:
        # Not by the socket's own means alone: it waits for a peer that does not read without end, and what waits to be
        # sent to such a one outlives a mere close.
        closed = False
        try:
            with contextlib.suppress(OSError):  # it is gone, or, since a time-out is one, deaf
                async with asyncio.timeout(_LAST_WORDS_S):
                    for text in last_words:
                        await self._socket.send_str(text)
                    await self._socket.close(code=code)
                    closed = True
        finally:
            if not closed or self._transport.get_write_buffer_size():
                self._transport.abort()


class _Wake:
    """Wakes a writer: at once, or so long after its last turn; the soonest that was asked for counts."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0  # when it goes off
        self._last = 0.0

    def __call__(self, after_s: float) -> None:
        if self._event.is_set():
            return
        at = self._last + after_s
        if not after_s:
            self._event.set()
        elif self._timer is None or at < self._at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._at = self._loop.call_at(max(at, self._loop.time()), self._event.set), at

    async def wait(self) -> None:
        await self._event.wait()
        self._event.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._last = self._loop.time()


class _Seen:
    """When a connection last said something."""

    def __init__(self, at: float) -> None:
        self.at = at
