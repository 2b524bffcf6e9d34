"""What is wrong is named in one clear line, and cameras that are right do not notice."""

import socket
from pathlib import Path

import aiohttp
import pytest
from aiohttp import ClientSession
from support.fleet import Fleet, fleet, until
from support.models import strips_model


def one_line(err: str, *words: str) -> None:
    """The message is one line of ours and says these words; there is no traceback."""
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("fishladder: ")]
    assert len(lines) == 1, err
    for word in words:
        assert word in lines[0], lines[0]


@pytest.fixture
def system(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


async def test_a_missing_model_file(system: Fleet, tmp_path: Path) -> None:
    status, _, err = await system.run("worker", "run", "--model", str(tmp_path / "none.onnx"), "--processes", "1")
    assert status == 2
    one_line(err, "none.onnx")


async def test_no_store(system: Fleet, tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    url = f"redis://127.0.0.1:{system.port}/0"
    for command in (
        ("worker", "run", "--model", str(model), "--processes", "1", "--metrics-port", "0", "--store-timeout", "1"),
        ("gateway", "run", "--port", "0", "--metrics-port", "0", "--store-timeout", "1"),
        ("ledger",),
        ("results",),
    ):
        status, _, err = await system.run(*command, "--redis", url, "--frames", url)
        assert status == 3, (command, err)
        one_line(err, str(system.port))


async def test_no_gateway_on_this_host(system: Fleet, tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    status, _, err = await system.run(
        *("worker", "run", "--model", str(model), "--processes", "1", "--metrics-port", "0", "--store-timeout", "1"),
        *("--data-dir", str(tmp_path / "empty")),
    )
    assert status == 3
    one_line(err, "--redis")


async def test_a_port_in_use(system: Fleet, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        status, _, err = await system.run(
            *("gateway", "run", "--host", "127.0.0.1", "--port", port, "--metrics-port", "0"),
            *("--data-dir", str(tmp_path / "data")),
        )
    assert status != 0
    one_line(err, port)


async def test_clear_text_beyond_loopback(system: Fleet, tmp_path: Path) -> None:
    status, _, err = await system.run(
        *("gateway", "run", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path / "data"))
    )
    assert status == 2
    one_line(err, "--tls-cert", "--insecure")


async def test_a_wrong_setting_is_named(system: Fleet, tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text('[edge]\ngateway = "http://127.0.0.1:1"\nsite = "shop"\ngatway_fps = 3\n')
    status, _, err = await system.run("edge", "run", "--config", str(config))
    assert status == 2
    one_line(err, "gatway_fps", "edge.toml")


async def test_strangers_do_not_disturb_an_honest_camera(tmp_path: Path) -> None:
    """Wrong tokens, foreign sites, garbage and huge messages at the door, garbage from a camera of the same site."""
    model = strips_model(tmp_path / "strips.onnx")
    garbage = tmp_path / "garbage.ts"
    garbage.write_bytes(bytes(range(256)) * 4000)
    async with fleet(tmp_path) as (system, stores):
        await system.worker(model)
        edge = await system.edge("shop", {"door": "test:160x96@15", "broken": f"file:{garbage}"})

        async def settled(least: int) -> bool:
            return (await system.ledger(stores, "shop/door")).settled >= least

        await until(lambda: settled(15), 60, "the honest camera is settled")
        uplink = system.url + "/v1/uplink"
        token = await system.token("shop")
        async with ClientSession() as http:
            for headers, status in (
                ({}, 401),
                ({"Authorization": "Bearer nonsense"}, 401),
                ({"Authorization": "Basic c2hvcDpzaG9w"}, 401),
            ):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await http.ws_connect(uplink, headers=headers)
                assert refused.value.status == status
            right = {"Authorization": f"Bearer {token}"}
            for message in (
                "{",
                '{"type":"nonsense"}',
                b"\x01\x03\x00\x00\x00\x00\x00\x05abcde",
                b"",
                b"x" * 100_000_000,
            ):
                async with http.ws_connect(uplink, headers=right) as socket_:
                    try:
                        await (socket_.send_str(message) if isinstance(message, str) else socket_.send_bytes(message))
                        while (answer := await socket_.receive(10)).type in (aiohttp.WSMsgType.TEXT,):
                            assert '"fault"' in answer.data or '"credit"' in answer.data
                    except (aiohttp.ClientError, ConnectionError):
                        continue  # it hung up while we were still sending
                    assert socket_.closed or answer.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        before = (await system.ledger(stores, "shop/door")).settled
        await until(lambda: settled(before + 15), 60, "the honest camera goes on")
        assert await edge.stop() == 0, edge.said
        await system.settled(stores, "shop/door")
        assert "garbage.ts" in edge.said
