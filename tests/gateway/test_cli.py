"""The command as an operator starts it: settings that cannot be, what it says, how it ends."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support.agent_client import agent, unit
from support.certificates import localhost_certificate, trusting
from support.fleet import free_port, listens
from support.stores import StartServer, wait_until

from fishladder.gateway.cli import gateway
from fishladder.gateway.tokens import KEYS_FILE, KeyFile, issue
from fishladder.wire.errors import ConfigError
from fishladder.wire.messages import Welcome

COMMAND = (sys.executable, "-m", "fishladder.runtime", "gateway", "run")


@asynccontextmanager
async def running(place: Path, *flags: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path]]:
    """A gateway process and the file it logs to."""
    said = place / "gateway.log"
    with said.open("wb") as log:
        process = await asyncio.create_subprocess_exec(*COMMAND, *flags, stdout=log, stderr=log)
    try:
        yield process, said
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def ended(*flags: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run the command to its end; exit status and the last line it said."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *flags, stdout=-1, stderr=-1, env={**os.environ, **(env or {})}
    )
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    text = err.decode()
    assert "Traceback" not in text
    return process.returncode, text.strip().splitlines()[-1]


async def get(url: str, **request: object) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(url, **request) as reply:  # type: ignore[arg-type]
                return reply.status, await reply.text()
        except aiohttp.ClientError:
            return 0, ""


def test_settings_that_cannot_be_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[gateway]\nprot = 1\n")
    cases = {
        ("--host", "0.0.0.0"): "--insecure",
        ("--host", "0.0.0.0", "--insecure", "--auth", "off"): "--auth off",
        ("--host", "127.example.org"): "--insecure",
        ("--tls-cert", "/nowhere/cert.pem"): "--tls-key",
        ("--fps", "0"): "--fps",
        ("--port", "99999"): "99999",
        ("--processes", "0"): "--processes",
        ("--log-level", "loud"): "loud",
        ("--config", str(bad)): "prot",
        ("--config", "/nowhere.toml"): "/nowhere.toml",
        ("--frames", "redis://here"): "--redis",
    }
    for flags, word in cases.items():
        with pytest.raises(ConfigError, match=word):
            gateway.main(["run", *flags], standalone_mode=False)


async def test_what_is_found_at_the_start_is_one_clear_line(tmp_path: Path) -> None:
    cases: list[tuple[tuple[str, ...], int, str]] = [
        (("--tls-cert", "/nowhere/cert.pem", "--tls-key", "/nowhere/key.pem"), 2, "/nowhere/cert.pem"),
        (("--redis", "http://here"), 2, "redis://"),
        (("--redis", "redis://:secret@127.0.0.1:1", "--store-timeout", "0"), 3, "redis://***@127.0.0.1:1"),
    ]
    common = ("--data-dir", str(tmp_path / "data"), "--metrics-port", "0")
    outcomes = await asyncio.gather(*(ended("--port", str(free_port()), *common, *flags) for flags, _, _ in cases))
    for (status, line), (flags, wanted, word) in zip(outcomes, cases, strict=True):
        assert (status, word in line) == (wanted, True), (flags, status, line)
        assert "secret" not in line


async def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        common = ("--data-dir", str(tmp_path), "--metrics-port")
        for flags in (("--port", port, *common, "0"), ("--port", str(free_port()), *common, port)):
            status, line = await ended(*flags)
            assert status == 2
            assert f"127.0.0.1:{port}" in line
            assert "in use" in line
        status, line = await ended("--port", port, *common, "0", "--processes", "2")
        assert (status, "in use" in line) == (2, True)


async def test_tls_embedded_stores_health_metrics_and_a_drain(tmp_path: Path) -> None:
    cert, key = localhost_certificate(tmp_path)
    port, metrics = free_port(), free_port()
    url = f"https://127.0.0.1:{port}"
    flags = ("--tls-cert", str(cert), "--tls-key", str(key), "--data-dir", str(tmp_path))
    async with running(tmp_path, "--port", str(port), "--metrics-port", str(metrics), *flags) as (process, said):
        tls = trusting(cert)

        async def ready() -> bool:
            assert process.returncode is None, said.read_text()
            return (await get(url + "/readyz", ssl=tls))[0] == 200

        await wait_until(ready, 20)
        assert await get(url + "/readyz", ssl=tls) == (
            200,
            "state store: durable; frame store: 512 MiB, refuses more when full\n",
        )
        assert await get(url + "/healthz", ssl=tls) == (200, "ok\n")
        assert "fishladder" in (await get(url + "/", ssl=tls))[1]
        assert (await get(url + "/v1/uplink", ssl=tls))[0] == 401
        told = {"subject": "t", "site": "shop-7", "cameras": ["*"], "lifetime_s": 60, "now": 0}
        token = issue(KeyFile(tmp_path / KEYS_FILE), scope=["publish"], **(told | {"lifetime_s": 10**10}))  # type: ignore[arg-type]
        async with agent(url, token, tls=tls) as client:
            await client.open("shop-7/door")
            await client.send(0, *(unit(1, seq) for seq in range(1, 6)))
            await client.until_logged(0, 5)
            _, text = await get(f"http://127.0.0.1:{metrics}/metrics")
            assert 'fishladder_gateway_units_total{camera="door",site="shop-7"} 5.0' in text
            assert 'fishladder_gateway_unit_bytes_total{camera="door",site="shop-7"}' in text
            assert 'fishladder_gateway_refused_total{reason="token"} 1.0' in text
            assert 'fishladder_gateway_connections{kind="uplink"} 1.0' in text
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0
        log = said.read_text()
        assert token not in log
        assert '"stopped"' in log


async def test_a_process_that_cannot_start_is_one_clear_line(tmp_path: Path) -> None:
    common = ("--data-dir", str(tmp_path), "--redis", "redis://127.0.0.1:1", "--store-timeout", "0")
    status, line = await ended("--port", str(free_port()), "--metrics-port", "0", "--processes", "2", *common)
    assert (status, "could not start" in line) == (3, True)


async def test_agents_of_a_process_that_dies_go_on_at_another(tmp_path: Path) -> None:
    port = free_port()
    flags = ("--port", str(port), "--metrics-port", "0", "--processes", "2", "--auth", "off")
    url = f"http://127.0.0.1:{port}"
    async with running(tmp_path, *flags, "--data-dir", str(tmp_path)) as (process, said):
        await wait_until(lambda: said.read_text().count('"ready"') == 2 or process.returncode is not None, 30)
        async with agent(url, None) as client:
            assert (await client.open("shop-7/door")).next == 1
            await client.send(0, unit(1, 1))
            await client.until_logged(0, 1)
            os.kill(int(client.all(Welcome)[0].gateway.rpartition("/")[2]), signal.SIGKILL)
            await asyncio.wait_for(client.closed.wait(), 10)
        await wait_until(lambda: listens(port), 10)  # whose listening socket may go a moment after its connections
        async with agent(url, None, hellos=1) as client:
            assert (await client.open("shop-7/door", epoch=1, position=2)).next == 2
            await client.send(0, unit(1, 2))
            await client.until_logged(0, 2)
            # And the dead one is replaced.
            await wait_until(lambda: said.read_text().count('"ready"') == 3, 20)
            await client.send(0, unit(1, 3))
            await client.until_logged(0, 3)


async def test_processes_share_a_port_and_the_stores(tmp_path: Path, store_server: StartServer) -> None:
    url = await store_server(appendonly=True)
    port = free_port()
    flags = ("--port", str(port), "--metrics-port", "0", "--processes", "2", "--auth", "off", "--redis", url)
    async with running(tmp_path, *flags, "--data-dir", str(tmp_path)) as (process, said):
        await wait_until(lambda: said.read_text().count('"ready"') == 2 or process.returncode is not None, 30)
        names = set()
        for index in range(30):
            async with agent(f"http://127.0.0.1:{port}", None, boot=f"boot-{index}") as client:
                await client.open(f"shop-7/cam{index}")
                await client.send(0, unit(1, 1))
                await client.until_logged(0, 1)
                names.add(client.heard[0].gateway)  # type: ignore[union-attr]
            if len(names) == 2:
                break
        assert len(names) == 2, said.read_text()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0


@pytest.mark.parametrize("stop", [False, True], ids=["comes", "never comes"])
async def test_a_store_that_is_late_is_waited_for(stop: bool, tmp_path: Path, store_server: StartServer) -> None:
    late = tmp_path / "late.sock"
    port = free_port()
    flags = ("--port", str(port), "--metrics-port", "0", "--redis", f"unix://{late}", "--data-dir", str(tmp_path))
    async with running(tmp_path, *flags) as (process, said):

        async def waiting() -> bool:
            return (await get(f"http://127.0.0.1:{port}/readyz"))[0] == 503

        await wait_until(waiting, 20)
        assert (await get(f"http://127.0.0.1:{port}/healthz"))[0] == 200
        async with aiohttp.ClientSession() as session:
            token = issue(
                KeyFile(tmp_path / KEYS_FILE),
                subject="t",
                site="s",
                cameras=["*"],
                scope=["publish"],
                lifetime_s=10**10,
                now=0,  # type: ignore[arg-type]
            )
            reply = await session.get(
                f"http://127.0.0.1:{port}/v1/uplink", headers={"Authorization": f"Bearer {token}"}
            )
            assert reply.status == 503
        if stop:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0
            return
        late.symlink_to((await store_server()).removeprefix("unix://"))

        async def ready() -> bool:
            return (await get(f"http://127.0.0.1:{port}/readyz"))[0] == 200

        await wait_until(ready, 20)
        assert "not durable" in (await get(f"http://127.0.0.1:{port}/readyz"))[1]
        assert "waiting for the stores" in said.read_text()
