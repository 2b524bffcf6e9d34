"""Cameras by RTSP, from a real server: logging in, what is set up, losing it and getting it back."""

import asyncio
import itertools
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support import rtsp
from support.gateway_double import gateway_double, until
from support.installed import needs_rtsp_server

from fishladder.edge.agent import Agent
from fishladder.edge.cameras.kinds import CameraSettings
from fishladder.edge.cameras.rtsp import RtspCamera, without_secrets
from fishladder.edge.cameras.rtsp_login import challenges, explain
from fishladder.edge.config import CameraConfig, EdgeConfig
from fishladder.edge.passthrough import Passthrough
from fishladder.wire.errors import CameraError
from fishladder.wire.unit import Codec, Flag


@needs_rtsp_server
def test_units_come_with_their_parameter_sets_and_sound_is_never_set_up() -> None:
    with rtsp.rtsp_server() as server:
        camera = RtspCamera(CameraSettings(server.url, timeout_s=5))
        units = Passthrough(camera.description)
        got = [units.take(packet) for packet in itertools.islice(camera.packets(), 35)]
        camera.close()
        assert server.stop() == ["/camera/stream=0"]
        server.start()
    assert got[0].flags & Flag.CLEAN
    assert sum(bool(unit.flags & Flag.CLEAN) for unit in got) >= 2
    assert all((unit.width, unit.height) == (320, 192) for unit in got)
    assert all(60_000 <= unit.duration_us <= 75_000 for unit in got)


@needs_rtsp_server
def test_another_codec_is_decoded_or_passed_on() -> None:
    with rtsp.rtsp_server(codec="jpeg") as server:
        camera = RtspCamera(CameraSettings(server.url, timeout_s=5))
        [picture] = itertools.islice(camera.pictures(), 1)
        assert picture.frame is not None
        assert (picture.frame.width, picture.frame.height) == (320, 192)
        units = Passthrough(camera.description)
        [unit] = [units.take(packet) for packet in itertools.islice(camera.packets(), 1)]
        assert (unit.codec, unit.flags) == (Codec.JPEG, Flag.CLEAN)
        camera.close()


@needs_rtsp_server
def test_a_login_by_digest_with_signs_that_urls_do_not_like() -> None:
    with rtsp.rtsp_server(user="viewer", password="p@ss:w/rd#1%") as server:
        camera = RtspCamera(CameraSettings(server.url, user="viewer", password="p@ss:w/rd#1%", timeout_s=5))
        assert camera.description.codec == "h264"
        camera.close()
        with pytest.raises(CameraError, match="refuses this user and password") as refused:
            RtspCamera(CameraSettings(server.url, user="viewer", password="secret-guess", timeout_s=5))
        assert "secret-guess" not in str(refused.value)
        with pytest.raises(CameraError, match="set user and password_file"):
            RtspCamera(CameraSettings(server.url, timeout_s=5))


@contextmanager
def answering(answer: str | None) -> Iterator[str]:
    """A camera that gives every request the same answer; None: it accepts and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            kept.append(link)
            threading.Thread(target=talk, args=(link,), daemon=True).start()

    def talk(link: socket.socket) -> None:
        try:
            while request := link.recv(65536):
                cseq = next(line for line in request.decode().split("\r\n") if line.lower().startswith("cseq"))
                if answer is not None:
                    link.sendall(f"RTSP/1.0 {answer}\r\n{cseq}\r\n\r\n".encode())
        except OSError:
            return

    kept: list[socket.socket] = []
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
    finally:
        listener.close()
        for link in kept:
            link.close()


def test_a_camera_that_wants_a_digest_we_cannot_answer_is_named_for_it() -> None:
    only_sha256 = '401 Unauthorized\r\nWWW-Authenticate: Digest realm="cam", nonce="1", algorithm=SHA-256'
    with (
        answering(only_sha256) as url,
        pytest.raises(CameraError, match=r"Digest SHA-256, which is not supported here.*allow Digest MD5"),
    ):
        RtspCamera(CameraSettings(url, user="u", password="p", timeout_s=3))


def test_a_camera_that_says_nothing_is_given_up() -> None:
    with answering(None) as url, pytest.raises(CameraError, match=r"127\.0\.0\.1"):
        RtspCamera(CameraSettings(url, timeout_s=0.5))


def test_nobody_there_is_said_without_the_password() -> None:
    with pytest.raises(CameraError, match="nothing listens on port 1") as error:
        RtspCamera(CameraSettings("rtsp://127.0.0.1:1/x", user="u", password="hidden"))
    assert "hidden" not in str(error.value)


def test_challenges_are_read_as_cameras_write_them() -> None:
    answer = (
        'WWW-Authenticate: Digest realm="a", nonce="x"\nwww-authenticate: Basic realm="b"\n'
        'WWW-Authenticate: Digest realm="a", algorithm="SHA-256", nonce="y"\n'
    )
    assert challenges(answer) == ["Digest MD5", "Basic", "Digest SHA-256"]
    assert "refuses this user" in explain(challenges(answer), with_login=True)
    assert "refuses this user" in explain([], with_login=True)


@needs_rtsp_server
async def test_an_agent_gets_a_restarted_camera_back() -> None:
    with rtsp.rtsp_server(user="u", password="p") as server:
        url = server.url.replace("rtsp://", "rtsp://u:p@")
        async with gateway_double() as gateway:
            cameras = (CameraConfig("door", url, timeout_s=1.0),)
            settings = EdgeConfig(gateway=gateway.url, site="shop", token="good", cameras=cameras, proxy="none")
            agent = Agent(settings)
            stopping = asyncio.Event()
            task = asyncio.create_task(agent.run(stopping))
            log = gateway.log("shop/door")
            await until(lambda: log.next > 20)
            server.stop()
            await until(lambda: agent.feeds[0].child.restarts >= 1)
            seen = log.next
            server.start()
            await until(lambda: log.next > seen + 20)
            assert server._process is not None
            os.kill(server._process.pid, signal.SIGSTOP)  # the network is there, the camera is not
            restarts = agent.feeds[0].child.restarts
            await until(lambda: agent.feeds[0].child.restarts > restarts)
            server.stop()
            server.start()
            seen = log.next
            await until(lambda: log.next > seen + 5)
            stopping.set()
            assert await task
            assert log.problems == []
            assert sorted(log.fates) == list(range(1, log.next))
            times = [unit.pts_us for unit in log.units]
            assert times == sorted(times)
            assert log.units[0].codec is Codec.H264


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://cam/s?channel=1&subtype=0", "rtsp://cam/s?channel=1&subtype=0"),
        ("rtsp://cam/s?user=admin&password=s3cret&channel=1", "rtsp://cam/s?user=***&password=***&channel=1"),
        ("rtsp://cam/user=admin_password=s3cret_channel=1.sdp", "rtsp://cam/user=admin_password=***_channel=1.sdp"),
        ("rtsp://cam:554/live/1", "rtsp://cam:554/live/1"),
    ],
)
def test_a_cameras_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
