"""A peer that says nothing is pinged: one that answers stays, one that is dead is gone, and leaves nothing."""

import asyncio
import gc
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType
from support.gateways import gateway
from support.stores import wait_until

from fishladder.gateway import pulse
from fishladder.runtime.store import Stores
from fishladder.wire.messages import Hello, encode


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_PING_S", 0.5)
    monkeypatch.setattr(pulse, "_PONG_S", 0.5)


async def test_who_answers_no_ping_is_gone(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls, limits={"hello_s": 1}) as it, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {it.token('shop-7')}"}
        async with http.ws_connect(f"{it.url}/v1/uplink", headers=headers, autoping=False) as dead:
            await dead.send_str(encode(Hello((1, 1), "dead", 1, [])))
            heard = [message.type async for message in dead]
        assert WSMsgType.PING in heard
        assert dead.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION


async def test_who_answers_pings_stays(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls, limits={"hello_s": 1}) as it, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {it.token('shop-7')}"}
        async with http.ws_connect(f"{it.url}/v1/uplink", headers=headers, autoping=False) as alive:
            await alive.send_str(encode(Hello((1, 1), "alive", 1, [])))
            pings = 0
            while pings < 4:
                message = await alive.receive()
                if message.type is WSMsgType.PING:
                    pings += 1
                    await alive.pong(message.data)
                assert message.type in (WSMsgType.PING, WSMsgType.TEXT)


async def test_a_connection_that_has_ended_leaves_nothing_in_memory(stores: Stores, tmp_path: Path) -> None:
    def sockets() -> int:
        gc.collect()
        return sum(isinstance(one, aiohttp.web.WebSocketResponse) for one in gc.get_objects())

    async with gateway(tmp_path, stores.urls) as it, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {it.token('shop-7')}"}
        for _ in range(8):
            async with http.ws_connect(f"{it.url}/v1/uplink", headers=headers) as one:
                await one.send_str("!!!")
                async for _ in one:
                    pass
        await asyncio.sleep(0)
        await wait_until(lambda: sockets() == 0, 5, "all of them are forgotten")
