"""Strangers at the door get little time and no answer they could use, whatever they do; who has a token comes in."""

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import REGISTRY
from support.agent_client import agent, unit
from support.certificates import localhost_certificate, trusting
from support.gateways import gateway
from support.stores import wait_until

from fishladder.gateway.certificate import Certificate
from fishladder.runtime.store import Stores
from fishladder.wire.errors import ConfigError

CAMERA = "shop-7/door"
QUICK = {"hello_s": 0.5, "strangers": 40, "strangers_per_address": 20}


async def knock(port: int, said: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)
    return reader, writer


async def hung_up(reader: asyncio.StreamReader) -> bytes:
    """What came until the other side closed."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            return await reader.read()
    return b""


async def slowly(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        for byte in b"GET /v1/uplink HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"x" * 1000:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("case", ["says nothing", "slow headers", "stays on", "no TLS", "half a handshake"])
async def test_strangers_are_turned_out(case: str, stores: Stores, tmp_path: Path) -> None:
    tls = {}
    if case in ("no TLS", "half a handshake"):
        cert, key = localhost_certificate(tmp_path)
        tls = {"tls_cert": str(cert), "tls_key": str(key)}
    async with gateway(tmp_path, stores.urls, limits=QUICK, **tls) as it:
        reader, writer = await knock(it.server.port)
        slow = asyncio.create_task(slowly(writer)) if case == "slow headers" else None
        if case == "stays on":
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        if case == "half a handshake":
            writer.write(b"\x16\x03\x01\x02\x00\x01")
        if case == "no TLS":
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        said = await hung_up(reader)
        assert said.startswith(b"HTTP/1.1 200") == (case == "stays on")
        assert b"about" not in said
        if slow is not None:
            slow.cancel()
        writer.close()


async def test_any_number_of_strangers_leaves_room_for_who_has_a_token(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls, limits=QUICK | {"hello_s": 30}) as it:
        crowd = [await knock(it.server.port) for _ in range(200)]
        async with agent(it.url, it.token("shop-7")) as client:
            await client.open(CAMERA)
            more = [await knock(it.server.port, b"GET /") for _ in range(200)]
            await client.send(0, *(unit(1, seq) for seq in range(1, 11)))
            await client.until_logged(0, 10)

            def standing() -> float:
                return REGISTRY.get_sample_value("fishladder_gateway_connections", {"kind": "stranger"}) or 0

            await wait_until(lambda: 0 < standing() <= QUICK["strangers_per_address"])
            for reader, writer in (crowd + more)[:-20]:
                assert await hung_up(reader) == b""
                writer.close()
            assert not client.closed.is_set()
        for _, writer in more:
            writer.close()


async def test_no_token_takes_up_the_connections_of_others(stores: Stores, tmp_path: Path) -> None:
    """One that asks for nothing much, and stays."""
    async with gateway(tmp_path, stores.urls, limits={"connections_per_token": 2}) as it, AsyncExitStack() as crowd:

        async def comes(token: str) -> tuple[int, aiohttp.ClientSession]:
            session = await crowd.enter_async_context(aiohttp.ClientSession())
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(f"{it.url}/whip/a/b", headers=headers) as reply:
                return reply.status, session

        greedy = it.token("shop-7")
        came = [await comes(greedy) for _ in range(10)]
        assert [status for status, _ in came] == [405] * 8 + [429] * 2
        assert (await comes(it.token("shop-8")))[0] == 405
        await came[0][1].close()

        async def has_room() -> bool:
            return (await comes(greedy))[0] == 405

        await wait_until(has_room, what="there is room for one again", every_s=0.1)


async def test_a_body_that_comes_slowly_is_not_waited_for(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls, limits={"hello_s": 0.5}) as it:
        head = f"POST /whip/shop-7/door HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {it.token('shop-7')}\r\n"
        head += "Content-Type: application/sdp\r\nContent-Length: 5000\r\n\r\nv=0"
        reader, writer = await knock(it.server.port, head.encode())
        assert (await hung_up(reader)).startswith(b"HTTP/1.1 408")
        writer.close()


@pytest.mark.parametrize("case", ["bad header", "long header", "many headers", "long line", "bad method"])
async def test_what_is_no_http_is_answered_and_not_quoted_in_the_log(
    case: str, stores: Stores, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        token = it.token("shop-7")
        said = {
            "bad header": f"GET /v1/uplink HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer\x00 {token}\r\n\r\n",
            "long header": f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token * 100}\r\n\r\n",
            "many headers": "GET / HTTP/1.1\r\nHost: x\r\n" + f"A: {token}\r\n" * 300 + "\r\n",
            "long line": f"GET /{token * 100} HTTP/1.1\r\nHost: x\r\n\r\n",
            "bad method": f"{token} \x01 /\r\n\r\n",
        }[case]
        reader, writer = await knock(it.server.port, said.encode())
        assert (await hung_up(reader)).startswith(b"HTTP/1.0 400")
        writer.close()
    logged = caplog.text + "".join(capsys.readouterr())
    assert token[:40] not in logged
    assert "Traceback" not in logged


async def served_by(port: int, trusted: ssl.SSLContext) -> bytes:
    """The certificate a new connection is shown."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted, server_hostname="localhost")
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return shown


