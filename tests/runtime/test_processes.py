"""A group of child processes: each is kept going, and one that cannot start ends the group with one error."""

import asyncio
import sys
from pathlib import Path

import pytest
from support.stores import wait_until

from fishladder.runtime.lifecycle import ChildFailed, run_processes


def command(place: Path, ends_with: int) -> list[str]:
    """A child that leaves a file for each of its runs and ends."""
    program = f"import sys, tempfile; tempfile.mkstemp(dir={str(place)!r}); sys.exit({ends_with})"
    return [sys.executable, "-c", program]


@pytest.mark.parametrize("status", [2, 3])
async def test_children_that_cannot_start_end_the_group_with_one_error(status: int, tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match="could not start") as failed:
        await run_processes([command(tmp_path, status)] * 3, asyncio.Event(), backoff_s=60)
    assert failed.value.exit_code == status


@pytest.mark.parametrize("status", [0, 1, 2])
async def test_a_child_that_ends_later_is_started_again(status: int, tmp_path: Path) -> None:
    stopping = asyncio.Event()
    # With no time to start in, every end is a later one.
    group = asyncio.create_task(run_processes([command(tmp_path, status)], stopping, backoff_s=0.01, start_s=0))
    await wait_until(lambda: len(list(tmp_path.iterdir())) >= 3 or group.done())
    assert not group.done()
    stopping.set()
    await asyncio.wait_for(group, 10)
