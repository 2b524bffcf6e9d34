"""Pushing to a WHIP server that is not ours: a real peer connection, and pictures that arrive as they were drawn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.gateway_double import until
from support.link_relay import Link, relayed
from support.whip_double import WhipDouble, whip_double

from fishladder.edge.agent import Agent
from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.config import CameraConfig, EdgeConfig
from fishladder.edge.limits.pacer import BURST_S
from fishladder.edge.limits.settings import LimitsConfig
from fishladder.edge.limits.wire import UDP_HEADER_BYTES
from fishladder.edge.rate.orders import Order
from fishladder.edge.spool.settings import SpoolConfig
from fishladder.edge.uplink_whip import WhipCamera
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec, Flag


def config(server: WhipDouble, *cameras: CameraConfig, **settings: object) -> EdgeConfig:
    cameras = cameras or (CameraConfig("door", "test:320x180@15"),)
    return EdgeConfig(
        gateway=server.url, site="shop", token="good", cameras=cameras, uplink="whip", proxy="none", **settings
    )  # type: ignore[arg-type]


@asynccontextmanager
async def running(settings: EdgeConfig) -> AsyncIterator[Agent]:
    agent = Agent(settings)
    stopping = asyncio.Event()
    task = asyncio.create_task(agent.run(stopping))
    try:
        yield agent
        stopping.set()
        assert await asyncio.wait_for(task, 20)
    finally:
        task.cancel()


async def test_pictures_arrive_in_order_and_the_session_is_ended() -> None:
    async with whip_double() as server:
        async with running(config(server)):
            await until(lambda: len(server.seen.get("door", [])) >= 20)
        await until(lambda: server.deleted == ["door"])
        seen = server.seen["door"]
        assert seen == list(range(seen[0], seen[0] + len(seen)))
        assert "VP8" not in server.offers[0]


async def test_a_receiver_that_wants_a_keyframe_gets_one() -> None:
    async with whip_double() as server:
        settings = config(server, CameraConfig("door", "test:320x180@15", keyframe_s=60.0))
        async with running(settings) as agent:
            await until(lambda: len(server.seen.get("door", [])) >= 5)
            clean: list[int] = []
            sink = agent.feeds[0].sink
            append = sink.append_unit

            def noting(unit: CapturedUnit, *, wall_us: int, ready_us: int) -> bool:
                if unit.flags & Flag.CLEAN:
                    clean.append(unit.pts_us)
                return append(unit, wall_us=wall_us, ready_us=ready_us)

            sink.append_unit = noting  # type: ignore[method-assign]
            async with asyncio.timeout(20):  # the camera is asked at most once a second
                while not clean:
                    await server.ask_keyframe("door")
                    await asyncio.sleep(0.1)


async def test_a_wrong_token_is_one_clear_line_that_says_what_to_do() -> None:
    async with whip_double() as server:
        server.token = "another"
        with capture_logs() as logs:
            agent = Agent(config(server, drain_s=0.1))
            stopping = asyncio.Event()
            task = asyncio.create_task(agent.run(stopping))
            await until(lambda: [it for it in logs if it["event"].startswith("whip is down")])
            stopping.set()
            await task
        [line] = [it for it in logs if it["event"].startswith("whip is down")]
        assert "(401)" in line["error"]
        assert "fishladder token create" in line["error"]
        assert server.url in line["error"]
        assert line["retry_s"] >= 15


async def test_a_peer_that_goes_away_is_found_again() -> None:
    async with whip_double() as server, running(config(server)):
        await until(lambda: len(server.seen.get("door", [])) >= 3)
        await server.peers["door"].close()
        await until(lambda: len(server.offers) == 2, 30)
        count = len(server.seen["door"])
        await until(lambda: len(server.seen["door"]) > count + 5)


@pytest.mark.parametrize("spoil", [("H264/90000", "VP8/90000"), ("UDP/TLS/RTP/SAVPF", "rtp"), ("a=ice-ufrag", "a=x")])
async def test_an_answer_that_cannot_be_used_is_that_cameras_trouble_alone(spoil: tuple[str, str]) -> None:
    cameras = [CameraConfig(name, "test:128x64@15") for name in ("door", "yard")]
    async with whip_double() as server:
        server.spoil["door"] = spoil
        with capture_logs() as logs:
            async with running(config(server, *cameras)):
                await until(lambda: len(server.offers) >= 3)  # it is tried again
                await until(lambda: len(server.seen.get("yard", [])) >= 10)
        down = [it for it in logs if it["event"].startswith("whip is down")]
        assert {it["camera"] for it in down} == {"shop/door"}
        assert "cannot be used" in down[0]["error"]
        assert "door" not in server.seen


async def test_a_codec_webrtc_has_not_is_named(tmp_path: Path) -> None:
    import av
    from support.clips import scene

    file = tmp_path / "clip.mp4"
    with av.open(file, "w") as out:
        stream = out.add_stream("libx265", rate=10, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index in range(5):
            out.mux(stream.encode(scene(index, 160, 96)))
        out.mux(stream.encode(None))
    async with whip_double() as server:
        with capture_logs() as logs:
            camera = CameraConfig("door", str(file), mode="passthrough")
            assert not await Agent(config(server, camera, once=True)).run(asyncio.Event())
        assert any("hevc cannot be passed on" in str(it.get("error")) for it in logs)


async def test_a_foreign_server_gets_its_own_token_and_its_path_is_not_logged(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("theirs\n")
    async with whip_double() as ours, whip_double() as theirs:
        theirs.token = "theirs"
        cameras = (
            CameraConfig("door", "test:128x64@15", whip_url=f"{theirs.url}/whip/s3cret/a", whip_token_file=str(file)),
            CameraConfig("yard", "test:128x64@15", whip_url=f"{theirs.url}/whip/s3cret/b"),
            CameraConfig("hall", "test:128x64@15", whip_url=f"{ours.url}/whip/s3cret/c"),
        )
        settings = config(ours, *cameras)
        with capture_logs() as logs:
            async with running(settings):
                await until(lambda: theirs.seen.get("a") and ours.seen.get("c"))
                await until(lambda: [it for it in logs if it["event"].startswith("whip is down")])
        [down] = [it for it in logs if it["event"].startswith("whip is down")]
        assert (down["camera"], "(401)" in down["error"]) == ("shop/yard", True)
        assert "s3cret" not in str(logs)
        assert settings.whip(cameras[1])[0].headers() == {}
        assert settings.whip(cameras[2])[0].headers() == {"Authorization": "Bearer good"}


def test_units_without_a_peer_are_counted_and_nothing_is_kept() -> None:
    camera = WhipCamera("shop/door", "http://localhost/whip")
    unit = CapturedUnit(Codec.H264, Flag.CLEAN, 64, 64, 1, 1, 1, b"x")
    assert not camera.append_unit(unit, wall_us=0, ready_us=0)
    camera.append_range(4, Fate.SAMPLED_OUT, mono_us=0, wall_us=0)
    assert (camera.position, camera.pending, camera.dropped) == (5, 0, 1)


@pytest.mark.parametrize("url", ["ftp://x/s3cret", "s3cret", "https://u:s3cret@x/whip"])
def test_a_whip_url_that_cannot_be_is_refused(url: str) -> None:
    from fishladder.wire.errors import ConfigError

    camera = CameraConfig("door", "test:", whip_url=url)
    with pytest.raises(ConfigError, match="camera door: whip_url") as error:
        EdgeConfig(site="shop", uplink="whip", cameras=(camera,)).whip(camera)
    assert "s3cret" not in str(error.value)


@pytest.mark.timeout(240)
async def test_a_camera_sends_what_its_receiver_says_comes_through() -> None:
    """By aiortc's own estimate (REMB) over a relay of 600 kbit/s, for one that might send 3 Mbit/s."""
    thin = Link("thin", rtt_s=0.04, rate_bps=600_000)
    async with whip_double() as server, relayed(thin, f"{server.url}/whip/shop/door") as (relay, url):
        camera = CameraConfig("door", "test:640x360@15", bitrate_kbps=3000, whip_url=url, whip_token="good")
        async with running(config(server, camera)) as agent:
            told: list[int] = []
            limit = agent.feeds[0].limit

            def noting(order: Order) -> None:
                told.append(order.bitrate_bps)
                limit(order)

            agent.feeds[0].limit = noting  # type: ignore[method-assign]
            await until(lambda: told and told[-1] < 450_000, 60)  # less than where it begins, and than aiortc's least
            count = len(server.seen["door"])  # few a second where the host was too busy, and the estimate fell far
            await until(lambda: len(server.seen["door"]) >= count + 20, 120)
            assert not [fate for _, _, fate in relay.uplink.packets if fate == "queue"]


