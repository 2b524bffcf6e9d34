"""`fishladder edge check`: each thing that can be wrong with a camera host is one line that names it."""

import base64
import json
import socket
import time
from pathlib import Path

import av
from support import rtsp
from support.clips import scene
from support.edge_command import clip, ended, fishladder
from support.gateway_double import gateway_double
from support.installed import needs_rtsp_server
from support.profiles import SHARP, written

from fishladder.edge.check_state import service_state
from fishladder.edge.gateway_address import GatewayAddress
from fishladder.edge.limits.usage import Usage
from fishladder.edge.token import TokenKeeper


async def check(*arguments: str, token: str = "good") -> tuple[int, list[str]]:
    status, out, err = await ended(await fishladder("check", *arguments, token=token))
    assert "Traceback" not in err
    return status, out.splitlines()


def only(lines: list[str], start: str) -> str:
    [line] = [line for line in lines if line.startswith(start)]
    return line


@needs_rtsp_server
async def test_a_good_camera_and_a_wrong_password(tmp_path: Path) -> None:
    with rtsp.rtsp_server(user="viewer", password="right") as server:
        source = server.url.replace("rtsp://", "rtsp://viewer:{}@")
        status, lines = await check(
            "--camera", f"good={source.format('right')}", "--camera", f"bad={source.format('guess')}",
            "--pictures", str(tmp_path / "pictures"),
        )  # fmt: skip
    assert status == 1
    good = only(lines, "ok   camera good: h264 320x192, ")
    assert "passthrough, a keyframe every 1.0 s" in good
    assert "kbit/s" in good
    assert only(lines, "FAIL camera bad: ").endswith("it refuses this user and password")
    assert "guess" not in "\n".join(lines)
    picture = tmp_path / "pictures" / "good.jpg"
    assert only(lines, "ok   camera good: its picture") == f"ok   camera good: its picture is {picture}"
    with av.open(picture) as found:
        [frame] = found.decode(video=0)
        assert (frame.width, frame.height) == (320, 192)


@needs_rtsp_server
async def test_keyframes_far_apart_are_a_warning() -> None:
    with rtsp.rtsp_server(gop=100) as server:
        status, lines = await check("--camera", f"slow={server.url}")
    assert status == 0
    assert "set the camera's I-frame interval to 2 s" in only(lines, "warn camera slow: ")


async def test_a_dead_host_and_a_closed_port_and_an_unknown_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    _, lines = await check(
        "--camera", f"closed=rtsp://127.0.0.1:{port}/x", "--camera", "unknown=rtsp://camera.invalid/x"
    )
    assert f"nothing listens on port {port}" in only(lines, "FAIL camera closed: ")
    assert only(lines, "FAIL camera unknown: ").endswith("the name camera.invalid cannot be resolved")


