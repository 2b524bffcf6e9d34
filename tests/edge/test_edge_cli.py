"""The command as a user starts it: it ends by itself when its cameras have, and what is wrong is one line."""

import asyncio
import re
import signal
from pathlib import Path

from support.edge_command import clip, ended, fishladder
from support.gateway_double import GatewayDouble, gateway_double, until


def at(gateway: GatewayDouble) -> tuple[str, ...]:
    return ("--gateway", gateway.url, "--site", "shop", "--metrics-port", "0")


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def test_it_ends_when_its_files_have_and_everything_is_committed(tmp_path: Path) -> None:
    file = clip(tmp_path / "clip.mp4")
    async with gateway_double() as gateway:
        cameras = ("--camera", f"one={file}", "--camera", f"two=file:{file}")
        status, _, err = await ended(await fishladder("run", *at(gateway), *cameras))
        assert (status, err) == (0, "")
        for name in ("shop/one", "shop/two"):
            log = gateway.log(name)
            assert (len(log.units), log.committed, log.position, log.problems) == (20, 20, 20, [])


async def test_sigterm_drains() -> None:
    async with gateway_double() as gateway:
        process = await fishladder("run", *at(gateway), "--camera", "one=test:128x64@30")
        await until(lambda: gateway.log("shop/one").next > 10)
        process.send_signal(signal.SIGTERM)
        status, _, _ = await ended(process)
        log = gateway.log("shop/one")
        assert status == 0
        assert log.committed == log.position == log.next - 1


async def test_frames_left_uncommitted_are_exit_1() -> None:
    async with gateway_double() as gateway:
        gateway.commits = False
        process = await fishladder("run", *at(gateway), "--camera", "one=test:128x64@30", "--drain-s", "0.3")
        await until(lambda: gateway.log("shop/one").next > 10)
        process.send_signal(signal.SIGTERM)
        status, out, err = await ended(process)
        assert status == 1
        assert "not committed" in out + err
        assert "Traceback" not in err


async def test_a_camera_that_fails_with_once_is_exit_1_and_the_others_go_to_their_ends(tmp_path: Path) -> None:
    cameras = ("--camera", f"one={clip(tmp_path / 'clip.mp4')}", "--camera", "gone=/nonexistent.mp4")
    async with gateway_double() as gateway:
        status, _, _ = await ended(await fishladder("run", *at(gateway), *cameras, "--once"))
        assert status == 1
        assert gateway.log("shop/one").committed == 20


async def test_its_capture_processes_end_even_if_it_is_killed() -> None:
    async with gateway_double() as gateway:
        process = await fishladder("run", *at(gateway), "--camera", "one=test:128x64@30")
        await until(lambda: gateway.log("shop/one").next > 5)
        children = children_of(process.pid)
        assert children
        process.kill()
        await process.wait()
        await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


async def test_mistakes_are_one_line_and_exit_2() -> None:
    process = await fishladder("run", "--gateway", "https://x", "--site", "shop", "--camera", "a=ftp://x")
    status, out, err = await ended(process)
    assert (status, out) == (2, "")
    assert err.startswith("fishladder: camera source ftp://")
    assert err.count("\n") == 1


async def test_a_metrics_port_in_use_is_one_line() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    arguments = ("--gateway", "http://localhost:1", "--site", "s", "--camera", "a=test:", "--metrics-port", str(port))
    status, _, err = await ended(await fishladder("run", *arguments))
    server.close()
    assert status == 2
    assert f"127.0.0.1:{port}" in err


async def test_check_without_a_gateway_tries_the_cameras(tmp_path: Path) -> None:
    camera = ("--camera", f"file={clip(tmp_path / 'clip.mp4', 60)}")
    status, out, err = await ended(await fishladder("check", *camera, token=""))
    assert (status, err) == (0, "")
    assert out.startswith("ok   camera file: h264 160x96")
    assert out.splitlines()[1:] == ["ok   gateway: not given, not tried"]
    status, out, _ = await ended(await fishladder("check", "--camera", "gone=/nonexistent.mp4", token=""))
    assert status == 1
    status, _, err = await ended(await fishladder("run", *camera))
    assert status == 2
    assert "no gateway" in err


async def test_check_says_what_works_and_what_does_not(tmp_path: Path) -> None:
    file = clip(tmp_path / "clip.mp4", 60)
    async with gateway_double() as gateway:
        good = (
            "--gateway",
            gateway.url,
            "--site",
            "shop",
            "--camera",
            f"file={file}",
            "--camera",
            "test=test:128x64@30",
        )
        status, out, _ = await ended(await fishladder("check", *good))
        lines = out.splitlines()
        assert status == 0
        assert re.match(r"ok   camera file: h264 160x96, [\d.]+ fps, passthrough", lines[0])
        assert "encode, a keyframe every 2.0 s" in lines[1]
        assert lines[2].startswith("ok   encoder: ")
        assert lines[3].startswith("ok   gateway: localhost is")
        assert "lets us in" in lines[4]
        assert lines[5].startswith("ok   clock: this host is 0.0")
        assert lines[6].startswith("ok   spool: ")
        assert "GB of room" in lines[6]
        bad = (*good[:4], "--camera", "gone=/nonexistent/clip.mp4", "--spool-dir", "/dev/null/x")
        status, out, _ = await ended(await fishladder("check", *bad, token="bad"))
        assert status == 1
        assert "FAIL camera gone: file /nonexistent/clip.mp4: there is no such file" in out
        assert "(401)" in out
        assert "FAIL spool: directory of [spool]: /dev/null/x" in out
