"""A small gateway for tests of the agent: it speaks the uplink contract over a real socket, keeps what each camera
logged in memory, and commits it when told to (by default at once). It checks what a gateway relies on: logs without
gaps.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from fishladder.wire import messages
from fishladder.wire.framing import Reassembler, UnitMessage
from fishladder.wire.messages import CameraWelcome, Policy, Refusal
from fishladder.wire.unit import Range, Unit


@dataclass
class Log:
    """One camera as the gateway sees it. `fates` maps each seq to its unit or range, as first logged."""

    epoch: int = 0
    next: int = 1
    committed: int = 0
    position: int = 0
    open: bool = False
    fates: dict[int, Unit | Range] = field(default_factory=dict)
    received_us: dict[int, int] = field(default_factory=dict)
    resent: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def units(self) -> list[Unit]:
        return [it for _, it in sorted(self.fates.items()) if isinstance(it, Unit)]


class GatewayDouble:
    def __init__(self) -> None:
        self.token = "good"
        self.logs: dict[str, Log] = {}
        self.policy = Policy()
        self.credit = 1 << 40
        self.commits = True
        self.max_unit_bytes = 0
        self.clock_us: Callable[[], int] = lambda: time.time_ns() // 1000
        self.refuse: dict[str, Refusal] = {}
        self.fault: messages.Fault | None = None
        self.html = False
        self.hellos: list[messages.Hello] = []
        self.connections = 0
        self.received_bytes = 0
        self.url = ""
        self._sockets: set[web.WebSocketResponse] = set()
        self._channels: dict[int, str] = {}

    def log(self, camera: str) -> Log:
        return self.logs.setdefault(camera, Log())

    async def say(self, message: messages.FromGateway) -> None:
        for ws in list(self._sockets):
            await ws.send_str(messages.encode(message))

    async def fence(self, camera: str) -> None:
        log = self.log(camera)
        log.open = False
        for channel, name in self._channels.items():
            if name == camera:
                await self.say(messages.Fenced(channel, "test"))

    async def lose_log(self, camera: str) -> None:
        """As if the frame store had been wiped."""
        log = self.log(camera)
        log.next = 0
        await self.fence(camera)

    async def drop_connections(self) -> None:
        for ws in list(self._sockets):
            assert ws._req is not None
            if ws._req.transport is not None:
                ws._req.transport.abort()

    async def commit(self, camera: str, seq: int) -> None:
        log = self.log(camera)
        log.committed = max(log.committed, seq)
        await self._ack(camera)

    async def _ack(self, camera: str) -> None:
        log = self.log(camera)
        for channel, name in self._channels.items():
            if name == camera:
                await self.say(messages.Ack([(channel, log.next - 1, log.committed)]))

    async def uplink(self, request: web.Request) -> web.StreamResponse:
        if self.html:
            return web.Response(text="<html>log in to the hotel</html>", content_type="text/html")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, text="no")
        ws = web.WebSocketResponse(max_msg_size=1 << 20)
        await ws.prepare(request)
        self.connections += 1
        self._sockets.add(ws)
        self._channels = {}
        for log in self.logs.values():
            log.open = False
        reassembler = Reassembler()
        try:
            if self.fault is not None:
                await ws.send_str(messages.encode(self.fault))
                await ws.close()
                return ws
            await ws.send_str(messages.encode(messages.Credit(self.credit)))
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    await self._text(ws, messages.from_agent(message.data))
                elif message.type is WSMsgType.BINARY:
                    self.received_bytes += len(message.data)
                    whole = reassembler.feed(message.data)
                    if whole is not None:
                        item = Unit.unpack(whole.data) if isinstance(whole, UnitMessage) else whole.range
                        await self._binary(self._channels[whole.channel], item)
        finally:
            self._sockets.discard(ws)
        return ws

    async def _text(self, ws: web.WebSocketResponse, message: messages.FromAgent) -> None:
        received_us = self.clock_us()
        match message:
            case messages.Probe():
                await ws.send_str(messages.encode(messages.Probed(message.sent_us, received_us, self.clock_us())))
            case messages.Positions():
                for channel, position in message.cameras:
                    self.log(self._channels[channel]).position = position
            case messages.Hello():
                self.hellos.append(message)
                welcome = []
                for camera in message.cameras:
                    if camera.camera in self.refuse:
                        continue
                    self._channels[camera.channel] = camera.camera
                    welcome.append(self._claim(camera))
                refused = [
                    Refusal(camera.channel, it.code, it.message, it.retry_s)
                    for camera in message.cameras
                    if (it := self.refuse.get(camera.camera))
                ]
                await ws.send_str(messages.encode(messages.Welcome(1, "double", welcome, refused, self.max_unit_bytes)))

    def _claim(self, camera: messages.CameraHello) -> CameraWelcome:
        log = self.log(camera.camera)
        if camera.epoch == 0 or log.epoch == 0:
            log.epoch, log.next, log.committed = max(log.epoch, camera.epoch) + (not camera.epoch), 1, 0
            log.fates = {}
        if log.next == 0:
            log.next = max((seq for seq in camera.clean if seq <= log.committed + 1), default=log.committed + 1)
        log.open = True
        log.position = max(log.position, camera.position)
        return CameraWelcome(camera.channel, log.epoch, log.next, log.committed, self.policy)

    async def _binary(self, camera: str, item: Unit | Range) -> None:
        log = self.log(camera)
        if not log.open:
            return
        first, last = (item.seq, item.seq) if isinstance(item, Unit) else (item.first, item.last)
        if first != log.next or item.epoch != log.epoch:
            log.problems.append(f"{item.epoch}-{first}..{last} came where {log.epoch}-{log.next} was due")
            await self.fence(camera)
            return
        for seq in range(first, last + 1):
            log.resent += seq in log.fates
            log.fates[seq] = item
            log.received_us.setdefault(seq, self.clock_us())
        log.next = last + 1
        if self.commits:
            log.committed = max(log.committed, last)
        await self._ack(camera)


@asynccontextmanager
async def gateway_double(tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[GatewayDouble]:
    double = GatewayDouble()
    app = web.Application()
    app.router.add_get("/v1/uplink", double.uplink)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
    await site.start()
    bound = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    double.url = f"{'https' if tls else 'http'}://localhost:{bound}"
    try:
        yield double
    finally:
        await double.drop_connections()
        await runner.cleanup()


async def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait for `condition` to become true."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - conditions are plain state
            await asyncio.sleep(0.01)
