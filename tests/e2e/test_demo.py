"""`fishladder demo` as a newcomer runs it: people are detected in real footage and the ledger closes."""

import asyncio
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from support.fleet import FISHLADDER, Fleet


@pytest.mark.timeout(600)  # a cold machine fetches the model and the footage first
async def test_the_demo_detects_people_and_closes(tmp_path: Path) -> None:
    status, out, err = await Fleet(tmp_path).run("demo", "--seconds", "8", within_s=550)
    assert status == 0, err
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
