"""Whole agents with real capture processes, against a gateway that keeps what it is given: every seq arrives, once,
whatever happens to the connection, the gateway, a camera, or this host's clock.
"""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from support.gateway_double import GatewayDouble, Log, gateway_double, until

from fishladder.edge.agent import Agent
from fishladder.edge.clock import Clock, SystemClock
from fishladder.edge.config import CameraConfig, EdgeConfig
from fishladder.wire import messages
from fishladder.wire.fates import Fate
from fishladder.wire.messages import Policy, Refusal
from fishladder.wire.unit import Flag, Range


def config(gateway: GatewayDouble, *cameras: str, **settings: object) -> EdgeConfig:
    sources = cameras or ("test:128x64@30",)
    named = tuple(CameraConfig(f"c{index}", source) for index, source in enumerate(sources))
    return EdgeConfig(gateway=gateway.url, site="shop", token="good", cameras=named, proxy="none", **settings)  # type: ignore[arg-type]


@asynccontextmanager
async def running(settings: EdgeConfig, clock: Clock | None = None) -> AsyncIterator[Agent]:
    """An agent that runs; afterwards it is stopped and drained."""
    agent = Agent(settings, clock)
    stopping = asyncio.Event()
    task = asyncio.create_task(agent.run(stopping))
    try:
        yield agent
        stopping.set()
        assert await asyncio.wait_for(task, 20)
    finally:
        task.cancel()


def check(log: Log) -> None:
    """Gapless, and settled to the last captured seq."""
    assert log.problems == []
    assert sorted(log.fates) == list(range(1, log.next))
    assert log.committed == log.next - 1 == log.position


async def test_every_picture_arrives_with_a_fate() -> None:
    async with gateway_double() as gateway:
        gateway.policy = Policy(fps=5)
        async with running(config(gateway, "test:128x64@30", "test:320x180@15")):
            await until(lambda: len(gateway.log("shop/c0").units) >= 6 and len(gateway.log("shop/c1").units) >= 6)
        for name, every in (("shop/c0", 6), ("shop/c1", 3)):
            log = gateway.log(name)
            check(log)
            assert log.units[0].clean
            assert all(unit.flags & Flag.SAMPLED for unit in log.units)
            ranges = {id(it): it for it in log.fates.values() if isinstance(it, Range)}.values()
            assert {it.fate for it in ranges} == {Fate.SAMPLED_OUT}
            seqs = [unit.seq for unit in log.units[2:]]
            assert all(b - a in (every - 1, every, every + 1) for a, b in itertools.pairwise(seqs))


async def test_what_was_not_acknowledged_is_sent_again_after_a_lost_connection() -> None:
    async with gateway_double() as gateway:
        async with running(config(gateway)):
            for connection in range(1, 4):
                seen = gateway.log("shop/c0").next
                await until(lambda seen=seen: gateway.log("shop/c0").next > seen + 5)  # type: ignore[misc]
                await gateway.drop_connections()
                await until(lambda c=connection: gateway.connections > c)  # type: ignore[misc]
        check(gateway.log("shop/c0"))


async def test_a_gateway_that_was_down_at_the_start_misses_nothing() -> None:
    async with gateway_double() as first:
        port = int(first.url.rpartition(":")[2])
        settings = config(first)
    async with running(settings) as agent:
        await until(lambda: agent.sessions[0].position > 10)
        async with gateway_double(port=port) as gateway:
            await until(lambda: gateway.log("shop/c0").committed > 20, 30)
            assert 1 in gateway.log("shop/c0").fates
            await until(lambda: agent.uplink.connected)
            for feed in agent.feeds:
                feed.stop()
            await until(lambda: agent.sessions[0].pending == 0 and agent.feeds[0].ended)
            await until(lambda: gateway.log("shop/c0").position == agent.sessions[0].position)
            check(gateway.log("shop/c0"))


async def test_a_lost_frame_log_is_filled_again_from_a_clean_point() -> None:
    async with gateway_double() as gateway:
        gateway.commits = False
        log = gateway.log("shop/c0")
        async with running(config(gateway)):
            await until(lambda: log.next > 100)  # over two keyframes of the default 2 s
            await gateway.commit("shop/c0", 75)
            await until(lambda: log.next > 110)
            had = dict(log.fates)
            await gateway.lose_log("shop/c0")
            await until(lambda: log.next > 130)
            gateway.commits = True
        check(log)
        assert log.resent >= 35
        assert all(type(log.fates[seq]) is type(it) for seq, it in had.items())
        hello = gateway.hellos[-1].cameras[0]
        assert hello.epoch == log.epoch
        assert [seq for seq in hello.clean if seq <= 76] != []


async def test_one_camera_failing_or_crashing_does_not_disturb_the_rest() -> None:
    async with gateway_double() as gateway:
        async with running(config(gateway, "test:128x64@30", "file:/nonexistent.mp4", "test:160x90@30")) as agent:
            await until(lambda: agent.feeds[0].child.pid and gateway.log("shop/c0").units)
            for _ in range(2):
                pid = agent.feeds[0].child.pid
                assert pid is not None
                os.kill(pid, signal.SIGSEGV)
                seen = gateway.log("shop/c0").next
                await until(lambda seen=seen: gateway.log("shop/c0").next > seen + 5)  # type: ignore[misc]
        for name in ("shop/c0", "shop/c2"):
            check(gateway.log(name))
        log = gateway.log("shop/c0")
        assert [b.pts_us > a.pts_us for a, b in zip(log.units, log.units[1:], strict=False)].count(False) == 0
        assert log.next - 1 - len(log.units) <= 2  # at most what each crash caught in the encoder
        assert all(it.fate is Fate.ENCODER for it in log.fates.values() if isinstance(it, Range))
        assert gateway.log("shop/c1").next == 1


