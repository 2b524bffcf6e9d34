"""What a wrong or malicious peer gets: one clear answer, while the other cameras go on and their ledgers close."""

import asyncio
import contextlib
import json
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import REGISTRY
from support.agent_client import AgentClient, agent, unit
from support.gateways import Gateway, gateway, ledger, settle
from support.stores import wait_until

from fishladder.gateway.tokens import KeyFile, issue
from fishladder.runtime.store import Stores
from fishladder.wire.fates import Fate
from fishladder.wire.framing import MAX_MESSAGE_BYTES, fragments, range_message
from fishladder.wire.messages import CameraHello, Fenced, Hello, Probe, encode
from fishladder.wire.unit import Flag, Range

GOOD = "shop-7/good"
BAD = "shop-7/bad"


@asynccontextmanager
async def undisturbed(stores: Stores, it: Gateway) -> AsyncIterator[None]:
    """A well-behaved agent sends all the while; afterwards everything of it is logged and its ledger closes."""
    async with agent(it.url, it.token("shop-7"), boot="good") as client:
        await client.open(GOOD)
        over = asyncio.Event()

        async def send() -> int:
            seq = 0
            while not over.is_set() or seq < 20:
                seq += 1
                await client.send(0, unit(1, seq))
                await asyncio.sleep(0.005)
            return seq

        sending = asyncio.create_task(send())
        try:
            yield
        finally:
            over.set()
            last = await sending
        await client.until_logged(0, last)
        await settle(stores, GOOD)
        await wait_until(lambda: client.committed[0] == last)
        found = await ledger(stores, GOOD)
        assert found.closes
        assert found.fates == {Fate.INFERRED: last}


def elsewhere(it: Gateway, tmp_path: Path) -> str:
    """A token signed with a key that is not this gateway's, under a kid that is."""
    [kid] = json.loads(it.settings.keys_path.read_text())
    keys = tmp_path / "other.json"
    keys.write_text(json.dumps({kid: "x" * 40}))
    told = {"subject": "mallory", "site": "shop-7", "cameras": ["*"], "lifetime_s": 60, "now": time.time()}
    return issue(KeyFile(keys), scope=["publish"], **told)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", ["none", "garbage", "expired", "other key", "no algorithm", "long"])
