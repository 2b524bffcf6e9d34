"""The same stack on a one-node Swarm, from the stack file that the documented command makes: deployed, scaled, its
workers replaced one before the other goes, its gateway after, and nothing lost.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.compose import ROOT, engine_for, free_ports, until
from support.doc_commands import Shown

pytestmark = pytest.mark.timeout(600)

SHOWN = Shown(__file__)
[MAKE], [DEPLOY] = SHOWN.take(".*docker/swarm.py"), SHOWN.take("docker stack deploy")
[SCALE], [UPDATE] = SHOWN.take("docker service scale"), SHOWN.take("docker service update")
NAME = f"fishladder-test-{os.getpid()}"


def documented(line: str) -> str:
    """For the stack of this test."""
    return line.replace("stack.json fishladder", f"stack.json {NAME}").replace("fishladder_", f"{NAME}_")


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
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    place = tmp_path_factory.mktemp("swarm")
    engine_for("a stack on Swarm")
    ours = docker("info", "-f", "{{.Swarm.LocalNodeState}}").strip() != "active"
    if ours and os.environ.get("CI") != "true":
        pytest.skip("this engine is in no swarm: `docker swarm init`, or CI=true to have it done and undone here")
    if ours:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    try:
        environment = {**os.environ, **free_ports()}
        compose = ["docker", "compose", "--profile=demo"]
        subprocess.run([*compose, "build", "-q"], cwd=ROOT, env=environment, check=True, capture_output=True)
        here = {**environment, "COMPOSE_FILE": str(ROOT / "compose.yaml")}
        for line in (MAKE, DEPLOY):
            typed = documented(line).replace("docker/swarm.py", str(ROOT / "docker" / "swarm.py"))
            subprocess.run(["bash", "-c", typed], cwd=place, env=here, check=True)
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
    subprocess.run(documented(SCALE).split(), check=True, stdout=subprocess.DEVNULL)
    until(lambda: swarm.healthy("worker") == 4, "four workers", timeout_s=120)
    swarm.goes_on("with four workers")
    docker("service", "scale", "-d", f"{NAME}_worker=1")
    until(lambda: len(swarm.running("worker")) == 1, "one worker")
    swarm.goes_on("with one again")


def test_workers_are_replaced_start_first_and_the_gateway_after(swarm: Swarm) -> None:
    [old] = swarm.running("worker")
    update = subprocess.Popen(documented(UPDATE).split(), stdout=subprocess.DEVNULL)
    seen = 0

    def replaced() -> bool:
        nonlocal seen
        running = swarm.running("worker")
        seen = max(seen, len(running))
        return old not in running and swarm.healthy("worker") == 1

    until(replaced, "another worker", timeout_s=180)
    assert update.wait(60) == 0
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


def test_all_that_is_shown_is_run() -> None:
    assert SHOWN.left == []
