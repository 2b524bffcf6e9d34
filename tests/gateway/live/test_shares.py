"""What one token may take of a gateway, so that those of other sites find room, over real sockets."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support.gateways import Gateway, gateway

from fishladder.runtime.store import Stores

CAMERA = "shop-7/door"


@asynccontextmanager
async def looking(it: Gateway, token: str, query: str = f"camera={CAMERA}") -> AsyncIterator[None]:
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{it.url}/v1/live?{query}", headers=headers):
        yield


async def refusal(it: Gateway, token: str, query: str = f"camera={CAMERA}") -> str:
    """Why a WebSocket is refused, as a page learns it: by a request that is none."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with looking(it, token, query):
            pass
    assert refused.value.status == 429
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as http, http.get(f"{it.url}/v1/live?{query}", headers=headers) as reply:
        assert reply.status == 429, reply.status
        return str((await reply.json())["error"])


async def test_one_token_does_not_shut_out_those_of_another_site(stores: Stores, tmp_path: Path) -> None:
    limits = {"viewers": 16, "watched_cameras": 128}
    async with gateway(tmp_path, stores.urls, limits=limits) as it, AsyncExitStack() as open_:
        # The same person's name on two sites' tokens.
        ours, theirs = (it.token(site, subject="wall", scope=["view"]) for site in ("shop-7", "shop-8"))
        many = "&".join(f"camera=shop-7/c{index}" for index in range(1, 65))
        desk = it.token("shop-7", subject="desk", scope=["view"])
        async with looking(it, desk, many):
            assert "64 cameras at once" in await refusal(it, desk)
        for _ in range(4):
            await open_.enter_async_context(looking(it, ours))
        assert "one token may open 4 pages" in await refusal(it, ours)
        await open_.enter_async_context(looking(it, theirs, "camera=shop-8/door"))


async def test_nor_those_who_follow_the_results(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, aiohttp.ClientSession() as http, AsyncExitStack() as open_:

        async def follow(site: str) -> int:
            headers = {"Authorization": f"Bearer {it.token(site, subject='wall', scope=['view'])}"}
            return (await open_.enter_async_context(http.get(f"{it.url}/v1/results", headers=headers))).status

        assert [await follow("shop-7") for _ in range(17)] == [200] * 16 + [429]
        assert await follow("shop-8") == 200
