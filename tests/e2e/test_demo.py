"""`fishladder demo` as a newcomer runs it: people are detected in real footage and the ledger closes."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.doc_commands import ROOT, Shown
from support.fleet import FISHLADDER
from support.shell import Shell

SHOWN = Shown(__file__)
MAKE_DEMO = SHOWN.take("make demo")


async def _made(line: str, place: Path, *flags: str) -> str:
    """By the Makefile, but with the environment that runs the tests, instead of one that it would make."""
    ours = ("-C", str(ROOT), "READY=", f"BIN={Path(sys.executable).parent}", *flags)
    return await Shell(place).run(line, more=" ".join(ours), within_s=550)


@pytest.mark.timeout(600)  # a cold machine fetches the model and the footage first
async def test_the_demo_detects_people_and_closes(tmp_path: Path) -> None:
    [line] = [line for line in MAKE_DEMO if "SECONDS=" in line]
    out = await _made(line.replace("SECONDS=20", "SECONDS=8"), tmp_path)
    people = re.search(r"demo/square: (\d+) detections in (\d+) frames", out)
    assert people
    assert int(people[1]) > int(people[2]) > 10, "the square has more than one person in view"
    equation = re.findall(
        r"captured (\d+) = inferred (\d+) \+ skipped (\d+) \+ dropped (\d+) \+ pending (\d+)", out.split("\n\n")[-1]
    )
    assert len(equation) == 2
    for captured, *parts in equation:
        assert int(captured) == sum(map(int, parts))
        assert parts[-1] == "0"
    assert "every captured frame is accounted for" in out


@pytest.mark.timeout(600)
async def test_ctrl_c_ends_the_demo_with_its_summary(tmp_path: Path) -> None:
    """A terminal sends it to every process of the group at once."""
    [line] = [line for line in MAKE_DEMO if "SECONDS=" not in line]
    assert "demo --seconds 0" in await _made(line, tmp_path, "--dry-run")
    demo = await asyncio.create_subprocess_exec(
        *FISHLADDER, "demo", stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert demo.stdout is not None
    async with asyncio.timeout(550):
        while not re.search(rb"inferred [1-9]", await demo.stdout.readline()):
            assert demo.returncode is None
    os.killpg(demo.pid, signal.SIGINT)
    out, err = await asyncio.wait_for(demo.communicate(), 60)
    assert demo.returncode == 0, err.decode()
    assert b"every captured frame is accounted for" in out
    assert b"Traceback" not in err


def test_all_that_is_shown_is_run() -> None:
    assert SHOWN.left == []
