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


class Load(NamedTuple):
    """Shares of the time that passed: on a core, and ready to run without one, of all threads; `busiest`: both, of the
    thread of which they are most. One is no more than late where another of its process has a core.
    """

    used: float
    waited: float
    busiest: float


class Times(dict[int, tuple[float, float]]):
    """Seconds on a core, and ready to run without one, by thread."""

    def later(self, now: "Times") -> "Times":
        """Who ended in between takes nothing along."""
        return Times({**self, **now})

    def since(self, before: "Times", elapsed_s: float) -> Load:
        shares = []
        for thread, (used_s, waited_s) in self.items():
            used_before_s, waited_before_s = before.get(thread, (0.0, 0.0))
            shares.append(((used_s - used_before_s) / elapsed_s, (waited_s - waited_before_s) / elapsed_s))
        used, waited = sum(it for it, _ in shares), sum(it for _, it in shares)
        return Load(used, waited, max(map(sum, shares), default=0.0))


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
    found = Times()
    with suppress(OSError):  # it, or a thread of it, may end while we look
        for task in Path(f"/proc/{pid}/task").iterdir():
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            found[int(task.name)] = ((int(fields[11]) + int(fields[12])) / _TICKS, _waited_s(task))
            for child in (task / "children").read_text().split():
                found.update(_times(int(child)))
    return found


def _waited_s(task: Path) -> float:
    with suppress(OSError):  # kernels without it say nothing
        return int((task / "schedstat").read_text().split()[1]) / 1e9
    return 0.0


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
