"""`/v1/live` over real sockets: what is logged comes through unchanged and in order, to whoever may see it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.agent_client import agent, unit
from support.analysis import analyse
from support.gateways import Gateway, gateway
from support.stores import wait_until

from fishladder.runtime.store import Stores
from fishladder.wire.unit import Unit

CAMERA = "shop-7/door"


class Watcher:
    """What a viewer has received."""

    def __init__(self) -> None:
        self.units: list[Unit] = []
        self.told: list[dict[str, Any]] = []

    async def listen(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        async for message in ws:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.units.append(Unit.unpack(message.data[19:]))
            else:
                self.told.append(json.loads(message.data))


@asynccontextmanager
async def watching(it: Gateway, token: str, query: str = f"camera={CAMERA}") -> AsyncIterator[Watcher]:
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{it.url}/v1/live?{query}", headers=headers) as ws:
        watcher = Watcher()
        task = asyncio.create_task(watcher.listen(ws))
        try:
            yield watcher
        finally:
            await ws.close()
            await task


async def test_units_and_results_reach_a_viewer_unchanged(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        sent = [unit(1, seq, size=seq * 300) for seq in range(1, 26)]
        await client.send(0, *sent[:15])
        await client.until_logged(0, 15)
        async with watching(it, it.token("shop-7", scope=["view"])) as one:
            # It begins with the last clean point, not with what it cannot decode.
            await wait_until(lambda: len(one.units) >= 5, what="the pictures since the clean point")
            await client.send(0, *sent[15:])
            await wait_until(lambda: len(one.units) >= 15, what="pictures as they come")
            assert one.units == sent[10:]
            await analyse(stores, CAMERA)
            await wait_until(lambda: [t for t in one.told if t["type"] == "result"], what="a result")
            assert one.told[0]["cameras"] == [CAMERA]
            results = [t["result"] for t in one.told if t["type"] == "result"]
            assert results[0]["frames"][0]["detections"][0]["label"] == "person"
        async with watching(it, it.token("shop-7", scope=["view"]), f"camera={CAMERA}&pictures=clean") as two:
            await wait_until(lambda: two.units, what="a clean picture")
            assert [one.seq for one in two.units] == [21]


async def test_a_viewer_that_does_not_read_holds_up_nobody(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        await client.send(0, unit(1, 1, clean=True))
        await client.until_logged(0, 1)
        token = it.token("shop-7", scope=["view"])
        deaf = socket.create_connection(("127.0.0.1", it.server.port))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(
            f"GET /v1/live?camera={CAMERA} HTTP/1.1\r\nHost: 127.0.0.1:{it.server.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        try:
            async with watching(it, token) as reads:
                await wait_until(lambda: reads.units, what="the first picture")
                for seq in range(2, 62):
                    await client.send(0, unit(1, seq, size=100_000, clean=seq % 10 == 1))
                    await client.until_logged(0, seq)
                await wait_until(lambda: reads.units[-1].seq == 61, what="the last picture, at the other viewer")
        finally:
            deaf.close()


@pytest.mark.parametrize(
    ("query", "scope", "site", "status"),
    [
        (f"camera={CAMERA}", ["publish"], "shop-7", 403),
        (f"camera={CAMERA}", ["view"], "shop-8", 403),
        ("camera=Shop/door", ["view"], "shop-7", 400),
        ("", ["view"], "shop-7", 400),
        ("&".join(f"camera=shop-7/c{n}" for n in range(65)), ["view"], "shop-7", 400),
    ],
)
async def test_who_may_not_look_is_told_so(
    stores: Stores, tmp_path: Path, query: str, scope: list[str], site: str, status: int
) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with watching(it, it.token(site, scope=scope), query):
                pass
        assert refused.value.status == status


async def test_another_sites_page_cannot_use_the_cookie(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, aiohttp.ClientSession() as http:
        cookie = {"Cookie": f"fishladder_view={it.token('shop-7', scope=['view'])}"}
        async with http.ws_connect(f"{it.url}/v1/live?camera={CAMERA}", headers=cookie | {"Origin": it.url}):
            pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(
                f"{it.url}/v1/live?camera={CAMERA}", headers=cookie | {"Origin": "https://elsewhere.example"}
            )
        assert refused.value.status == 403
