"""The stack of compose.yaml on a real engine: from nothing to detections, through scaling, killed parts and a new
gateway, to a closed ledger. One stack for all of it, in the order an operator would meet it.

It builds the image and wants the machine for itself, so it is not among `make test`: run `make test-stack`.
"""

import hashlib
import re
import shlex
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.certificates import localhost_certificate
from support.compose import ROOT, Stack, engine_for, stack, until
from support.doc_commands import Shown, commands

pytestmark = pytest.mark.timeout(900)

SHOWN = Shown(__file__)
COPY, BRING = SHOWN.take(".*backup.tgz")
HOLD, LET_GO = SHOWN.take(".*auto-aof-rewrite")
[OWN_CERTIFICATE] = SHOWN.take(".*privkey.pem")
IMAGE = "fishladder:local"
MOST_IMAGE_BYTES = 600 * 1000 * 1000
OURS = ("gateway", "worker", "edge")
STORES = ("frames", "state")


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    engine_for("the stack")
    with stack("demo", FISHLADDER_FPS="2") as it:
        began = time.monotonic()
        it.compose("build", timeout_s=900)
        built = time.monotonic()
        it.compose("up", "-d", "--wait", timeout_s=300)
        up = time.monotonic()
        until(lambda: "person" in it.fishladder("results", "--json"), "somebody is detected")
        print(f"build {built - began:.0f} s, up {up - built:.0f} s, first detection {time.monotonic() - built:.0f} s")
        yield it
        it.compose("down", "-v", "-t", "10")
        left = subprocess.check_output(["docker", "volume", "ls", "-q", "-f", f"name={it.project}"], text=True)
        assert left == ""


def test_the_ledger_closes_by_the_documented_command(running: Stack) -> None:
    ledger = running.ledger()
    assert ledger["closes"]
    assert ledger["durability"] == "durable"
    assert {it["camera"] for it in ledger["cameras"]} == {"demo/square", "demo/street"}


def test_every_container_is_hardened(running: Stack) -> None:
    containers = running.containers()
    assert len(containers) == len(OURS) + len(STORES)
    for it in containers:
        host, name = it["HostConfig"], it["Name"]
        assert it["Config"]["User"].partition(":")[0] not in ("", "0", "root"), name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["CapAdd"], name
        assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"]), name
        assert not host["Privileged"], name
        assert host["Memory"] > 0, name
        assert host["NanoCpus"] > 0, name
        assert host["RestartPolicy"]["Name"] == "unless-stopped", name
        assert it["State"]["Health"]["Status"] == "healthy", name
    for service in (*OURS, *STORES):
        status = running.compose("exec", "-T", service, "sh", "-c", "cat /proc/self/status; touch /x 2>&1 || true")
        assert re.search(r"Uid:\t[1-9]", status), service
        assert re.search(r"CapEff:\t0+\n", status), service
        assert "Read-only file system" in status, service


def test_the_image_is_small(running: Stack) -> None:
    size = int(subprocess.check_output(["docker", "image", "inspect", "-f", "{{.Size}}", IMAGE]))
    print(f"image {size / 1e6:.0f} MB")
    assert size <= MOST_IMAGE_BYTES


def test_stores_want_a_password_and_each_service_sees_its_own_secrets_alone(running: Stack) -> None:
    for store in STORES:
        assert "NOAUTH" in running.compose("exec", "-T", store, "redis-cli", "ping")
    seen = {service: set(_secrets(running, service)) for service in (*OURS, *STORES)}
    assert seen["worker"] == {"redis.url", "frames.url"}
    assert seen["edge"] == {"token", "ca.pem"}
    assert seen["frames"] == seen["state"] == {"store.conf", "users.acl", "operator.password"}
    assert "ca.key" not in seen["gateway"]


