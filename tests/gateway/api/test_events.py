"""Results as Server-Sent Events: as they come, from a time on, and on from where one was."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from support.agent_client import agent, unit
from support.analysis import analyse
from support.gateways import Gateway, gateway
from support.stores import wait_until

from fishladder.runtime.store import Stores


class Reader:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    @property
    def seen(self) -> list[tuple[str, int]]:
        return [(it["camera"], it["last"]) for _, it in self.events]

    async def listen(self, reply: aiohttp.ClientResponse) -> None:
        name = ""
        async for line in reply.content:
            if line.startswith(b"id: "):
                name = line[4:].strip().decode()
            elif line.startswith(b"data: "):
                self.events.append((name, json.loads(line[6:])))


@asynccontextmanager
async def reading(it: Gateway, query: str = "", *, last: str = "", site: str = "*") -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {it.token(site, scope=['view'])}"} | ({"Last-Event-ID": last} if last else {})
    async with aiohttp.ClientSession() as http, http.get(f"{it.url}/v1/results?{query}", headers=headers) as reply:
        assert reply.status == 200, await reply.text()
        assert reply.content_type == "text/event-stream"
        reader = Reader()
        task = asyncio.create_task(reader.listen(reply))
        try:
            yield reader
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_results_come_once_each_through_lost_connections_and_new_cameras(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open("shop-7/a", 0)
        wanted: list[tuple[str, int]] = []

        async def more(channel: int, name: str, first: int, last: int) -> None:
            await client.send(channel, *(unit(1, seq) for seq in range(first, last + 1)))
            await client.until_logged(channel, last)
            await analyse(stores, name)
            wanted.extend((name, seq) for seq in range(first, last + 1))

        await more(0, "shop-7/a", 1, 4)
        async with reading(it, "since_ms=0&site=shop-7") as one:
            await wait_until(lambda: len(one.events) == 4, what="the results that are kept")
            await client.open("shop-7/b", 1)
            await more(1, "shop-7/b", 1, 3)
            await more(0, "shop-7/a", 5, 8)
            await wait_until(lambda: len(one.events) == 11, what="results as they come, of a new camera too")
            assert one.seen == wanted
        # From each of the events on, exactly what came after it.
        await more(1, "shop-7/b", 4, 5)
        for place in (0, 3, 5, 9, 10):
            async with reading(it, "site=shop-7", last=one.events[place][0]) as two:
                expected = wanted[place + 1 :]
                await wait_until(lambda two=two, expected=expected: len(two.events) >= len(expected), what="the rest")
                assert two.seen == expected


async def test_a_site_token_follows_its_own_cameras_only(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls) as it,
        agent(it.url, it.token("shop-7")) as ours,
        agent(it.url, it.token("shop-8"), boot="other") as theirs,
    ):
        for client, name in ((ours, "shop-7/a"), (theirs, "shop-8/a")):
            await client.open(name)
            await client.send(0, unit(1, 1))
            await client.until_logged(0, 1)
            await analyse(stores, name)
        async with reading(it, "since_ms=0", site="shop-8") as reader:
            await wait_until(lambda: reader.events, what="their result")
            assert reader.seen == [("shop-8/a", 1)]
