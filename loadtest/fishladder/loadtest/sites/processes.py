"""Processes of a run, each inside a namespace or on this machine as it is: started so that they end with us, watched
while others wait for them, their log shown when they fail.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from fishladder.loadtest.emulation.namespaces import Namespace
from fishladder.loadtest.errors import CannotEmulate

_GRACE_S = 15.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Times(NamedTuple):
    """Seconds of all threads: on a core, and ready to run without one."""

    used_s: float
    waited_s: float

    def since(self, before: "Times", elapsed_s: float) -> "Times":
        """As shares of the time that passed."""
        return Times((self.used_s - before.used_s) / elapsed_s, (self.waited_s - before.waited_s) / elapsed_s)


class Part:
    """`python -m MODULE ARGUMENTS...` inside `where` (None: here). Its input and output are pipes with `talks`."""

    def __init__(
        self, name: str, where: Namespace | None, command: Sequence[str], log: Path, *, talks: bool = False
    ) -> None:
        self.name = name
        self._log = log
        inner = [sys.executable, "-m", *command]
        with log.open("wb") as file:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "fishladder.runtime.tether", "--", *(where.command(*inner) if where else inner)],
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else file,
                stderr=file,
                start_new_session=True,
            )

    def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it is missed when it should answer
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()

    def hear(self) -> bytes:
        """The next line it says. Raises `CannotEmulate` if it ends instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise self.failure()
        return line.rstrip(b"\n")

    def wait_for(self, condition: Callable[[], bool], within_s: float, what: str) -> None:
        """Raises `CannotEmulate` if it ends before, or if it takes too long."""
        deadline = time.monotonic() + within_s
        while not condition():
            if self.process.poll() is not None:
                raise self.failure()
            if time.monotonic() > deadline:
                raise CannotEmulate(f"the {self.name} did not {what} within {within_s:g} s: {self.last_words()}")
            time.sleep(0.05)

    def ended(self, within_s: float) -> bool:
        """Wait so long for it to end by itself."""
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def failure(self) -> CannotEmulate:
        return CannotEmulate(f"the {self.name} ended with status {self.process.returncode}: {self.last_words()}")

    def said(self, text: bytes) -> bool:
        return text in self._log.read_bytes()

    def last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][-500:] if lines else "it said nothing"

    def times(self) -> Times:
        """Of it and its children, so far."""
        return _times(self.process.pid)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _times(pid: int) -> Times:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return Times(0.0, 0.0)
    used_s, waited_s = (int(fields[11]) + int(fields[12])) / _TICKS, 0.0
    with suppress(OSError):  # a thread may end while we look; kernels without it say nothing
        waited_s = sum(int(it.read_text().split()[1]) for it in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
    below = [_times(int(child)) for child in children]
    return Times(used_s + sum(it.used_s for it in below), waited_s + sum(it.waited_s for it in below))


def listens(where: Namespace | None, port: int) -> bool:
    """Whether somebody listens on a TCP port there."""
    pid = where.pid if where else os.getpid()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    return True
    return False