def test_each_part_is_a_user_of_its_own_who_may_do_no_more_than_it_needs(running: Stack) -> None:
    """A sink's login reads results and keeps its place; what is the worker's, it may not touch."""
    ask = "import os, redis; r = redis.Redis.from_url(open('/run/fishladder/redis.url').read().strip())\n"
    sinks = ["run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "sink", "-c"]
    whoever = running.compose(*sinks, ask + "r.set('fl:sink:x', 1); print(r.ping(), r.delete('fl:sink:x'))")
    assert whoever.split() == ["True", "1"]
    refused = running.compose(*sinks, ask + "\ntry: r.set('fl:{1}:lease', 'x')\nexcept Exception as e: print(e)")
    assert "permission" in refused.lower()
    removed = running.compose("run", "--rm", "-T", "--no-deps", "admin", "forget", "demo/street", "--yes")
    assert "removed what was seen" in removed
    refused = running.compose("exec", "-T", "gateway", "fishladder", "forget", "demo/street", "--yes", check=False)
    assert "removed" not in refused


def test_an_agent_outside_trusts_the_printed_certificate(running: Stack, tmp_path: Path) -> None:
    url = f"https://localhost:{running.env['FISHLADDER_PORT']}"
    ca = tmp_path / "ca.pem"
    running.compose("cp", "gateway:/run/fishladder/ca.pem", str(ca))
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(running.fishladder("token", "create", "--site", "outside"))
    said = running.compose("logs", "--no-log-prefix", "init")
    port = int(running.env["FISHLADDER_PORT"])
    presented = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(ca)))
    assert _fingerprint(presented) in said
    clip = running.compose("exec", "-T", "gateway", "sh", "-c", "base64 /opt/assets/bikes.mp4")
    video = tmp_path / "bikes.mp4"
    video.write_bytes(subprocess.run(["base64", "-d"], input=clip.encode(), capture_output=True, check=True).stdout)
    agent = [sys.executable, "-m", "fishladder.runtime", "edge", "run", "--gateway", url, "--site", "outside"]
    agent += ["--token-file", str(token), "--ca-file", str(ca), "--camera", f"car={video}", "--metrics-port", "0"]
    done = subprocess.run([*agent, "--drain-s", "30"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = next(it for it in running.ledger()["cameras"] if it["camera"] == "outside/car")
    assert found["captured"] == found["inferred"] + found["skipped"] == 250
    assert found["inferred"] > 0


def test_health_and_metrics(running: Stack) -> None:
    for service in OURS:
        assert "fishladder_" in running.get(f"http://{service}:9998/metrics"), service
        assert running.get(f"http://{service}:9998/healthz") == "ok\n"
    assert "state store: durable" in running.get("http://gateway:9998/readyz")


def test_workers_scale_up_and_down(running: Stack) -> None:
    running.compose("up", "-d", "--wait", "--no-recreate", "--scale", "worker=4")
    assert len(running.containers("worker")) == 4
    running.goes_on("with four workers")
    running.compose("up", "-d", "--wait", "--no-recreate", "--scale", "worker=1")
    assert len(running.containers("worker")) == 1
    running.goes_on("with one again")


@pytest.mark.parametrize("service", ["worker", "gateway", "frames", "state"])
def test_what_is_killed_comes_back_and_video_goes_on(running: Stack, service: str) -> None:
    running.kill(service)
    running.goes_on(f"after {service} was killed")


def test_the_gateway_is_replaced_under_load(running: Stack) -> None:
    before = running.containers("gateway")[0]["Id"]
    running.compose("up", "-d", "--wait", "--no-deps", "--force-recreate", "gateway")
    assert running.containers("gateway")[0]["Id"] != before
    running.goes_on("with the new gateway")


def test_secrets_stay_when_it_is_brought_up_again(running: Stack) -> None:
    before = running.compose("logs", "--no-log-prefix", "init").splitlines()[-2:]
    running.compose("up", "-d", "--wait")
    assert running.compose("logs", "--no-log-prefix", "init").splitlines()[-2:] == before


def test_after_all_that_every_frame_is_accounted_for(running: Stack) -> None:
    # What is in the agent's spool when it stops waits there for its next start.
    until(lambda: all(it["pending"] < 30 for it in running.ledger()["cameras"]), "little is pending", 180)
    running.compose("stop", "-t", "40", "edge")
    until(lambda: all(it["pending"] == 0 for it in running.ledger()["cameras"]), "nothing is pending")
    ledger = running.ledger()
    assert ledger["closes"]
    for it in ledger["cameras"]:
        print(it["camera"], it["captured"], it["reasons"])
        assert it["unaccounted"] == 0
        assert it["dropped"] == 0, it


def test_a_backup_can_be_brought_back(running: Stack, tmp_path: Path) -> None:
    """By the documented commands; of what came after it the ledger says so, and closes."""
    lines = commands(ROOT / "docs" / "operating.md")
    copied, brought = lines.index(COPY), lines.index(BRING)
    place = {"COMPOSE_FILE": str(ROOT / "compose.yaml"), "COMPOSE_PROJECT_NAME": running.project}
    place["COMPOSE_PROFILES"] = "demo"

    def run(*commands: str) -> None:
        for line in commands:
            command = line.replace("-v fishladder_", f"-v {running.project}_")
            done = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env={**running.env, **place}, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"

    assert lines[copied - 1 : copied + 2] == [HOLD, COPY, LET_GO]
    run(HOLD, COPY, LET_GO)
    before = running.ledger()
    running.compose("start", "edge")
    running.goes_on("after the backup")
    run(*lines[brought - 1 : brought + 2])
    running.goes_on("from the backup")
    after = running.ledger()
    assert after["closes"]
    captured = {it["camera"]: it["captured"] for it in after["cameras"]}
    assert all(captured[it["camera"]] >= it["captured"] for it in before["cameras"])


def test_ones_own_certificate_takes_the_place_of_ours(running: Stack, tmp_path: Path) -> None:
    own = localhost_certificate(tmp_path)
    tmp_path.chmod(0o755)
    own.key.chmod(0o644)
    own.cert.rename(tmp_path / "fullchain.pem")
    own.key.rename(tmp_path / "privkey.pem")
    command = OWN_CERTIFICATE.removeprefix("docker compose ").replace("./tls", str(tmp_path))
    running.compose(*shlex.split(command))
    port = int(running.env["FISHLADDER_PORT"])
    expected = ssl.PEM_cert_to_DER_cert((tmp_path / "fullchain.pem").read_text())

    def presented() -> bool:
        found = ssl.get_server_certificate(("127.0.0.1", port), ca_certs=None)
        return ssl.PEM_cert_to_DER_cert(found) == expected

    until(presented, "the gateway shows it, without a restart")


def test_all_that_is_shown_is_run() -> None:
    assert SHOWN.left == []


def _secrets(running: Stack, service: str) -> list[str]:
    return running.compose("exec", "-T", service, "sh", "-c", "ls /run/fishladder").split()


def _fingerprint(der: bytes) -> str:
    return hashlib.sha256(der).digest().hex(":").upper()