class Liar:
    """A wall clock that is wrong by `error_us`, and may be made to step."""

    def __init__(self, error_us: int) -> None:
        self.error_us = error_us

    def wall_us(self) -> int:
        return time.time_ns() // 1000 + self.error_us

    def mono_us(self) -> int:
        return SystemClock().mono_us()


@pytest.mark.parametrize("error_s", [365 * 86_400, -int(time.time()), 0], ids=["a year ahead", "1970", "right"])
async def test_this_hosts_wall_clock_does_not_matter(error_s: int) -> None:
    clock = Liar(error_s * 1_000_000)
    async with gateway_double() as gateway:
        async with running(config(gateway), clock) as agent:
            await until(lambda: agent.uplink.offset.offset_us is not None and gateway.log("shop/c0").next > 15)
            clock.error_us -= 3_600_000_000
            start = gateway.log("shop/c0").next
            await until(lambda: gateway.log("shop/c0").next > start + 15)
        log = gateway.log("shop/c0")
        check(log)
        synced = [unit for unit in log.units if unit.flags & Flag.SYNCED]
        assert len(synced) > 15
        for unit in synced:
            age_us = log.received_us[unit.seq] - (unit.wall_us + unit.offset_us)
            assert -50_000 <= age_us <= unit.ready_us + 2_000_000


async def test_a_refused_camera_leaves_the_others_alone() -> None:
    async with gateway_double() as gateway:
        gateway.refuse["shop/c0"] = Refusal(0, "forbidden", "this token is not for shop/c0", retry_s=0.3)
        async with running(config(gateway, "test:128x64@15", "test:128x64@15")):
            await until(lambda: gateway.log("shop/c1").next > 10)
            assert "shop/c0" not in gateway.logs or gateway.log("shop/c0").next == 1
            gateway.refuse.clear()
            await until(lambda: gateway.log("shop/c0").next > 10)
        check(gateway.log("shop/c0"))
        check(gateway.log("shop/c1"))


async def test_no_more_is_sent_than_there_is_credit_for() -> None:
    async with gateway_double() as gateway:
        gateway.credit = 5000
        async with running(config(gateway, "test:320x180@30")) as agent:
            await until(lambda: agent.sessions[0].position > 40)
            most = max(len(it.pack()) for it in gateway.log("shop/c0").fates.values())
            assert gateway.received_bytes < 5000 + most + 100
            assert agent.sessions[0].pending > 5
            await gateway.say(messages.Credit(1 << 40))
        check(gateway.log("shop/c0"))


async def test_a_policy_that_changes_and_a_keyframe_on_demand() -> None:
    async with gateway_double() as gateway:
        log = gateway.log("shop/c0")
        async with running(config(gateway)):
            await until(lambda: log.next > 10)
            await gateway.say(messages.Control(0, keyframe=True))
            await until(lambda: sum(unit.clean for unit in log.units) >= 2)
            assert log.units[-1].seq < 50  # before the one that is due after two seconds
            await gateway.say(messages.Control(0, policy=Policy(fps=3)))
            await until(lambda: sum(isinstance(it, Range) for it in log.fates.values()) > 20)
        check(log)


async def test_drain_means_connect_again_with_nothing_lost() -> None:
    async with gateway_double() as gateway:
        async with running(config(gateway)):
            await until(lambda: gateway.log("shop/c0").next > 5)
            await gateway.say(messages.Drain("new version"))
            await until(lambda: gateway.connections == 2)
            seen = gateway.log("shop/c0").next
            await until(lambda: gateway.log("shop/c0").next > seen + 5)
        check(gateway.log("shop/c0"))


async def test_frames_too_large_for_the_gateway_are_said_and_counted() -> None:
    async with gateway_double() as gateway:
        gateway.max_unit_bytes = 200
        with capture_logs() as logs:
            async with running(config(gateway, "test:320x180@15")):
                await until(lambda: [it for it in logs if it["event"].startswith("frames too large")])
                await until(lambda: gateway.log("shop/c0").next > 40)
        lines = [it for it in logs if it["event"].startswith("frames too large")]
        assert {(it["camera"], it["limit_bytes"]) for it in lines} == {("shop/c0", 200)}
        assert lines[0]["largest_bytes"] > 200
        labels = {"site": "shop", "camera": "c0", "reason": "encoder"}
        assert len(lines) < 20  # one a second, not one a frame
        assert (REGISTRY.get_sample_value("fishladder_edge_not_sent_total", labels) or 0) >= sum(
            it["count"] for it in lines
        )
        check(gateway.log("shop/c0"))


async def test_frames_given_up_to_another_agent_are_not_called_carried_away() -> None:
    async with gateway_double() as gateway:
        gateway.commits = False
        agent = Agent(config(gateway))
        stopping = asyncio.Event()
        task = asyncio.create_task(agent.run(stopping))
        await until(lambda: gateway.log("shop/c0").next > 10)
        agent.feeds[0].stop()
        await until(lambda: agent.feeds[0].ended)
        gateway.refuse["shop/c0"] = Refusal(0, "superseded", "another agent has it")
        await gateway.fence("shop/c0")
        assert await asyncio.wait_for(task, 10) is False


async def test_told_to_stop_without_a_gateway_it_leaves_after_its_time_to_drain() -> None:
    async with gateway_double() as gateway:
        settings = config(gateway, drain_s=0.3)
    agent = Agent(settings)
    stopping = asyncio.Event()
    task = asyncio.create_task(agent.run(stopping))
    await until(lambda: agent.sessions[0].position > 3)
    stopping.set()
    assert await asyncio.wait_for(task, 10) is False
