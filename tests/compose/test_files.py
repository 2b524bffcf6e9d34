"""What the image and the stack are described by, without an engine: linted, complete, pinned, and no secret in it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support.compose import ROOT
from support.doc_commands import documents
from support.installed import lacking

PROFILES = ("demo", "observe", "sinks", "loadtest", "gpu", "admin")


def missing(why: str) -> NoReturn:
    """A machine that runs `make test` need not have what `make test-stack` needs."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip(f"{why}; make test-stack looks at it")
    lacking(f"{why}: install Docker with its compose plugin, and hadolint (make does)")


def tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        missing(f"there is no {name} command")
    return found


def config(*profiles: str, **env: str) -> dict[str, Any]:
    """The stack as compose understands it; neither an engine nor a network is needed for that."""
    docker = tool("docker")
    if subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        missing("docker has no compose plugin")
    command = [docker, "compose", *(f"--profile={it}" for it in profiles), "config", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", **env})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run([tool("hadolint"), "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_profile_is_understood() -> None:
    for profiles in ((), *((name,) for name in PROFILES), PROFILES):
        assert "gateway" in config(*profiles)["services"]


def test_profiles_named_in_the_documents_exist() -> None:
    known = {profile for it in config(*PROFILES)["services"].values() for profile in it.get("profiles", [])}
    assert known == set(PROFILES)
    for document in documents():
        for profile in re.findall(r"--profile[ =]([a-z]+)", document.read_text()):
            assert profile in known, f"{document.name}: {profile}"


def test_a_plain_start_is_the_stack_and_nothing_else() -> None:
    assert set(config()["services"]) == {"init", "frames", "state", "gateway", "worker"}


def test_every_service_is_hardened_limited_and_pinned() -> None:
    for name, service in config(*PROFILES)["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert not service.get("cap_add"), name
        assert service["security_opt"][0] == "no-new-privileges:true", name
        assert name == "loadtest" or len(service["security_opt"]) == 1, name
        assert service["user"].partition(":")[0] not in ("", "0", "root"), name
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert not re.search(r"(:latest|^[^:]+)$", service["image"]), name
        assert name in ("init", "loadtest", "admin") or "healthcheck" in service, name
        assert "curl" not in json.dumps(service.get("healthcheck")), name


def test_only_the_gateway_and_the_dashboards_are_published() -> None:
    services = config(*PROFILES)["services"]
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert set(published) <= {"gateway", "grafana"}
    tcp = [port for port in published["gateway"] if port["protocol"] == "tcp"]
    udp = [int(port["published"]) for port in published["gateway"] if port["protocol"] == "udp"]
    assert [port["target"] for port in tcp] == [8889]
    assert (min(udp), max(udp), len(udp)) == (50000, 50063, 64)


def test_no_password_stands_in_a_file() -> None:
    lines = (ROOT / "compose.yaml").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    assert not re.search(r"(?i)(password|passwd|secret|token)[a-z_]*: *[\"']?(?!\$|/run|\{)[A-Za-z0-9]", text)


def test_the_swarm_file_says_nothing_that_swarm_refuses(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "docker" / "swarm.py"],
        input=json.dumps(config("demo")),
        capture_output=True,
        text=True,
        check=True,
    )
    stack = json.loads(made.stdout)
    assert "name" not in stack
    for name, service in stack["services"].items():
        assert not {"profiles", "depends_on", "build", "restart"} & set(service), name
        assert all(port["mode"] == "host" for port in service.get("ports", [])), name
    services = stack["services"]
    assert services["init"]["deploy"]["mode"] == "replicated-job"
    assert services["worker"]["deploy"]["update_config"]["order"] == "start-first"
    assert services["worker"]["deploy"]["endpoint_mode"] == "dnsrr"
    for store in ("state", "frames"):  # two of them behind one name would be two stores
        assert services[store]["deploy"]["update_config"]["order"] == "stop-first"
    # A store that is away for minutes kills no worker.
    assert services["worker"]["healthcheck"]["retries"] >= 60
