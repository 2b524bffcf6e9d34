"""Stores that are full, restart, or forget: agents are held up or asked to begin again; nothing is lost or doubled."""

import asyncio
from pathlib import Path

import pytest
from support.agent_client import agent, unit
from support.gateways import gateway, ledger, logged, settle
from support.stores import temporary_server, temporary_stores, wait_until

from fishladder.gateway.config import GatewaySettings
from fishladder.gateway.server import Server
from fishladder.runtime import frames
from fishladder.runtime.store import Stores, StoreUrls, open_stores
from fishladder.wire.entry import LoggedUnit
from fishladder.wire.errors import StoreUnavailable
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position, partition_of
from fishladder.wire.messages import CameraHello, Fenced, Policy

CAMERA = "shop-7/door"


async def seqs(stores: Stores, camera: str = CAMERA) -> list[int]:
    return [entry.header.seq for entry in await logged(stores, camera) if isinstance(entry, LoggedUnit)]


async def test_a_full_frame_store_holds_agents_up_and_loses_nothing(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        await client.send(0, unit(1, 1))
        await client.until_logged(0, 1)
        await stores.frames.config_set("maxmemory", "1mb")  # it holds more than that already
        await client.send(0, *(unit(1, seq) for seq in range(2, 11)))

        async def full() -> bool:
            # What came is kept, and the agent hears neither of a failure nor of progress.
            assert not client.all(Fenced)
            assert client.logged[0] == 1
            return await seqs(stores) == [1]

        await wait_until(full)
        credit = client.credit
        await stores.frames.config_set("maxmemory", "64mb")
        await client.until_logged(0, 10)
        assert await seqs(stores) == list(range(1, 11))
        assert client.credit >= credit
        assert it.server.health.ready


async def test_no_credit_while_there_is_no_room(tmp_path: Path) -> None:
    async with (
        temporary_server("frames", maxmemory=2_200_000) as small,
        temporary_server("state", appendonly=True) as durable,
    ):
        urls = StoreUrls(small.url, durable.url)
        async with (
            open_stores(urls) as stores,
            gateway(tmp_path, urls) as it,
            agent(it.url, it.token("shop-7")) as client,
        ):
            await client.open(CAMERA)
            await wait_until(lambda: client.credit > 0)
            seq = 0

            # An agent that keeps to its credit stops by itself before the store is full.
            async def held_up() -> bool:
                nonlocal seq
                while client.sent_bytes < client.credit:
                    seq += 1
                    await client.send(0, unit(1, seq, size=10_000))
                await client.until_logged(0, seq)
                for _ in range(60):
                    await asyncio.sleep(0.02)
                    if client.credit > client.sent_bytes:
                        return False
                return True

            await wait_until(held_up, 30)
            memory = await stores.frames.info("memory")
            assert memory["used_memory"] < 2_200_000
            assert seq > 20

            async def said() -> bool:
                return it.server.health.ready and "no room: 1 connection(s) wait" in it.server.health.detail

            await wait_until(said, 60)
            await settle(stores, CAMERA)
            await frames.trim(stores.frames, _partition(stores), CAMERA, Position(1, seq))
            before = client.credit
            await wait_until(lambda: client.credit > before, 60)
            await wait_until(lambda: "no room" not in it.server.health.detail, 60)


def _partition(stores: Stores) -> int:
    return partition_of(CAMERA, stores.partitions)


async def test_a_frame_store_that_forgot_everything_gets_it_again(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        await client.send(0, *(unit(1, seq) for seq in range(1, 26)))
        await client.until_logged(0, 25)
        await settle(stores, CAMERA)
        await client.send(0, *(unit(1, seq) for seq in range(26, 36)))
        await client.until_logged(0, 35)
        await stores.frames.flushall()
        await client.send(0, unit(1, 36))
        await client.hear(Fenced)
        # The agent holds units from its clean point 21 on: that is where a decoder can start again.
        welcome = (await client.hello(CameraHello(CAMERA, 0, epoch=1, position=36, oldest=21, clean=[21, 31]))).cameras[
            0
        ]
        assert (welcome.epoch, welcome.next, welcome.committed) == (1, 21, 25)
        await client.send(0, *(unit(1, seq) for seq in range(21, 41)))
        await client.until_logged(0, 40)
        assert await seqs(stores) == list(range(21, 41))
        assert await settle_from(stores, 25) == Position(1, 40)
        found = await ledger(stores, CAMERA)
        assert found.closes
        assert found.fates == {Fate.INFERRED: 40}


async def settle_from(stores: Stores, seq: int) -> Position:
    """Trim what is settled (a worker decodes it as context) and settle the rest."""
    await frames.trim(stores.frames, _partition(stores), CAMERA, Position(1, seq + 1))
    return await settle(stores, CAMERA)


async def test_what_the_agent_has_forgotten_it_may_declare(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        await client.send(0, *(unit(1, seq) for seq in range(1, 11)))
        await client.until_logged(0, 10)
        await stores.frames.flushall()
        await client.send(0, unit(1, 11))
        await client.hear(Fenced)
        welcome = await client.open(CAMERA, epoch=1, position=11, oldest=8)
        assert welcome.next == 1  # before what the agent still has: it declares the difference


@pytest.mark.parametrize("kill", [False, True], ids=["connections cut", "restarted empty"])
async def test_a_store_that_goes_away_midway(kill: bool, tmp_path: Path) -> None:
    async with (
        temporary_stores() as stores,
        gateway(tmp_path, stores.urls) as it,
        agent(it.url, it.token("shop-7")) as client,
    ):
        await client.open(CAMERA)
        sent = 0

        async def send(count: int) -> None:
            nonlocal sent
            for _ in range(count):
                sent += 1
                await client.send(0, unit(1, sent))
                await asyncio.sleep(0.001)

        for _ in range(5):
            await send(20)
            if kill:
                await stores.frames.flushall()
            await stores.frames.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await send(20)
            if kill:
                await client.hear(Fenced)
                client.heard.clear()
                welcome = await client.open(CAMERA, epoch=1, position=sent)
                assert welcome.next == 1
                await client.send(0, *(unit(1, seq) for seq in range(1, sent + 1)))
            await client.until_logged(0, sent)
        assert await seqs(stores) == list(range(1, sent + 1))
        assert not client.all(Fenced)


async def test_a_state_store_that_hangs_refuses_cameras_and_leaves_the_others(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7")) as client:
        await client.open(CAMERA)
        await stores.state.execute_command("CLIENT", "PAUSE", "7000", "WRITE")
        answer = asyncio.create_task(client.hello(CameraHello("shop-7/yard", 1)))
        await client.send(0, *(unit(1, seq) for seq in range(1, 11)))
        await client.until_logged(0, 10)
        [refusal] = (await asyncio.wait_for(answer, 10)).refused
        assert (refusal.channel, refusal.code) == (1, "unavailable")
        assert refusal.retry_s


async def test_a_full_state_store_takes_a_new_camera(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls, fps=3) as it, agent(it.url, it.token("shop-7")) as client:
        await stores.state.config_set("maxmemory", "1mb")  # it holds more than that already
        assert (await client.open(CAMERA)).policy == Policy(fps=3)
        await client.send(0, unit(1, 1))
        await client.until_logged(0, 1)


async def test_without_a_store_the_start_ends_with_a_sentence(tmp_path: Path) -> None:
    settings = GatewaySettings(port=0, metrics_port=0, data_dir=str(tmp_path), store_timeout_s=0)
    url = f"unix://{tmp_path}/nothing"
    with pytest.raises(StoreUnavailable, match="no state store at"):
        await Server(settings, StoreUrls(url, url)).run(asyncio.Event())


async def test_a_frame_store_that_restarts_while_nothing_is_sent_is_found_again(stores: Stores, tmp_path: Path) -> None:
    """An agent that comes now waits for credit, so it sends nothing that would find the connection broken."""
    async with gateway(tmp_path, stores.urls) as it:
        await stores.frames.execute_command("CLIENT", "KILL", "TYPE", "normal")
        async with agent(it.url, it.token("shop-7")) as client:
            await client.open(CAMERA)
            await wait_until(lambda: client.credit > 0, what="there is credit")
            await client.send(0, unit(1, 1))
            await client.until_logged(0, 1)
