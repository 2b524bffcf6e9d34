"""A reader at a shell prompt: types what a document shows, in a folder of their own."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.stores import wait_until


@dataclass
class Shell:
    """`stands_for`: what is the reader's own in a command (a host, a camera), and what takes its place here."""

    place: Path
    stands_for: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)

    def typed(self, line: str) -> str:
        for shown, here in self.stands_for.items():
            line = line.replace(shown, here)
        return line

    async def run(
        self, line: str, *, more: str = "", ok: tuple[int, ...] = (0,), stdin: str = "", within_s: float = 110
    ) -> str:
        """To its end, with what is added to make it short; what it said on stdout. `ok`: statuses it may end with."""
        process = await self._spawn(f"{self.typed(line)} {more}")
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin.encode()), within_s)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise AssertionError(f"{line}: not over after {within_s:g} s") from None
        assert process.returncode in ok, f"{line}: exit {process.returncode}\n{out.decode()}\n{err.decode()}"
        assert b"Traceback" not in err, err.decode()
        return out.decode()

    @asynccontextmanager
    async def running(
        self, line: str, says: str = "", *, more: str = "", ends: tuple[int, ...] = (0,)
    ) -> AsyncIterator[None]:
        """While the block runs, from when it `says` so. On SIGTERM it `ends` with one of these statuses."""
        log = self.place / f"{abs(hash(line)):x}.log"
        process = await self._spawn(f"exec {self.typed(line)} {more} > {log} 2>&1")
        try:
            await wait_until(lambda: process.returncode is not None or says in _read(log), 60, f"{line}: {says}")
            assert process.returncode is None, f"{line}: {_read(log)}"
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            status = await asyncio.wait_for(process.wait(), 40)
        assert status in ends, f"{line}: exit {status}\n{_read(log)}"

    async def _spawn(self, command: str) -> Process:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, **self.env}
        return await asyncio.create_subprocess_exec(
            "bash", "-c", command, cwd=self.place, env=env, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
        )


def _read(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""
