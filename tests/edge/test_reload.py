"""SIGHUP: cameras come, go and change while the agent runs; those that are as they were do not notice."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.edge_command import ended, fishladder
from support.gateway_double import GatewayDouble, gateway_double, until

from fishladder.edge.agent import Agent
from fishladder.edge.changes import needs_restart
from fishladder.edge.config import CameraConfig, EdgeConfig
from fishladder.edge.spool.settings import SpoolConfig
from fishladder.wire.errors import ConfigError


def settings(gateway: GatewayDouble, spool: Path, *cameras: CameraConfig) -> EdgeConfig:
    return EdgeConfig(
        gateway=gateway.url,
        site="shop",
        token="good",
        proxy="none",
        cameras=cameras,
        spool=SpoolConfig(directory=str(spool)),
    )


def camera(name: str, source: str = "test:128x64@20", **more: float) -> CameraConfig:
    return CameraConfig(name=name, source=source, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    task = asyncio.create_task(agent.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        assert await task


async def test_cameras_come_go_and_change_and_the_others_do_not_notice(tmp_path: Path) -> None:
    async with gateway_double() as gateway:
        agent = Agent(settings(gateway, tmp_path, camera("stays"), camera("goes"), camera("changes")))
        async with running(agent):
            await until(lambda: all(gateway.log(f"shop/{name}").next > 5 for name in ("stays", "goes", "changes")))
            pid, hellos = agent.feeds[0].child.pid, len(gateway.hellos)
            agent.reload(
                settings(gateway, tmp_path, camera("new"), camera("changes", "test:64x64@20"), camera("stays"))
            )
            await until(lambda: gateway.log("shop/new").next > 5)
            await until(lambda: gateway.log("shop/changes").units[-1].width == 64)
            await until(lambda: agent.feeds[1].ended and agent.feeds[1].sink.pending == 0)
            gone = agent.feeds[1].sink.position
            await until(lambda: gateway.log("shop/goes").position == gone)  # it is told of it once a second
            before = gateway.log("shop/stays").next
            await until(lambda: gateway.log("shop/stays").next > before + 5)
            assert agent.feeds[0].child.pid == pid
            assert len(gateway.hellos) == hellos + 1  # for the new camera, on the same connection
            assert gateway.connections == 1
            assert agent.feeds[1].sink.position == gateway.log("shop/goes").position == gone
        for name in ("stays", "goes", "changes", "new"):
            log = gateway.log(f"shop/{name}")
            assert (log.problems, log.committed, log.epoch) == ([], log.position, 1), name


async def test_a_camera_that_comes_back_goes_on_with_its_numbers(tmp_path: Path) -> None:
    async with gateway_double() as gateway:
        both = settings(gateway, tmp_path, camera("one"), camera("two"))
        agent = Agent(both)
        async with running(agent):
            await until(lambda: gateway.log("shop/two").next > 5)
            agent.reload(settings(gateway, tmp_path, camera("one")))
            await until(lambda: agent.feeds[1].ended)
            agent.reload(both)
            position = agent.feeds[1].sink.position
            await until(lambda: gateway.log("shop/two").next > position + 5)
        log = gateway.log("shop/two")
        assert (log.problems, log.committed, log.epoch) == ([], log.position, 1)


async def test_the_policy_of_the_stack_holds_for_a_changed_camera(tmp_path: Path) -> None:
    async with gateway_double() as gateway:
        gateway.policy = type(gateway.policy)(fps=2.0)
        agent = Agent(settings(gateway, tmp_path, camera("one")))
        async with running(agent):
            await until(lambda: gateway.log("shop/one").next > 5)
            agent.reload(settings(gateway, tmp_path, camera("one", "test:64x64@20")))
            await until(lambda: gateway.log("shop/one").units[-1].width == 64)
            first = gateway.log("shop/one").next
            await until(lambda: gateway.log("shop/one").next > first + 40)
            fates = gateway.log("shop/one").fates
            sent = [seq for seq, it in fates.items() if seq > first and hasattr(it, "payload")]
            assert len(sent) <= 0.3 * (gateway.log("shop/one").next - first)


async def test_what_cannot_be_changes_nothing(tmp_path: Path) -> None:
    async with gateway_double() as gateway:
        agent = Agent(settings(gateway, tmp_path, camera("one")))
        async with running(agent):
            await until(lambda: gateway.log("shop/one").next > 3)
            bad = CameraConfig(name="two", source="rtsp://x", password_file="/nonexistent/password")
            with pytest.raises(ConfigError, match="password_file"):
                agent.reload(settings(gateway, tmp_path, bad))
            assert [feed.name for feed in agent.feeds] == ["shop/one"]
            assert not agent.feeds[0].removed


def test_what_takes_a_new_start_is_named() -> None:
    old = EdgeConfig(gateway="https://one", site="shop", cameras=(camera("a"),))
    new = EdgeConfig(gateway="https://two", site="shop", cameras=(camera("b"),), fps=2.0)
    assert needs_restart(old, new) == ["gateway"]


async def test_by_signal_from_the_file_and_a_mistake_in_it_is_only_said(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    one = '[[camera]]\nname = "one"\nsource = "test:128x64@20"\n'
    async with gateway_double() as gateway:
        head = f'[edge]\ngateway = "{gateway.url}"\nsite = "shop"\nmetrics_port = 0\n[spool]\nenabled = false\n'
        file.write_text(head + one)
        process = await fishladder("run", "--config", str(file))
        await until(lambda: gateway.log("shop/one").next > 3)
        file.write_text(head + one + one)
        process.send_signal(signal.SIGHUP)
        file_position = gateway.log("shop/one").next
        await until(lambda: gateway.log("shop/one").next > file_position + 10)
        file.write_text(head + one + one.replace("one", "two"))
        process.send_signal(signal.SIGHUP)
        await until(lambda: gateway.log("shop/two").next > 3)
        process.send_signal(signal.SIGTERM)
        status, out, err = await ended(process)
        assert status == 0, err
        assert "camera name 'one' is given twice" in out + err
        assert '"added":["shop/two"]' in (out + err).replace(" ", "")
