"""A small agent that speaks the uplink's contract over a real WebSocket, for tests of the gateway: it does what it is
told and keeps what it hears. It does not decide anything by itself.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
from support.stores import wait_until

from fishladder.wire.framing import fragments, range_message
from fishladder.wire.messages import (
    Ack,
    CameraHello,
    CameraWelcome,
    Credit,
    Fault,
    Fenced,
    FromGateway,
    Hello,
    Welcome,
    encode,
    from_gateway,
)
from fishladder.wire.unit import NO_FLAGS, Codec, Flag, Range, Unit

T = TypeVar("T")


def unit(
    epoch: int,
    seq: int,
    *,
    size: int = 500,
    clean: bool | None = None,
    captured_us: int | None = None,
    flags: Flag = NO_FLAGS,
) -> Unit:
    """A unit whose payload says which it is; captured now unless told, on a clock in step with the gateway's."""
    is_clean = seq % 10 == 1 if clean is None else clean
    return Unit(
        epoch=epoch,
        seq=seq,
        codec=Codec.H264,
        payload=(b"%d-%d " % (epoch, seq)) * (size // 8 + 1),
        flags=(Flag.CLEAN if is_clean else Flag(0)) | Flag.SYNCED | flags,
        pts_us=seq * 40_000,
        duration_us=40_000,
        wall_us=time.time_ns() // 1000 if captured_us is None else captured_us,
    )


@dataclass
class AgentClient:
    """One connection. `heard` is everything the gateway said, in order."""

    socket: aiohttp.ClientWebSocketResponse
    boot: str
    hellos: int = 0
    heard: list[FromGateway] = field(default_factory=list)
    logged: dict[int, int] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)
    credit: int = 0
    sent_bytes: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def hello(self, *cameras: CameraHello) -> Welcome:
        """Say hello for some cameras and wait for the answer."""
        before = len(self.all(Welcome))
        self.hellos += 1
        await self.socket.send_str(encode(Hello((1, 1), self.boot, self.hellos, list(cameras), "test")))
        await wait_until(lambda: len(self.all(Welcome)) > before or self.closed.is_set(), what="a welcome")
        assert len(self.all(Welcome)) > before, f"closed instead of a welcome: {self.heard[-3:]}"
        return self.all(Welcome)[before]

    async def open(self, camera: str, channel: int = 0, **remembered: int | bool) -> CameraWelcome:
        """Say hello for one camera, which must be welcome."""
        welcome = await self.hello(CameraHello(camera, channel, **remembered))  # type: ignore[arg-type]
        assert welcome.cameras, welcome.refused
        return welcome.cameras[0]

    async def send(self, channel: int, *units: Unit, fragment_bytes: int = 16384) -> None:
        for one in units:
            for message in fragments(channel, one.pack(), fragment_bytes):
                self.sent_bytes += len(message)
                await self.socket.send_bytes(message)

    async def declare(self, channel: int, declared: Range) -> None:
        await self.socket.send_bytes(range_message(channel, declared))

    async def until_logged(self, channel: int, seq: int) -> None:
        await wait_until(lambda: self.logged.get(channel, 0) >= seq, what=f"channel {channel} logged up to {seq}")

    async def hear(self, kind: type[T], where: Callable[[T], bool] = lambda _: True) -> T:
        """Wait until the gateway has said something of a kind."""
        found = await wait_until(lambda: [it for it in self.all(kind) if where(it)], what=f"a {kind.__name__}")
        return found[0]

    async def fault(self) -> Fault:
        """Wait until the gateway has ended the connection; what it said last must be why."""
        await asyncio.wait_for(self.closed.wait(), 10)
        assert isinstance(self.heard[-1], Fault), self.heard[-3:]
        return self.heard[-1]

    def all(self, kind: type[T]) -> list[T]:
        return [message for message in self.heard if isinstance(message, kind)]

    async def listen(self) -> None:
        async for message in self.socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            said = from_gateway(message.data)
            self.heard.append(said)
            if isinstance(said, Ack):
                for channel, logged, committed in said.cameras:
                    self.logged[channel], self.committed[channel] = logged, committed
            elif isinstance(said, Credit):
                self.credit = said.bytes
            elif isinstance(said, Fenced):
                self.logged.pop(said.channel, None)
        self.closed.set()


@asynccontextmanager
async def agent(
    url: str, token: str | None, *, boot: str = "boot-1", hellos: int = 0, tls: ssl.SSLContext | bool = True
) -> AsyncIterator[AgentClient]:
    """Connect to `<url>/v1/uplink`. Raises aiohttp's `WSServerHandshakeError` if the gateway refuses."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/v1/uplink", headers=headers, ssl=tls, max_msg_size=0) as socket,
    ):
        client = AgentClient(socket, boot, hellos)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            await socket.close()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
