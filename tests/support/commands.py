"""Running the `fishladder` command as a user does: to its end, or for as long as a test needs it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

COMMAND = (sys.executable, "-m", "fishladder.runtime")
_PATIENCE_S = 30.0


class Done(NamedTuple):
    status: int
    out: str
    err: str


class Running:
    """A command that runs; its output is read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """The next line on stdout, without its end."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), _PATIENCE_S)).decode().rstrip("\n")

    async def error_line(self) -> str:
        """The next line on stderr, without its end."""
        assert self.process.stderr is not None
        return (await asyncio.wait_for(self.process.stderr.readline(), _PATIENCE_S)).decode().rstrip("\n")

    async def rest(self) -> tuple[str, str]:
        """What else it says until it ends, on stdout and stderr."""
        out, err = await asyncio.wait_for(self.process.communicate(), _PATIENCE_S)
        return (out or b"").decode(), (err or b"").decode()


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """Ours, without the settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FISHLADDER_")}
    return kept | env


async def fishladder(*arguments: str, env: Mapping[str, str] = {}) -> Done:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(env),
    )
    out, err = await asyncio.wait_for(process.communicate(), _PATIENCE_S)
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def started(*arguments: str, stdout: int = asyncio.subprocess.PIPE) -> AsyncIterator[Running]:
    """A command while the block runs; it is killed after it if it has not ended."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env=_environment({}),
    )
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
