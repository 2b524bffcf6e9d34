"""The same stack on a one-node Swarm, from the stack file that the documented command makes: deployed, scaled, its
workers replaced one before the other goes, its gateway after, and nothing lost.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.compose import ROOT, free_ports, no_engine, until
from support.installed import lacking

pytestmark = pytest.mark.timeout(600)

NAME = f"fishladder-test-{os.getpid()}"


def docker(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=180)
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout


class Swarm:
    """A deployed stack."""

    def running(self, service: str) -> list[str]:
        """Containers of a service that run."""
        return docker("ps", "-q", "-f", f"name={NAME}_{service}", "-f", "status=running").split()

    def healthy(self, service: str) -> int:
        return len(docker("ps", "-q", "-f", f"name={NAME}_{service}", "-f", "health=healthy").split())

    def ledger(self) -> dict[str, Any] | None:
        """None while there is no gateway to ask in, or no store."""
        for container in self.running("gateway"):
            said = docker("exec", container, "fishladder", "ledger", "--json", check=False)
            if said:
                found: dict[str, Any] = json.loads(said)
                return found
        return None

    def inferred(self) -> int:
        found = self.ledger()
        return sum(it["inferred"] for it in found["cameras"]) if found else 0

    def goes_on(self, what: str) -> None:
        before = self.inferred()
        try:
            until(lambda: self.inferred() > before + 10, what, timeout_s=120)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()}") from None

    def said(self) -> str:
        """The last words of all."""
        services = docker("service", "ls", "--format", "{{.Name}}").split()
        return "\n".join(docker("service", "logs", "--raw", "--tail", "15", name, check=False) for name in services)


@pytest.fixture(scope="module")
def swarm() -> Iterator[Swarm]:
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("wants the machine for itself: make test-stack")
    if why := no_engine():
        lacking(f"no Docker engine with its compose plugin: {why}")
    ours = docker("info", "-f", "{{.Swarm.LocalNodeState}}").strip() != "active"
    if ours and os.environ.get("CI") != "true":
        pytest.skip("this engine is in no swarm: `docker swarm init`, or CI=true to have it done and undone here")
    if ours:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        environment = {**os.environ, **free_ports()}
        compose = ["docker", "compose", "--profile=demo"]
        subprocess.run([*compose, "build", "-q"], cwd=ROOT, env=environment, check=True, capture_output=True)
        config = subprocess.run(
            [*compose, "config", "--format", "json"], cwd=ROOT, env=environment, check=True, capture_output=True
        )
        made = subprocess.run(
            [sys.executable, ROOT / "docker" / "swarm.py"], input=config.stdout, check=True, capture_output=True
        )
        subprocess.run(["docker", "stack", "deploy", "-c", "-", NAME], input=made.stdout, check=True)
        yield Swarm()
    finally:
        docker("stack", "rm", NAME, check=False)
        until(_without_containers, "its containers are gone")
        volumes = docker("volume", "ls", "-q", "-f", f"name={NAME}_").split()
        _removed(volumes)
        if ours:
            docker("swarm", "leave", "--force", check=False)


def _without_containers() -> bool:
    """An engine may keep one that was killed for minutes after its service has gone: it is helped along."""
    left = docker("ps", "-aq", "-f", f"name={NAME}_").split()
    if left and not docker("service", "ls", "-q", "-f", f"name={NAME}_"):
        docker("rm", "-f", *left, check=False)
    return not left


def _removed(volumes: list[str]) -> None:
    until(lambda: not volumes or docker("volume", "rm", *volumes, check=False), "its volumes are gone")


def test_it_comes_up_and_detects(swarm: Swarm) -> None:
    began = time.monotonic()
    until(lambda: swarm.inferred() > 0, "the first result", timeout_s=240)
    print(f"first result after {time.monotonic() - began:.0f} s")


def test_it_scales(swarm: Swarm) -> None:
    docker("service", "scale", "-d", f"{NAME}_worker=3")
    until(lambda: swarm.healthy("worker") == 3, "three workers", timeout_s=120)
    swarm.goes_on("with three workers")
    docker("service", "scale", "-d", f"{NAME}_worker=1")
    until(lambda: len(swarm.running("worker")) == 1, "one worker")
    swarm.goes_on("with one again")


def test_workers_are_replaced_start_first_and_the_gateway_after(swarm: Swarm) -> None:
    [old] = swarm.running("worker")
    docker("service", "update", "-d", "--force", f"{NAME}_worker")
    seen = 0

    def replaced() -> bool:
        nonlocal seen
        running = swarm.running("worker")
        seen = max(seen, len(running))
        return old not in running and swarm.healthy("worker") == 1

    until(replaced, "another worker", timeout_s=180)
    assert seen == 2  # the new one was there before the old one went
    [old] = swarm.running("gateway")
    docker("service", "update", "-d", "--force", f"{NAME}_gateway")
    until(lambda: old not in swarm.running("gateway") and swarm.healthy("gateway") == 1, "another gateway", 180)
    swarm.goes_on("after both were replaced")


def test_nothing_is_lost(swarm: Swarm) -> None:
    docker("service", "scale", "-d", f"{NAME}_edge=0")
    until(lambda: not swarm.running("edge"), "the agent has drained", timeout_s=120)

    def settled() -> bool:
        found = swarm.ledger()
        return bool(found and found["cameras"]) and all(it["pending"] == 0 for it in found["cameras"])

    until(settled, "nothing is pending")
    ledger = swarm.ledger()
    assert ledger is not None
    assert ledger["closes"]
    for it in ledger["cameras"]:
        print(it["camera"], it["captured"], it["reasons"])
        assert (it["dropped"], it["unaccounted"]) == (0, 0)