async def test_a_codec_nobody_knows_and_one_that_cannot_be_passed_on(tmp_path: Path) -> None:
    known, unknown, old = (tmp_path / name for name in ("known.mkv", "unknown.mkv", "old.mkv"))
    clip(known)
    unknown.write_bytes(known.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/XXX/AVC"))
    with av.open(old, "w") as out:
        stream = out.add_stream("mpeg4", rate=20)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index in range(20):
            out.mux(stream.encode(scene(index, 160, 96)))
        out.mux(stream.encode(None))
    status, lines = await check("--mode", "passthrough", "--camera", f"new={unknown}", "--camera", f"old={old}")
    assert status == 1
    assert only(lines, "FAIL camera new: ").endswith("set the camera to H.264 or H.265")
    assert "mpeg4 cannot be passed on (only h264" in only(lines, "FAIL camera old: ")


async def test_the_gateway_with_a_wrong_token_and_with_a_clock_five_minutes_off(tmp_path: Path) -> None:
    camera = ("--site", "shop", "--camera", f"file={clip(tmp_path / 'clip.mp4')}")
    async with gateway_double() as gateway:
        status, lines = await check("--gateway", gateway.url, *camera, token="wrong")
        assert status == 1
        assert "does not accept this token (401): make one with `fishladder token create" in only(
            lines, "FAIL gateway: "
        )
        gateway.clock_us = lambda: time.time_ns() // 1000 + 300_000_000
        status, lines = await check("--gateway", gateway.url, *camera)
        assert status == 0
        clock = only(lines, "warn clock: ")
        assert "this host is 300.0" in clock or "this host is 299.9" in clock
        assert "run an NTP client" in clock


async def test_an_encoder_that_is_not_there_has_its_place_taken(tmp_path: Path) -> None:
    settings = tmp_path / "edge.toml"
    settings.write_text('[edge]\nencoder = "h264_qsv"\n[[camera]]\nname = "a"\nsource = "test:128x64@20"\n')
    status, lines = await check("--config", str(settings))
    assert status == 0
    assert only(lines, "warn encoder: ") == "warn encoder: h264_qsv does not work here: x264 on the CPU takes its place"


async def test_a_service_of_another_user_is_looked_at_and_left_as_it_is(tmp_path: Path) -> None:
    """Its spool, its month and its renewed token; what root would make there, the service could not write."""
    state, file, seed = tmp_path / "lib", tmp_path / "token", service_token(90)
    file.write_text(seed)
    file.chmod(0o600)
    async with gateway_double() as gateway:
        gateway.token = service_token(150)
        with file.open() as held:
            credential = Path(f"/proc/self/fd/{held.fileno()}")
            keeper = TokenKeeper(GatewayAddress(gateway.url, token_file=credential), state)
            keeper.address()
            keeper.renewed(gateway.token)
        settings = tmp_path / "edge.toml"
        settings.write_text(
            f'[edge]\ngateway = "{gateway.url}"\nsite = "shop"\ntoken_file = "{file}"\n[limits]\nmonthly_gb = 20\n'
            '[[camera]]\nname = "a"\nsource = "test:128x64@20"\n'
        )
        asked = ("--config", str(settings), "--state-directory", str(state))
        _, lines = await check(*asked, token="")
        assert "is not there: the service makes it when it starts" in only(lines, "warn spool: ")
        assert not (state / "spool").exists()
        usage = Usage(state / "spool")
        usage.count(3_200_000_000, time.time())
        usage.close()
        before = sorted(state.rglob("*"))
        status, lines = await check(*asked, token="")
    assert status == 0
    assert "lets us in" in "\n".join(lines)
    assert only(lines, "ok   spool: ").startswith(f"ok   spool: {state}/spool, ")
    assert "3.2 GB of 20 GB used" in "\n".join(lines)
    assert sorted(state.rglob("*")) == before


def service_token(ends: int) -> str:
    said = json.dumps({"jti": "one", "exp": ends}).encode()
    return f"e30.{base64.urlsafe_b64encode(said).decode().rstrip('=')}.x"


def test_root_means_the_service_unless_told_otherwise(tmp_path: Path) -> None:
    told = {"STATE_DIRECTORY": "/elsewhere"}
    assert service_state(None, {}, root=True, service=tmp_path) == tmp_path
    assert service_state(None, {}, root=True, service=tmp_path / "none") is None
    assert service_state(None, {}, root=False, service=tmp_path) is None
    assert service_state(None, told, root=True, service=tmp_path) is None
    assert service_state(Path("/given"), told, root=False, service=tmp_path) == Path("/given")


async def test_what_a_profile_will_do_on_thin_links_and_a_bad_one(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_bytes(written(SHARP))
    passed = clip(tmp_path / "clip.mp4", 60)
    profile = ("--profile", str(tmp_path / "profile.json"))
    status, lines = await check(
        "--camera", "door=test:640x360@20", "--camera", f"passed={passed}", *profile
    )  # fmt: skip
    assert status == 0
    said = only(lines, "ok   camera door: its profile, detector on street: ")
    assert [f"{kbps} kbit/s " in said for kbps in (1000, 500, 250, 100)] == [True] * 4
    assert "is of no use: its own stream is passed on" in only(lines, "ok   camera passed: its profile")
    (tmp_path / "profile.json").write_bytes(written(SHARP).replace(b'"f1":0.97', b'"f1":97'))
    status, out, err = await ended(await fishladder("check", "--camera", "door=test:", *profile, token="good"))
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert f"profile {tmp_path / 'profile.json'}: " in err
    assert "$.rungs[3].f1" in err
