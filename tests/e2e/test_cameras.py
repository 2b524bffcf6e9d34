"""Cameras and ways up, each through to detections: a real RTSP camera that loses power, a proxy on the way, WHIP as the
agent's uplink, and what a wiped frame log costs where nobody can send again.
"""

from pathlib import Path

import pytest
from support import rtsp
from support.certificates import localhost_certificate
from support.fleet import Fleet, fleet, until
from support.installed import needs_rtsp_server
from support.models import strips_model
from support.proxy import connect_proxy

from fishladder.runtime.store import Stores
from fishladder.wire.fates import Fate


async def inferred(system: Fleet, stores: Stores, camera: str, more: int = 20) -> None:
    """Wait until `more` frames than now are inferred."""
    least = (await system.ledger(stores, camera)).group("inferred") + more

    async def enough() -> bool:
        return (await system.ledger(stores, camera)).group("inferred") >= least

    await until(enough, 60, f"{camera}: {least} frames are inferred")


@needs_rtsp_server
@pytest.mark.parametrize("mode", ["passthrough", "encode"])
async def test_an_rtsp_camera_that_loses_power(mode: str, tmp_path: Path) -> None:
    """It reaches detections, and again after its server was killed and started anew; nothing is unaccounted for."""
    with rtsp.rtsp_server(user="op", password="secret-word") as camera:
        (tmp_path / "password").write_text("secret-word\n")
        config = tmp_path / "edge.toml"
        async with fleet(tmp_path) as (system, stores):
            (tmp_path / "token").write_text(await system.token("shop"))
            config.write_text(
                f'[edge]\ngateway = "{system.url}"\nsite = "shop"\ntoken_file = "{tmp_path / "token"}"\n'
                f"metrics_port = 0\nstall_s = 3\n"
                f'[[camera]]\nname = "door"\nsource = "{camera.url}"\nmode = "{mode}"\n'
                f'user = "op"\npassword_file = "{tmp_path / "password"}"\n'
            )
            await system.worker(strips_model(tmp_path / "strips.onnx"))
            edge = await system.start("edge", "edge", "run", "--config", str(config))
            await inferred(system, stores, "shop/door")
            camera.stop()
            camera.start()
            await inferred(system, stores, "shop/door")
            assert await edge.stop() == 0, edge.said
            ledger = await system.settled(stores, "shop/door")
            await system.account(stores, "shop/door")
        assert ledger.closes
        assert "secret-word" not in edge.said


async def test_a_proxy_on_the_way_and_tls_beyond(tmp_path: Path) -> None:
    """HTTPS_PROXY with a login, CONNECT, and TLS to a gateway whose certificate a private CA signed."""
    made = localhost_certificate(tmp_path)
    tls = ("--tls-cert", str(made.cert), "--tls-key", str(made.key))
    async with fleet(tmp_path, tls) as (system, stores), connect_proxy("me:pass") as proxy:
        await system.worker(strips_model(tmp_path / "strips.onnx"))
        system.environment = {"HTTPS_PROXY": proxy.url("me:pass"), "NO_PROXY": ""}
        edge = await system.edge(
            "shop",
            {"door": "test:160x96@15"},
            *("--ca-file", str(made.cert)),
            gateway=f"https://localhost:{system.port}",
        )
        await inferred(system, stores, "shop/door")
        assert await edge.stop() == 0, edge.said
        ledger = await system.settled(stores, "shop/door")
        assert proxy.requests[0] == f"CONNECT localhost:{system.port}"
    assert set(ledger.fates) == {Fate.INFERRED}


async def test_whip_as_the_uplink_and_a_wiped_log(tmp_path: Path) -> None:
    """By WHIP nobody sends again: what a wiped log held is counted `log_lost`, and the camera goes on."""
    async with fleet(tmp_path) as (system, stores):
        worker = await system.worker(strips_model(tmp_path / "strips.onnx"))
        edge = await system.edge("shop", {"door": "test:160x96@15"}, "--uplink", "whip")
        await inferred(system, stores, "shop/door")
        assert await worker.stop() == 0, worker.said
        captured = (await system.ledger(stores, "shop/door")).captured

        async def behind() -> bool:
            return (await system.ledger(stores, "shop/door")).captured > captured + 15

        await until(behind, 60, "frames wait in the log")
        await stores.frames.flushall()
        await system.worker(tmp_path / "strips.onnx")
        await inferred(system, stores, "shop/door")
        assert await edge.stop() == 0, edge.said
        ledger = await system.settled(stores, "shop/door")
        account = await system.account(stores, "shop/door")
    assert ledger.fates[Fate.LOG_LOST] > 0
    lost = [seq for (_, seq), fate in account.fates.items() if fate is Fate.LOG_LOST]
    assert lost == list(range(lost[0], lost[-1] + 1))
