"""A tethered command ends with its owner, with its tether, and when asked, but not with the thread that started it."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.stores import wait_until

TETHER = [sys.executable, "-m", "fishladder.runtime.tether"]
#: Says its pid, then waits.
COMMAND = ["sh", "-c", "echo $$; exec sleep 60"]


def _runs(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_it_outlives_the_thread_that_started_it() -> None:
    started: list[subprocess.Popen[str]] = []
    thread = threading.Thread(target=lambda: started.append(_start(*TETHER, "--", *COMMAND)))
    thread.start()
    thread.join()
    [tether] = started
    command = int(_first_line(tether))
    # A signal by the kernel would have come when the thread ended, before the command could say its pid.
    assert _runs(command)
    tether.terminate()
    assert tether.wait() == 128 + signal.SIGTERM
    await wait_until(lambda: not _runs(command))


async def test_it_ends_with_an_owner_that_is_killed() -> None:
    script = f"import subprocess, time; subprocess.Popen({[*TETHER, '--', *COMMAND]!r}); time.sleep(60)"
    owner = _start(sys.executable, "-c", script)
    command = int(_first_line(owner))
    owner.kill()
    owner.wait()
    await wait_until(lambda: not _runs(command))


async def test_it_ends_when_its_owner_ended_before_it_began() -> None:
    """The owner is named, so that a tether which starts too late does not take its new parent for it."""
    gone = _start("true")
    gone.wait()
    tether = _start(*TETHER, "--owner", str(gone.pid), "--", *COMMAND)
    assert tether.wait(10) == 128 + signal.SIGTERM


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child that its parent was killed")
async def test_it_ends_with_a_tether_that_is_killed() -> None:
    tether = _start(*TETHER, "--", *COMMAND)
    command = int(_first_line(tether))
    os.kill(tether.pid, signal.SIGKILL)
    tether.wait()
    await wait_until(lambda: not _runs(command))


def test_the_commands_status_is_passed_on() -> None:
    assert subprocess.run([*TETHER, "--", "sh", "-c", "exit 7"]).returncode == 7


def test_a_command_that_is_not_there() -> None:
    done = subprocess.run([*TETHER, "--", "/nowhere/server"], capture_output=True, text=True)
    assert done.returncode == 127
    assert done.stderr == "/nowhere/server: No such file or directory\n"


def test_it_says_how_it_is_used() -> None:
    done = subprocess.run([*TETHER, "sleep"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
