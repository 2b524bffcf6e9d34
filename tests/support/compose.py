"""The stack of compose.yaml as a test runs it: a project of its own on ports of its own, so that one an operator has
running on the same machine is left alone.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.installed import lacking

ROOT = Path(__file__).parents[2]
_KILL = "kill -9 $(cat /proc/1/task/1/children)"


def no_engine() -> str:
    """Why there can be no stack here; '' if there can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    for command in (["docker", "compose", "version"], ["docker", "version"]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return f"`{' '.join(command)}` fails: {done.stderr.strip().splitlines()[-1][:200]}"
    return ""


def engine_for(what: str) -> None:
    """End the test that asks if it cannot have a stack."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip(f"{what}: builds an image and wants the machine for itself: make test-stack")
    if why := no_engine():
        lacking(f"no Docker engine with its compose plugin: {why}")


#: For images that no registry hands out here: Debian's Prometheus, and for Grafana, which Debian has not, what listens.
_STAND_INS = {
    "prometheus": "prometheus busybox-static",
    "grafana": "busybox-static",
}
_MADE_OF = """FROM debian:bookworm-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends {packages} && rm -rf /var/lib/apt/lists/* \
    && ln -s /bin/busybox /usr/local/bin/wget && install -d -o nobody -g nogroup /prometheus \
    && install -d /www/api && echo ok > /www/api/health
"""
_ENTRY = {
    "prometheus": ["/usr/bin/prometheus"],
    "grafana": ["busybox", "httpd", "-f", "-p", "3000", "-h", "/www"],
}


def stand_ins(place: Path) -> str:
    """A compose file, beside compose.yaml, that names other images for those that can neither be found nor pulled."""
    services = {}
    images = subprocess.check_output(["docker", "compose", "--profile=*", "config", "--images"], cwd=ROOT, text=True)
    for name, packages in _STAND_INS.items():
        image = next(it for it in images.split() if f"/{name}:" in it)
        if _ends_well("docker", "image", "inspect", image) or _ends_well("docker", "pull", "-q", image):
            continue
        tag = f"fishladder-test/{name}:stand-in"
        made = _MADE_OF.format(packages=packages)
        classic = {**os.environ, "DOCKER_BUILDKIT": "0"}
        subprocess.run(["docker", "build", "-q", "-t", tag, "-"], input=made, text=True, env=classic, check=True)
        services[name] = {"image": tag, "pull_policy": "never", "entrypoint": _ENTRY[name]}
    file = place / "stand-ins.yaml"
    file.write_text(json.dumps({"services": services}))
    return str(file)


def _ends_well(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, timeout=300).returncode == 0


class Stack:
    """`env` goes to compose beside the environment. Commands raise `AssertionError` with what was said if they fail."""

    def __init__(self, project: str, profiles: tuple[str, ...] = (), **env: str) -> None:
        self.project = project
        self.env = {"FISHLADDER_SINKS": str(ROOT / "sinks" / "sinks.toml"), **os.environ, **env}
        self._head = ["docker", "compose", "-p", project, *(f"--profile={name}" for name in profiles)]

    def compose(self, *arguments: str, timeout_s: float = 300, check: bool = True) -> str:
        done = subprocess.run(
            [*self._head, *arguments], cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=timeout_s
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(arguments)}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}\n{self.logs()}")
        return done.stdout

    def fishladder(self, *arguments: str, service: str = "gateway") -> str:
        """The command inside a container, as an operator calls it."""
        return self.compose("exec", "-T", service, "fishladder", *arguments)

    def get(self, url: str) -> str:
        """What a URL answers on the stack's inner network. Nothing of it is published."""
        read = "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=5).read().decode())"
        return self.compose("exec", "-T", "gateway", "python", "-c", read, url)

    def logs(self) -> str:
        done = subprocess.run(
            [*self._head, "logs", "--tail", "15"], cwd=ROOT, env=self.env, capture_output=True, text=True
        )
        return done.stdout

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """What the engine knows of the containers that run."""
        ids = self.compose("ps", "-q", *([service] if service else [])).split()
        found: list[dict[str, Any]] = json.loads(subprocess.check_output(["docker", "inspect", *ids])) if ids else []
        return found

    def volumes(self) -> list[str]:
        command = ["docker", "volume", "ls", "-q", "-f", f"name={self.project}_"]
        return subprocess.check_output(command, text=True).split()

    def kill(self, service: str) -> None:
        """SIGKILL to what a service's container runs, which the engine then starts again. Not `docker kill`: after
        that it would stay down.
        """
        before = self.containers(service)[0]
        self.compose("exec", "-T", service, "sh", "-c", _KILL, check=False)
        until(lambda: self.containers(service)[0]["RestartCount"] > before["RestartCount"], f"{service} is back")

    def ledger(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.fishladder("ledger", "--json"))
        return found

    def inferred(self) -> dict[str, int]:
        """Results by camera; nothing while the gateway's container or the state store is away."""
        said = self.compose("exec", "-T", "gateway", "fishladder", "ledger", "--json", check=False)
        return {it["camera"]: it["inferred"] for it in json.loads(said)["cameras"]} if said else {}

    def goes_on(self, what: str, *, frames: int = 5) -> None:
        """Wait until each of the demo's cameras has so many results more than now."""
        before: dict[str, int] = {}
        until(lambda: before.update(self.inferred()) or before, f"a ledger {what}")
        wanted = {camera: count + frames for camera, count in before.items() if camera.startswith("demo/")}
        until(lambda: all(self.inferred().get(camera, 0) >= count for camera, count in wanted.items()), what)


@contextmanager
def stack(*profiles: str, **env: str) -> Iterator[Stack]:
    """A stack to start; whatever became of it, nothing of it stays."""
    made = Stack(f"fishladder-test-{os.getpid()}", profiles, **{**free_ports(), **env})
    try:
        yield made
    finally:
        made.compose("down", "-v", "--remove-orphans", "-t", "2", check=False)


def until(condition: Callable[[], object], what: str, timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.3)


def free_ports() -> dict[str, str]:
    """What to set so that a stack gets in nobody's way."""
    first = _free_udp(16)
    return {
        "FISHLADDER_LISTEN": "127.0.0.1",
        "FISHLADDER_PORT": str(_free_tcp()),
        "FISHLADDER_UDP_FIRST": str(first),
        "FISHLADDER_UDP_LAST": str(first + 15),
    }


def _free_tcp() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _free_udp(count: int) -> int:
    """The first of so many ports that nobody has."""
    for first in range(52000, 60000, count):
        try:
            for port in range(first, first + count):
                with socket.socket(type=socket.SOCK_DGRAM) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free UDP ports")