async def test_a_sender_that_has_stopped_is_begun_anew() -> None:
    async with whip_double() as server:
        camera = CameraConfig("door", "test:128x64@15", whip_url=f"{server.url}/whip/shop/door", whip_token="good")
        with capture_logs() as logs:
            async with running(config(server, camera)) as agent:
                await until(lambda: len(server.seen.get("door", [])) > 5)
                track = agent.uplink._cameras[0]._track  # type: ignore[union-attr]
                track.put("aiortc cannot send this")
                await until(lambda: len(server.offers) == 2)
                count = len(server.seen["door"])
                await until(lambda: len(server.seen["door"]) > count + 5)
        [down] = [it for it in logs if it["event"].startswith("whip is down")]
        assert "sending has stopped" in down["error"]


async def test_the_operators_limits_hold_and_what_was_carried_is_counted(tmp_path: Path) -> None:
    limit_bps = 80_000
    async with whip_double() as server, relayed(Link("free"), f"{server.url}/whip/shop/door") as (relay, near):
        camera = CameraConfig("door", "test:640x360@15", whip_url=near, whip_token="good")
        settings = config(
            server,
            camera,
            limits=LimitsConfig(max_up="80 kbit/s", monthly_gb=1.0),
            spool=SpoolConfig(directory=str(tmp_path)),
        )
        packets = relay.uplink.packets
        async with running(settings) as agent:
            await until(lambda: packets and packets[-1][0] - packets[0][0] > 8.0, 30)
            # A keyframe goes at the limit's pace too.
            media = [(at, (size + UDP_HEADER_BYTES) * 8) for at, size, _ in packets if size > 200]
            for begin in range(0, len(media), 10):
                bits = sum(size for _, size in media[begin + 1 :])
                assert bits <= limit_bps * (media[-1][0] - media[begin][0] + BURST_S) + 2 * 1500 * 8
            span_s = media[-1][0] - media[0][0]
            assert sum(size for _, size in media) > 0.5 * limit_bps * span_s, "it has to make use of it"
            agent.uplink.limiter.look()
            month = agent.uplink.limiter.now.month
            up = sum(size + UDP_HEADER_BYTES for _, size, _ in packets)
            assert month is not None
            assert month.used_bytes == pytest.approx(up, rel=0.25), "and what came back, less the last second"
