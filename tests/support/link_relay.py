"""A thin uplink between a WHIP client and a server, in this process: an HTTP proxy that puts its own UDP relay into the
answer, and a relay that loses, delays, reorders and queues what goes up, and notes each frame that enters it.
"""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from fishladder.gateway.webrtc.addresses import adapters, worth_naming

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Allow-Methods": "POST, DELETE",
    "Access-Control-Expose-Headers": "Location, ETag",
}


@dataclass(frozen=True)
class Link:
    """`rate_bps` None is no limit; `late` of the packets take `late_s` longer than the rest, which overtakes them."""

    name: str
    rtt_s: float = 0.0
    rate_bps: float | None = None
    queue_bytes: int = 62_500
    loss: float = 0.0
    late: float = 0.0
    late_s: float = 0.03


@dataclass
class Uplink:
    """What came in, and what became of it. `frames`: RTP timestamp -> when its first packet came (Unix seconds)."""

    link: Link
    ssrc: int = 0
    frames: dict[int, float] = field(default_factory=dict)
    packets: list[tuple[float, int, str]] = field(default_factory=list)  #: when, size, sent | lost | queue
    _free_at: float = 0.0
    _random: random.Random = field(default_factory=lambda: random.Random(9725))

    def take(self, data: bytes, now: float) -> float | None:
        """When a packet that comes at `now` arrives, or None if it is lost."""
        link, fate = self.link, "sent"
        if 127 < data[0] < 192 and not 191 < data[1] < 224 and int.from_bytes(data[8:12], "big") == self.ssrc:
            self.frames.setdefault(int.from_bytes(data[4:8], "big"), now)
        leaves = now
        if self._random.random() < link.loss:
            fate = "lost"
        elif link.rate_bps is not None:
            if (self._free_at - now) * link.rate_bps / 8 + len(data) > link.queue_bytes:
                fate = "queue"
            else:
                leaves = self._free_at = max(now, self._free_at) + len(data) * 8 / link.rate_bps
        self.packets.append((now, len(data), fate))
        late_s = link.late_s if self._random.random() < link.late else 0.0
        return leaves + link.rtt_s / 2 + late_s if fate == "sent" else None


class _Side(asyncio.DatagramProtocol):
    """One socket of the relay: the client's, or the server's."""

    def __init__(self, relay: "Relay", *, up: bool) -> None:
        self.relay, self.up = relay, up
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        (self.relay.goes_up if self.up else self.relay.goes_down)(data, addr)


class Relay:
    def __init__(self, link: Link, upstream: str) -> None:
        self.uplink = Uplink(link)
        self.upstream = upstream
        self.host = next(one for one in worth_naming(adapters(), ipv6=False))
        self.port = 0
        self.session = ""
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None
        self._below, self._above = _Side(self, up=True), _Side(self, up=False)

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for side in (self._below, self._above):
            await loop.create_datagram_endpoint(lambda side=side: side, local_addr=(self.host, 0))  # type: ignore[misc]
        assert self._below.transport is not None
        self.port = self._below.transport.get_extra_info("sockname")[1]

    def close(self) -> None:
        for side in (self._below, self._above):
            if side.transport is not None:
                side.transport.close()

    def goes_up(self, data: bytes, addr: tuple[str, int]) -> None:
        self._client = addr
        now = time.time()
        arrives = self.uplink.take(data, now)
        if arrives is not None and self._server is not None and self._above.transport is not None:
            self._later(arrives - now, self._above.transport, data, self._server)

    def goes_down(self, data: bytes, _: tuple[str, int]) -> None:
        if self._client is not None and self._below.transport is not None:
            self._later(self.uplink.link.rtt_s / 2, self._below.transport, data, self._client)

    def _later(self, wait_s: float, by: asyncio.DatagramTransport, data: bytes, to: tuple[str, int]) -> None:
        def send() -> None:
            if not by.is_closing():
                by.sendto(data, to)

        if wait_s <= 0:
            send()
        else:
            asyncio.get_running_loop().call_later(wait_s, send)

    async def post(self, request: web.Request) -> web.Response:
        """Hand an offer on without its candidates: the server shall know no other way than through here."""
        offer = await request.text()
        video = offer[offer.index("m=video") :]
        self.uplink.ssrc = int((re.search(r"a=ssrc-group:FID (\d+)", video) or re.search(r"a=ssrc:(\d+)", video))[1])  # type: ignore[index]
        offer = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", offer)
        kind = {"Content-Type": "application/sdp"}
        kind |= {name: value for name, value in request.headers.items() if name == "Authorization"}
        async with aiohttp.ClientSession() as http, http.post(self.upstream, data=offer, headers=kind) as reply:
            answer = await reply.text()
            self.session = reply.headers.get("Location", "")
            status = reply.status
        found = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+)", answer)
        self._server = next((host, int(port)) for host, port in found if host == self.host)
        first = iter([f"a=candidate:1 1 udp 2130706431 {self.host} {self.port} typ host\r\n"])
        answer = re.sub(r"a=candidate:.*\r\n", lambda _: next(first, ""), answer)
        return web.Response(
            status=status,
            text=answer,
            content_type="application/sdp",
            headers=_CORS | {"Location": "/session", "ETag": '"1"'},
        )


@asynccontextmanager
async def relayed(link: Link, upstream: str) -> AsyncIterator[tuple[Relay, str]]:
    """A relay to a WHIP endpoint, and the URL to use in its place."""
    relay = Relay(link, upstream)
    await relay.open()
    app = web.Application()
    app.router.add_post("/whip", relay.post)

    async def allow(_: web.Request) -> web.Response:
        return web.Response(headers=_CORS)

    app.router.add_route("OPTIONS", "/whip", allow)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield relay, f"http://127.0.0.1:{runner.addresses[0][1]}/whip"
    finally:
        await runner.cleanup()
        relay.close()