async def test_a_new_certificate_is_used_and_no_connection_ends(stores: Stores, tmp_path: Path) -> None:
    cert, key = localhost_certificate(tmp_path)
    async with gateway(tmp_path, stores.urls, tls_cert=str(cert), tls_key=str(key)) as it:
        before = trusting(cert)
        async with agent(it.url, it.token("shop-7"), tls=before) as client:
            await client.open(CAMERA)
            first = await served_by(it.server.port, before)
            cert.write_text("half a file")  # as somebody writes it
            await wait_until(lambda: True)
            assert await served_by(it.server.port, before) == first
            (tmp_path / "next").mkdir()
            for made, place in zip(localhost_certificate(tmp_path / "next"), (cert, key), strict=True):
                shutil.copy(made, place)
            now = trusting(cert)

            async def renewed() -> bool:
                try:
                    return await served_by(it.server.port, now) != first
                except ssl.SSLError:
                    return False

            await wait_until(renewed, 15)
            await client.send(0, unit(1, 1))
            await client.until_logged(0, 1)
            async with agent(it.url, it.token("shop-7"), boot="boot-2", tls=now) as other:
                await other.open("shop-7/yard")
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                async with agent(it.url, it.token("shop-7"), tls=before):
                    pass


def test_a_certificate_that_will_not_do_is_named_and_one_that_ends_soon_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cert, key = localhost_certificate(tmp_path)
    it = Certificate(str(cert), str(key))
    context = it.context()
    it.look(0.0)
    assert "ends soon" not in capsys.readouterr().out
    it.look(1e10)
    assert "ends soon" in capsys.readouterr().out
    key.write_text("no key")
    it.look(1e10)
    assert it.context() is context
    assert "key.pem" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"--tls-key .*key\.pem"):
        Certificate(str(cert), str(key))
    key.chmod(0o606)
    with pytest.raises(ConfigError, match="everybody may write"):
        Certificate(str(cert), str(key))


async def crowd_of(count: int, come: Callable[[], Awaitable[object]]) -> list[object]:
    return list(await asyncio.gather(*(come() for _ in range(count)), return_exceptions=True))


async def test_a_flood_of_handshakes_leaves_the_door_open(stores: Stores, tmp_path: Path) -> None:
    cert, key = localhost_certificate(tmp_path)
    limits = QUICK | {"hello_s": 5}
    async with gateway(tmp_path, stores.urls, tls_cert=str(cert), tls_key=str(key), limits=limits) as it:
        flood = await crowd_of(200, lambda: knock(it.server.port, b"\x16\x03\x01"))
        tls = trusting(cert)
        async with agent(it.url, it.token("shop-7"), tls=tls) as client:
            await client.open(CAMERA)
            await client.send(0, unit(1, 1))
            await client.until_logged(0, 1)
        for knocked in flood:
            if isinstance(knocked, tuple):
                knocked[1].close()
