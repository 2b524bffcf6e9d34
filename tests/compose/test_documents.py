"""What the documents say of a stack, typed word for word into a project of its own: getting started, settings,
Prometheus and Grafana, what one asks it, a camera host, and its end.

Grafana is not in Debian: where no registry is reachable something stands in for it that only listens. What it
would draw is tests/observe's; that it starts with these files is then untested.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.compose import ROOT, Stack, engine_for, stack, stand_ins, until
from support.doc_commands import Shown
from support.models import strips_model

pytestmark = pytest.mark.timeout(600)

SHOWN = Shown(__file__)
BUILD, UP_DEMO = SHOWN.take("docker compose build"), SHOWN.take("docker compose --profile demo up")
OBSERVE = SHOWN.take("docker compose --profile observe up") + SHOWN.take("docker compose exec grafana")
ASKED = SHOWN.take("docker compose (exec gateway|logs|ps|cp)") + SHOWN.take("openssl|docker stats")
ADMIN = SHOWN.take("docker compose run --rm admin")
NAMES, UP = SHOWN.take("echo FISHLADDER_NAMES"), SHOWN.take("docker compose up -d --wait")
MODEL = SHOWN.take("docker run .*models") + SHOWN.take("echo FISHLADDER_MODEL")
HOST = SHOWN.take("sudo")
DOWN = SHOWN.take(r"docker compose (--profile \S+ )?down")

#: What is the reader's own, and what there is of it here.
STANDS_FOR = {
    r"(fishladder control|admin forget|admin retire) shop-7/\w+": r"\1 demo/street",
    r"-v fishladder_": "-v {project}_",
    r"(docker stats)$": r"\1 --no-stream",
    r"SERVICE": "gateway",
}
#: `status` and `ledger` exit 1 while something is wrong; a camera host's check here finds no camera.
MAY_FIND_FAULTS = re.compile(r"fishladder (status|ledger|edge check)")


CAMERAS = """[edge]
gateway = "https://gw.example:8889"
site = "shop-7"
token_file = "/etc/fishladder/token"
[[camera]]
name = "pattern"
source = "test:160x120@10"
"""


class Reader:
    """Types into a shell, in a folder with a `.env` of its own."""

    def __init__(self, it: Stack, place: Path, overrides: str) -> None:
        self.stack, self.place = it, place
        (place / ".env").touch()
        self._env = {
            **it.env,
            "COMPOSE_FILE": f"{ROOT / 'compose.yaml'}:{overrides}",
            "COMPOSE_PROJECT_NAME": it.project,
            "COMPOSE_ENV_FILES": str(place / ".env"),
        }

    def may(self, line: str) -> bool:
        """Whether it is let do so now."""
        try:
            self.type(line)
        except AssertionError as error:
            print(str(error).splitlines()[0])
            return False
        return True

    def type(self, *lines: str, **env: str) -> str:
        said = ""
        for line in lines:
            command = line
            for shown, here in STANDS_FOR.items():
                command = re.sub(shown, here.format(project=self.stack.project), command)
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.place, env=self._env | env, input="y\n", capture_output=True, text=True, timeout=300,
            )  # fmt: skip
            fine = (0, 1) if MAY_FIND_FAULTS.search(line) else (0,)
            assert done.returncode in fine, f"{line}: {done.stdout}{done.stderr}\n{self.stack.logs()}"
            said += done.stdout
        return said


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    engine_for("what the documents show")
    place = tmp_path_factory.mktemp("reader")
    with stack("demo", "observe", FISHLADDER_FPS="2") as it:
        reader = Reader(it, place, stand_ins(place))
        began = time.monotonic()
        reader.type(*BUILD, *UP_DEMO)
        until(lambda: "person" in it.fishladder("results", "--json"), "somebody is detected")
        print(f"from the first command to a detection {time.monotonic() - began:.0f} s")
        yield reader


def test_what_one_asks_a_stack(reader: Reader) -> None:
    reader.stack.fishladder("token", "create", "--site", "shop-9")
    said = reader.type(*ASKED)
    assert "demo/street" in said
    assert "sha256 Fingerprint" in said
    # What was let wait is let go on: by the last of the commands for that.
    reader.type("docker compose exec gateway fishladder control demo/street --resume --fps 2")


def test_prometheus_finds_every_role_and_grafana_its_files(reader: Reader) -> None:
    up, password = OBSERVE
    reader.type(up)
    assert len(reader.type(password).strip()) >= 16
    jobs = {"fishladder-gateway", "fishladder-worker", "fishladder-edge"}

    def scraped() -> bool:
        found = reader.stack.get("http://prometheus:9090/api/v1/query?query=up%3D%3D1")
        return {it["metric"]["job"] for it in json.loads(found)["data"]["result"]} >= jobs

    until(scraped, "each role is scraped")
    rules = json.loads(reader.stack.get("http://prometheus:9090/api/v1/rules"))["data"]["groups"]
    assert rules
    assert all(rule["health"] != "err" for group in rules for rule in group["rules"])
    source = reader.type("docker compose exec -T grafana cat /etc/grafana/provisioning/datasources/prometheus.yaml")
    assert "http://prometheus:9090" in source
    board = "docker compose exec -T grafana cat $(docker compose exec -T grafana printenv {})"
    shown = reader.type(board.format("GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"))
    assert json.loads(shown)["panels"]
    reader.stack.compose("rm", "-sf", "prometheus", "grafana")


def test_another_name_and_a_model_of_ones_own(reader: Reader) -> None:
    strips_model(reader.place / "detector.onnx")
    reader.type(*NAMES, *MODEL, *UP)
    certificate = reader.type(
        "docker compose exec -T gateway cat /run/fishladder/cert.pem | openssl x509 -noout -ext subjectAltName"
    )
    assert "gw.example" in certificate
    model = '"detector'
    until(lambda: model in reader.stack.fishladder("results", "--json"), "it is the other model that detects")


def test_what_changes_results(reader: Reader) -> None:
    """Of cameras whose agent has been gone for long enough, and of a sink that has not told of itself for long."""
    reader.stack.compose("stop", "-t", "5", "edge")
    sink = "import os, redis; r = redis.Redis.from_url(open('/run/fishladder/redis.url').read().strip())\n"
    sink += "r.hset('fl:sinks', 'alarms', '{}')"
    reader.stack.compose("run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "sink", "-c", sink)
    for line in ADMIN:
        until(lambda line=line: reader.may(line), line, timeout_s=40)


def test_a_camera_host(reader: Reader) -> None:
    """As root in a container of the image, which has what pip would bring."""
    lines = "\n".join(line for line in HOST if "systemctl" not in line)
    begin, _, check = lines.rpartition("\n")
    assert "edge check" in check
    script = f"""set -e
sudo() {{ "$@"; }}
echo it > token
mkdir -p /etc/systemd/system
{begin}
ls /etc/fishladder/edge.toml /etc/systemd/system/fishladder-edge.service
cat > /etc/fishladder/edge.toml <<'END'
{CAMERAS}
END
{check} || test $? = 1
"""
    done = subprocess.run(
        ["docker", "run", "--rm", "-i", "--user", "0", "--network", "none", "--workdir", "/src",
         "--volume", f"{ROOT / 'edge'}:/src/edge:ro", "--env", "PIP_NO_INDEX=1", "--entrypoint", "sh",
         "fishladder:local", "-c", script],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"ok .*pattern", done.stdout), done.stdout
    assert re.search(r"FAIL .*gateway", done.stdout), done.stdout  # which a container without a network cannot reach


def test_its_end(reader: Reader) -> None:
    [away] = [line for line in DOWN if line.endswith("-v")]
    reader.type(*(line for line in DOWN if line != away))
    assert reader.stack.containers() == []
    reader.type(away)
    assert not reader.stack.volumes()


def test_all_that_is_shown_is_run() -> None:
    assert SHOWN.left == []