async def test_without_a_good_token_there_is_no_connection(case: str, stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        token = {
            "none": None,
            "garbage": "a.b.c",
            "expired": it.token("shop-7", now=time.time() - 7200),
            "other key": elsewhere(it, tmp_path),
            "no algorithm": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4Iiwic2l0ZSI6InNob3AtNyIsImV4cCI6OTk5OTk5OTk5OX0.",
            "long": "x" * 8000,
        }[case]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with agent(it.url, token):
                pass
        assert refused.value.status == 401


async def test_a_token_to_view_does_not_publish(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with agent(it.url, it.token("shop-7", scope=["view"])):
                pass
        assert refused.value.status == 403


async def test_cameras_the_token_does_not_cover_are_refused_and_the_others_welcome(
    stores: Stores, tmp_path: Path
) -> None:
    wanted = ["shop-7/door-1", "shop-8/door-1", "shop-7/yard", "Shop 7/door", "shop-7/door-2"]
    async with gateway(tmp_path, stores.urls) as it, agent(it.url, it.token("shop-7", cameras=["door*"])) as client:
        welcome = await client.hello(*(CameraHello(name, channel) for channel, name in enumerate(wanted)))
        assert [camera.channel for camera in welcome.cameras] == [0, 4]
        assert {refusal.channel: refusal.code for refusal in welcome.refused} == {
            1: "forbidden",
            2: "forbidden",
            3: "invalid",
        }
        await client.send(4, unit(1, 1))
        await client.until_logged(4, 1)


def unit_with(offset: int, value: bytes) -> bytes:
    packed = unit(1, 1).pack()
    return packed[:offset] + value + packed[offset + len(value) :]


Send = Callable[[AgentClient], Awaitable[None]]
WIRE = {
    "garbage text": "!!!",
    "unknown type": '{"type":"reboot"}',
    "wrong field": '{"type":"positions","cameras":"all"}',
    "deep text": "[" * 100_000,
    "not UTF-8": b"\xff\xfe",
    "other version": encode(Hello((7, 9), "boot-1", 1, [])),
    "hello out of range": encode(Hello((1, 1), "boot-1", 1, [CameraHello(BAD, 70_000)])),
    "epoch out of range": encode(Hello((1, 1), "boot-1", 1, [CameraHello(BAD, 0, epoch=2**60)])),
    "taken channel": encode(Hello((1, 1), "boot-1", 9, [CameraHello("shop-7/third", 0)])),
    "empty binary": b"",
    "unknown kind": b"\x09\x00\x00\x00",
    "unknown channel": next(fragments(9, unit(1, 1).pack(), 16384)),
    "truncated unit": next(fragments(0, unit(1, 1).pack()[:30], 16384)),
    "short first fragment": b"\x01\x01\x00\x00",
    "sizes that disagree": b"\x01\x03\x00\x00" + struct.pack(">I", 500) + b"x" * 99,
    "unit too large": b"\x01\x01\x00\x00" + struct.pack(">I", 2**31) + b"x" * 99,
    "no first fragment": b"\x01\x00\x00\x00xxx",
    "unknown codec": next(fragments(0, unit_with(1, b"\x63"), 16384)),
    "seq zero": next(fragments(0, unit_with(24, bytes(8)), 16384)),
    "seq too large": next(fragments(0, unit_with(24, b"\xff" * 8), 16384)),
    "context": next(fragments(0, unit(1, 1, flags=Flag.CONTEXT).pack(), 16384)),
    "deferred range": range_message(0, Range(epoch=1, first=1, last=5, fate=Fate.DEFERRED)),
    "inferred range": range_message(0, Range(epoch=1, first=1, last=5, fate=Fate.INFERRED)),
    "range backwards": range_message(0, Range(epoch=1, first=5, last=1, fate=Fate.SHED)),
}


async def test_what_breaks_the_protocol_ends_that_connection_with_a_reason(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, undisturbed(stores, it):
        for hello, (case, message) in enumerate(WIRE.items()):
            async with agent(it.url, it.token("shop-7"), boot="bad", hellos=2 * hello) as client:
                await client.open(BAD, epoch=min(hello, 1))
                if isinstance(message, str):
                    await client.socket.send_str(message)
                elif case == "not UTF-8":
                    await client.socket.send_frame(message, aiohttp.WSMsgType.TEXT)
                else:
                    await client.socket.send_bytes(message)
                fault = await client.fault()
                assert fault.message, case
                assert (fault.code == "version") == (case == "other version"), case


async def test_a_message_of_100_mb_is_refused_unread(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, undisturbed(stores, it):
        for size in (MAX_MESSAGE_BYTES + 1, 100_000_000):
            async with agent(it.url, it.token("shop-7"), boot="bad") as client:
                try:
                    await client.socket.send_bytes(bytes(size))
                except ConnectionError:
                    continue  # the gateway had closed before all of it was sent
                await asyncio.wait_for(client.closed.wait(), 10)
                assert client.socket.close_code in (1009, 1006)


async def test_a_gap_and_a_wrong_epoch_fence_that_camera_alone(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls) as it,
        undisturbed(stores, it),
        agent(it.url, it.token("shop-7"), boot="bad") as client,
    ):
        await client.open(BAD)
        await client.open("shop-7/third", 1)
        for wrong in (unit(1, 5), unit(7, 1)):
            before = len(client.all(Fenced))
            await client.send(0, unit(1, 1), wrong, unit(1, 2))
            await wait_until(lambda before=before: len(client.all(Fenced)) > before)  # type: ignore[misc]
            reason = client.all(Fenced)[-1].reason
            assert f"{wrong.epoch}-{wrong.seq}" in reason
            assert (await client.open(BAD, epoch=1, position=5)).next <= 2
        await client.send(1, unit(1, 1))
        await client.until_logged(1, 1)


async def test_an_agent_that_ignores_its_credit_is_cut_off(stores: Stores, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, stores.urls, limits={"unit_bytes": 100_000}) as it,
        agent(it.url, it.token("shop-7")) as client,
    ):
        await client.open(BAD)
        seq = 0
        with contextlib.suppress(ConnectionError):
            while not client.closed.is_set():
                seq += 1
                await client.send(0, unit(1, seq, size=90_000))
        assert (await client.fault()).code == "limit"


async def test_who_says_nothing_is_cut_off(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls, limits={"hello_s": 0.4, "idle_s": 0.8}) as it:
        async with agent(it.url, it.token("shop-7")) as client:
            assert "no hello" in (await client.fault()).message
        async with agent(it.url, it.token("shop-7")) as client:
            await client.open(BAD)
            assert "nothing heard" in (await client.fault()).message


async def test_who_does_not_listen_is_cut_off(stores: Stores, tmp_path: Path) -> None:
    headers = {}
    async with gateway(tmp_path, stores.urls) as it, undisturbed(stores, it):
        headers["Authorization"] = f"Bearer {it.token('shop-7')}"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{it.url}/v1/uplink", headers=headers) as mute,
        ):
            await mute.send_str(encode(Hello((1, 1), "mute", 1, [])))
            with contextlib.suppress(ConnectionError):
                for number in range(1_000_000):
                    await mute.send_str(encode(Probe(number)))
            assert number < 999_999


async def test_who_does_not_listen_and_breaks_the_protocol_is_gone_too(stores: Stores, tmp_path: Path) -> None:
    def count(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"fishladder_gateway_{name}", labels) or 0.0

    names = [CameraHello(f"Not a name {'x' * 100} {channel}", channel) for channel in range(256)]
    async with gateway(tmp_path, stores.urls, limits={"idle_s": 600}) as it:
        headers = {"Authorization": f"Bearer {it.token('shop-7')}"}
        before = count("refused_total", reason="invalid")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{it.url}/v1/uplink", headers=headers, heartbeat=None) as mute,
        ):
            assert mute._conn is not None  # aiohttp has no way to stop reading
            transport = mute._conn.transport
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            # More answers than sockets take in for a peer that does not read; then no more are made for it.

            async def answered(number: int) -> bool:
                await mute.send_str(encode(Hello((1, 1), "mute", number, names)))
                wanted = before + 256 * number
                with contextlib.suppress(AssertionError):
                    return await wait_until(lambda: count("refused_total", reason="invalid") >= wanted, 2)
                return False

            number = 1
            while await answered(number):
                number += 1
                assert number < 1000
            assert count("connections", kind="uplink") == 1
            await mute.send_str("!!!")
            await wait_until(lambda: count("connections", kind="uplink") == 0, 15, "the connection is cut")

            async def cut() -> bool:
                try:
                    await mute.send_str("still here")
                except ConnectionError:
                    return True
                return False

            await wait_until(cut, what="the peer's end is cut too")


async def test_limits_on_connections_and_cameras(stores: Stores, tmp_path: Path) -> None:
    limits = {"connections_per_token": 1, "cameras_per_connection": 2}
    async with gateway(tmp_path, stores.urls, limits=limits) as it, agent(it.url, it.token("shop-7")) as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with agent(it.url, it.token("shop-7")):
                pass
        assert refused.value.status == 429
        async with agent(it.url, it.token("shop-8")) as other:
            await other.open("shop-8/door")
        welcome = await client.hello(*(CameraHello(f"shop-7/cam{channel}", channel) for channel in range(3)))
        assert len(welcome.cameras) == 2
        assert [refusal.code for refusal in welcome.refused] == ["limit"]


async def test_a_connection_ends_with_its_token(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        token = it.token("shop-7", lifetime_s=5, now=time.time() - 10)  # good for five seconds more, by the leeway
        async with agent(it.url, token) as client:
            assert (await client.fault()).code == "token"
