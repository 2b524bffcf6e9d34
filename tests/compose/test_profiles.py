"""What of compose.yaml not every stack has: WHIP by the published UDP ports, the load tester, workers on GPUs."""

import itertools
import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clips import plain
from support.compose import Stack, engine_for, stack, until
from support.stores import wait_until
from support.whip_client import whip

from fishladder.wire.unit import Codec

pytestmark = pytest.mark.timeout(300)

#: Nothing but the published ports leads to this address, and so it is named to clients.
PUBLISHED = "127.0.0.1"


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    engine_for("profiles of the stack")
    with stack("loadtest", "gpu", FISHLADDER_FPS="5", FISHLADDER_ANNOUNCE=PUBLISHED) as it:
        it.compose("build", "-q", "init", timeout_s=900)
        it.compose("up", "-d", "--wait", "gateway", "worker")
        yield it


async def test_a_whip_client_of_this_host_reaches_detections(running: Stack, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    running.compose("cp", "gateway:/run/fishladder/ca.pem", str(ca))
    token = running.fishladder("token", "create", "--site", "phones").strip()
    url = f"https://localhost:{running.env['FISHLADDER_PORT']}/whip/phones/one"
    payloads = itertools.cycle(unit.payload for unit in plain())
    tls = ssl.create_default_context(cafile=ca)
    async with whip(url, token, Codec.H264, payloads, fps=10, tls=tls) as client:
        assert client.status == 201, client.body
        named = re.findall(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ", client.body, re.MULTILINE)
        assert named
        for address, port in named:
            assert address == PUBLISHED
            assert int(running.env["FISHLADDER_UDP_FIRST"]) <= int(port) <= int(running.env["FISHLADDER_UDP_LAST"])

        async def inferred() -> bool:
            return running.inferred().get("phones/one", 0) >= 10

        await wait_until(inferred, 60, "ten of its pictures are analysed", 1.0)
    until(lambda: running.ledger()["cameras"][0]["pending"] == 0, "nothing is pending")
    assert running.ledger()["closes"]


def test_the_load_tester_emulates_links(running: Stack) -> None:
    """With what compose.yaml gives it: no capability, and the kernel's leave to make namespaces of its own."""
    said = running.compose("run", "--rm", "-T", "loadtest", "selftest", "--link", "adsl2plus", check=False)
    assert re.search(r"adsl2plus +\S", said), said  # measured; on a busy machine it may be refused all the same


def test_a_worker_for_gpus_says_that_there_is_none(running: Stack) -> None:
    """It does not go on, on the CPU, at a twentieth of what was asked for."""
    command = ["docker", "run", "--rm", "--network", "none", "--env", "FISHLADDER_WORKER_PROVIDER=cuda"]
    done = subprocess.run([*command, "fishladder:local", "worker", "run"], capture_output=True, text=True, timeout=60)
    assert done.returncode in (2, 3), done.stdout + done.stderr
    [line] = done.stderr.splitlines()
    assert "cuda" in line


def test_its_service_asks_the_engine_for_one(running: Stack) -> None:
    config = json.loads(running.compose("config", "--format", "json"))
    worker = config["services"]["worker-gpu"]
    [device] = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert worker["build"]["args"] == {"INFERENCE": "inference-gpu"}
