"""The systemd unit: it loads, is well locked in, and the agent speaks its manager's protocol, over a real socket."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.doc_commands import Shown
from support.gateway_double import gateway_double, until
from support.installed import lacking, needs_systemd

SHOWN = Shown(__file__)
[ENABLE] = SHOWN.take("sudo systemctl enable --now")
UNIT = Path(__file__).parents[2] / "edge" / "fishladder-edge.service"
#: systemd's own scale: 0 is perfect, 10 wide open; "OK" ends at 5. The documents name the figure.
MOST_EXPOSED = 1.5


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a command that exists, which is all that an installation changes."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/fishladder/bin/fishladder", sys.executable))
    return copy


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True)


@needs_systemd
def test_systemd_finds_nothing_wrong_with_it(unit: Path) -> None:
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_it_is_locked_in(unit: Path) -> None:
    done = analyze("security", "--offline=yes", str(unit))
    found = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    if found is None:
        lacking(f"systemd 250 or later is needed, to rate units offline: {done.stderr.strip()}")
    print(f"exposure {found[1]} of 10")
    assert float(found[1]) <= MOST_EXPOSED


@needs_systemd
def test_it_can_be_enabled_as_documented(unit: Path, tmp_path: Path) -> None:
    """Not `--now`: systemd manages no test machine. What it would begin at a start is what `enable` links."""
    *_, name = ENABLE.split()
    root = tmp_path / "root"
    (root / "etc/systemd/system").mkdir(parents=True)
    (root / "etc/systemd/system" / unit.name).write_text(unit.read_text())
    subprocess.run(["systemctl", f"--root={root}", "enable", name], check=True, capture_output=True)
    assert (root / "etc/systemd/system/multi-user.target.wants" / unit.name).is_symlink()


def test_all_that_is_shown_is_run() -> None:
    assert SHOWN.left == []


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[Path, socket.socket]]:
    """A service manager's socket."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.setblocking(False)
        yield path, listening


async def test_the_agent_says_that_it_is_ready_alive_and_stopping(manager: tuple[Path, socket.socket]) -> None:
    path, listening = manager
    said: list[str] = []

    async def listen() -> None:
        while True:
            said.append((await asyncio.get_running_loop().sock_recv(listening, 4096)).decode())

    async with gateway_double() as gateway:
        told = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "600000", "FISHLADDER_EDGE_TOKEN": "good", "NO_PROXY": "*"}
        command = [sys.executable, "-m", "fishladder.runtime", "edge", "run", "--gateway", gateway.url]
        command += ["--site", "shop", "--metrics-port", "0", "--camera", "one=test:128x64@10"]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=DEVNULL, stderr=DEVNULL, env={**os.environ, **told}
        )
        listening_task = asyncio.create_task(listen())
        try:
            await until(lambda: said.count("WATCHDOG=1") >= 3)
            assert said[0] == "READY=1"
            await until(lambda: gateway.log("shop/one").next > 5)
            process.send_signal(signal.SIGSTOP)  # it hangs: the beats end, and a manager would end it
            await asyncio.sleep(0.5)
            beats = said.count("WATCHDOG=1")
            await asyncio.sleep(1.0)
            assert said.count("WATCHDOG=1") == beats
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            await until(lambda: "STOPPING=1" in said)
            assert await process.wait() == 0
        finally:
            listening_task.cancel()
            if process.returncode is None:
                process.kill()
                await process.wait()
            await asyncio.wait([listening_task])
