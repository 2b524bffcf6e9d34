"""However a load test ends, nothing of it is left: no process, namespace, queue or file."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from support.links import MARK, marked, namespaces_of, needs_links_here, within
from support.stores import wait_until

COMMAND = [sys.executable, "-m", "fishladder.runtime", "loadtest"]
#: A user without rights, for the kernel: root that has given all up. Mapping root into a namespace takes CAP_SETFCAP of
#: root, and nothing of anybody else.
POWERLESS = ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all", "--"]
#: A run with stack and agents over an emulated link.
RUN_SITE = """
import numpy as np
from fishladder.loadtest.emulation.network import emulate
from fishladder.loadtest.links.load import load_link
from fishladder.loadtest.sites.site import run_site
from fishladder.loadtest.traffic import Traffic
frames = 3000
at_us = np.arange(frames) * 20_000
plan = Traffic(1, 50.0, 500_000, at_us * 0, at_us, at_us * 0 + 2000, at_us % 1_000_000 == 0)
with emulate(load_link("vdsl2")) as network:
    run_site(plan, network=network, progress=lambda seconds: print("runs", flush=True))
"""


def powerless() -> str:
    """Why the rootless way cannot be tried here, '' if it can."""
    if os.geteuid() != 0:
        return ""
    try:
        done = subprocess.run([*POWERLESS, "unshare", "-Urn", "true"], capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else f"no user namespaces: {done.stderr.strip()}"


def as_nobody(command: list[str]) -> list[str]:
    return command if os.geteuid() else [*POWERLESS, *command]


async def left_behind(
    command: list[str], place: Path, has_begun: Callable[[set[int]], bool], number: signal.Signals, status: int | None
) -> None:
    """Start, interrupt, and insist that all of it goes away."""
    mark = uuid4().hex
    env = {**os.environ, MARK: mark, "TMPDIR": str(place)}
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=quiet, stderr=quiet)
    holders: set[tuple[int, str]] = set()  # of its namespaces, which live as long as one of these does
    try:

        def begun() -> bool:
            assert process.returncode is None, "it ended by itself"
            holders.update(within(namespaces_of(marked(mark))))
            return has_begun(marked(mark))

        await wait_until(begun, 60, "it has begun")
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 60) == (-number if status is None else status)
        await wait_until(lambda: not marked(mark), 40, "all its processes are gone")
        assert holders
        await wait_until(lambda: not holders & within(None), 20, "nobody is left in its namespaces")
        assert os.listdir(place) == []  # noqa: PTH208
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)


def relays(processes: set[int]) -> bool:
    return sum(_says(pid, "emulation.relay") for pid in processes) == 2 and any(
        _says(pid, "emulation.datagrams") for pid in processes
    )


def plays(processes: set[int]) -> bool:
    return any(_says(pid, "sites.agents") for pid in processes) and any(
        path.suffix == ".npz" for pid in processes for path in _files(pid)
    )


def _files(pid: int) -> list[Path]:
    found = re.search(r"TMPDIR=([^\0]+)", Path(f"/proc/{pid}/environ").read_text(errors="replace"))
    return list(Path(found[1]).glob("*/*.npz")) if found else []


def _says(pid: int, text: str) -> bool:
    try:
        return text in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


@needs_links_here
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, None)],
    ids=lambda value: str(value),
)
async def test_a_self_test_that_is_ended(tmp_path: Path, number: signal.Signals, status: int | None) -> None:
    await left_behind([*COMMAND, "selftest", "--link", "docsis30"], tmp_path, relays, number, status)


@needs_links_here
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda value: value.name)
async def test_a_run_of_a_whole_site_that_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", RUN_SITE]
    status = None if number is signal.SIGKILL else -signal.SIGINT  # how Python ends by it, without our command line
    await left_behind(command, tmp_path, plays, number, status)


@pytest.mark.skipif(bool(why_not := powerless()), reason=why_not)
async def test_a_self_test_without_root_that_is_killed(tmp_path: Path) -> None:
    command = as_nobody([*COMMAND, "selftest", "--link", "docsis30"])
    await left_behind(command, tmp_path, relays, signal.SIGKILL, None)


@pytest.mark.skipif(bool(why_not), reason=why_not)
def test_links_are_emulated_without_root(tmp_path: Path) -> None:
    file = tmp_path / "thin.toml"
    up = "[up]\nrate_mbps = 5\nqueue_ms = 80\ndelay_ms = 10\nloss = { rate = 0.02 }\n"
    file.write_text(up + "[down]\nrate_mbps = 20\nqueue_ms = 50\n")
    deadline = time.monotonic() + 60
    while True:  # on a loaded machine, where a user has no priority, a self-test may rightly refuse
        done = subprocess.run(
            as_nobody([*COMMAND, "selftest", "--link", str(file)]), capture_output=True, text=True, timeout=100
        )
        assert "namespaces as user namespace" in done.stderr
        if done.returncode == 0 or time.monotonic() > deadline:
            break
        assert "refused: thin" in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    assert "thin" in done.stdout


def test_without_any_right_to_namespaces_it_says_so_in_a_line() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can take the right to user namespaces from a process")
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", *COMMAND, "selftest", "--link", "docsis30"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "--backend model" in done.stderr
