"""Store connections that go silent without being closed: what is asked over them is asked again over new ones."""

import asyncio
from pathlib import Path

import pytest
from support.agent_client import agent, unit
from support.freezing import freezing_relay
from support.gateways import gateway
from support.stores import wait_until

from fishladder.runtime import commits
from fishladder.runtime.store import Stores, StoreUrls
from fishladder.wire import keys
from fishladder.wire.ids import partition_of
from fishladder.wire.messages import CameraHello, Control, Fenced, Positions, encode

CAMERA = "shop-7/door"


async def test_frozen_connections_hold_nothing_up_for_long(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fishladder.gateway.asking.ANSWER_S", 1.0)
    monkeypatch.setattr("fishladder.gateway.committed.PING_S", 1.0)
    monkeypatch.setattr("fishladder.gateway.framelink.REPLY_TIMEOUT_S", 1.0)
    partition = partition_of(CAMERA, stores.partitions)
    await stores.frames.config_set("maxmemory", "16mb")
    async with (
        freezing_relay(stores.urls.frames) as frames,
        freezing_relay(stores.urls.state) as states,
        gateway(tmp_path, StoreUrls(frames.url, states.url)) as it,
        agent(it.url, it.token("shop-7")) as client,
    ):
        await client.open(CAMERA)
        await client.send(0, unit(1, 1))
        await client.until_logged(0, 1)
        await wait_until(lambda: client.credit > 0)
        frames.freeze()
        states.freeze()
        # More than all the credit there is without another measurement, so it takes one to go on.
        seq, end = 1, client.credit + 8_000_000
        await client.socket.send_str(encode(Positions([(0, 900)])))
        sending = asyncio.get_running_loop().time()
        while client.sent_bytes < end:
            if client.sent_bytes < client.credit:
                seq += 1
                await client.send(0, unit(1, seq, size=200_000))
                await stores.frames.xtrim(keys.log(partition, CAMERA), maxlen=5)  # so that there is room
            else:
                await asyncio.sleep(0.01)
            assert asyncio.get_running_loop().time() - sending < 30, (client.credit, client.sent_bytes, client.logged)
        await wait_until(lambda: client.logged.get(0) == seq, 20, "all of it logged")
        # Both ways of hearing of commits work again: asking, and being told.
        await stores.state.hset(keys.cursor(partition, CAMERA), commits.cursor_field(), f"1-{seq - 1}")
        await wait_until(lambda: client.committed[0] == seq - 1, 20, "the cursor polled")

        async def told() -> bool:
            await stores.state.publish(keys.control(partition), b'{"camera":"shop-7/door","keyframe":true}')
            return bool(client.all(Control))

        await wait_until(told, 20, "news from workers")

        async def recorded() -> bool:
            return await stores.state.hget(keys.camera(partition, CAMERA), "position") == b"900"

        await wait_until(recorded, 20, "the position written")


async def test_a_camera_taken_over_while_its_hello_waits_is_refused_for_now(stores: Stores, tmp_path: Path) -> None:
    async with (
        freezing_relay(stores.urls.state) as states,
        gateway(tmp_path, StoreUrls(stores.urls.frames, states.url)) as it,
        agent(it.url, it.token("shop-7"), boot="first") as first,
        agent(it.url, it.token("shop-7"), boot="second") as second,
    ):
        states.hold = b"shop-7/stuck"
        answer = asyncio.create_task(first.hello(CameraHello(CAMERA, 0), CameraHello("shop-7/stuck", 1)))
        # The epoch in the frame store says that the first of the two is open, while the other waits.
        partition = partition_of(CAMERA, stores.partitions)
        await wait_until(lambda: stores.frames.exists(keys.owner(partition, CAMERA)))
        await wait_until(lambda: states.held)
        assert (await second.open(CAMERA)).epoch == 2
        welcome = await asyncio.wait_for(answer, 10)
        assert not welcome.cameras
        assert {refusal.channel: refusal.code for refusal in welcome.refused} == {0: "unavailable", 1: "unavailable"}
        assert all(refusal.retry_s for refusal in welcome.refused)
        assert not first.all(Fenced), "there was no session of it to fence"
        await second.send(0, unit(2, 1))
        await second.until_logged(0, 1)
