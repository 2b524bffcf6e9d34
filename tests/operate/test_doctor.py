"""`fishladder doctor`, on this machine and on real stores, and the judgements it makes of what it finds."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.stores import StartServer

from fishladder.operate import doctor_store
from fishladder.operate.doctor_host import judge_clock, judge_kernel
from fishladder.operate.doctor_install import judge_extra, packages_of
from fishladder.operate.doctor_line import Line
from fishladder.runtime.encoders import encode_once
from fishladder.runtime.store import connect
from fishladder.wire import keys


def doctor(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fishladder.runtime", "doctor", *args]
    return subprocess.run(command, capture_output=True, text=True)


def about(topic: str, lines: Sequence[Line]) -> list[tuple[str, str]]:
    return [(line.status, line.text) for line in lines if line.topic == topic]


async def stores_on(state: str, frames: str | None = None) -> list[Line]:
    """What doctor says of stores, while this process' servers go on."""
    return await asyncio.to_thread(doctor_store.check_stores, state, frames)


async def test_a_sound_pair_of_stores(store_server: StartServer) -> None:
    frames, state = await store_server("frame"), await store_server("state", appendonly=True)
    done = await asyncio.to_thread(doctor, "--json", "--redis", state, "--frames", frames)
    assert done.returncode == 0, done
    lines = [Line(**line) for line in json.loads(done.stdout)]
    assert [found for found, _ in about("state store", lines)] == ["ok", "ok"]
    assert about("state store", lines)[1] == ("ok", "durable")
    assert about("frame store", lines)[1] == ("ok", "64 MiB, refuses more when full")
    topics = {line.topic for line in lines}
    assert {"python", "extra edge", "decoders", "encoder", "hardware encoders", "clock", "assets"} <= topics


async def test_a_weak_store_is_a_warning(store_server: StartServer) -> None:
    url = await store_server(maxmemory=0)
    said = about("state store", await stores_on(url))
    assert [found for found, _ in said] == ["ok", "warn", "warn"]
    assert "appendonly is off" in said[1][1]
    assert "set maxmemory" in said[2][1]


async def test_doctor_changes_nothing(store_server: StartServer) -> None:
    url = await store_server()
    await stores_on(url)
    client = connect(url)
    assert await client.dbsize() == 0
    await client.aclose()


async def test_a_store_of_another_schema_fails(store_server: StartServer) -> None:
    url = await store_server()
    client = connect(url)
    await client.hset(keys.META, "schema", "999")
    await client.aclose()
    ((found, text),) = about("state store", await stores_on(url))
    assert found == "fail"
    assert "holds schema 999" in text


def test_a_store_that_is_not_there_fails_and_hides_the_password() -> None:
    done = doctor("--redis", "redis://me:secret@127.0.0.1:1")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if "state store" in line]
    assert line.startswith("fail")
    assert "127.0.0.1:1" in line
    assert "secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_url_that_is_none_fails() -> None:
    (line,) = doctor_store.check_stores("http://127.0.0.1", None)
    assert line.status == "fail"
    assert "expected redis://" in line.text


async def test_a_store_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_store, "_ANSWER_S", 0.3)
    hung_up = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()
        hung_up.set()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        lines = await stores_on(url)
        await asyncio.wait_for(hung_up.wait(), 5)
    assert [(line.status, "did not answer" in line.text) for line in lines] == [("fail", True)]


def test_a_camera_host_without_the_other_parts_is_told_so() -> None:
    """Without redis, onnxruntime and PyAV there is no traceback and no failure."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['redis', 'onnxruntime', 'av']));"
        "sys.argv = ['fishladder', 'doctor']; from fishladder.runtime.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "clock" in done.stdout


def test_an_old_server_does_not_spoil_the_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho Redis server v=6.0.1 sha=0 bits=64\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("FISHLADDER_DATA_DIR", str(tmp_path))
    done = doctor("--json")
    assert done.returncode == 0
    assert all(Line(**line).status != "fail" for line in json.loads(done.stdout))


def test_encoders_are_truly_tried() -> None:
    assert encode_once("libx264") == ""
    assert encode_once("no_such_encoder")


REQUIREMENTS = ["click>=8.1", "av<19,>=18.1; extra == 'edge'", 'redis[hiredis]>=6; extra == "gateway"']


def test_what_an_extra_needs() -> None:
    assert packages_of("edge", REQUIREMENTS) == ["av"]
    assert packages_of("gateway", REQUIREMENTS) == ["redis"]
    assert judge_extra("gateway", {"redis": "6.4", "aiohttp": None}) == Line(
        "extra gateway", "warn", "without aiohttp: pip install 'fishladder[gateway]'"
    )
    assert judge_extra("edge", {"av": "18.1"}) == Line("extra edge", "ok", "av 18.1")


@pytest.mark.parametrize(
    ("year", "synchronised", "status", "said"),
    [
        (2026, True, "ok", "synchronised"),
        (2026, None, "ok", "cannot be told"),
        (2026, False, "warn", "run an NTP client"),
        (1970, True, "warn", "set the clock"),
        (2199, True, "warn", "set the clock"),
    ],
)
def test_the_clock(year: int, synchronised: bool | None, status: str, said: str) -> None:
    line = judge_clock(datetime(year, 6, 1, tzinfo=UTC).timestamp(), synchronised)
    assert line.status == status
    assert said in line.text
    assert str(year) in line.text


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        ({"netns", "veth", "tbf", "htb", "netem", "fq_codel", "cake", "af_packet"}, "ok", "tbf, htb, netem"),
        ({"netns", "veth", "tbf", "af_packet"}, "ok", "not htb, netem, fq_codel, cake"),
        ({"netns", "veth", "netem"}, "warn", "rates cannot be limited"),
        ({"netns"}, "warn", "no veth"),
        (set(), "warn", "no network namespaces"),
    ],
)
def test_the_kernel(found: set[str], status: str, said: str) -> None:
    (line,) = judge_kernel(found)
    assert line.status == status
    assert said in line.text
