"""Network namespaces without names: each lives as long as a small process that waits for the end of its input, and so
ends with the process that made it, however that ends. Nothing of them is left in the file system.
"""

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from fishladder.loadtest.emulation.privileges import tool
from fishladder.loadtest.errors import CannotEmulate

_TIMEOUT_S = 20.0


class Namespace:
    """A network namespace with its loopback up. Close it, or use it as a context."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._holder = subprocess.Popen(  # noqa: S603
            [tool("unshare"), "-n", "sh", "-c", "echo; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C is for us, who then end it
        )
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != b"\n":
            complaint = self._holder.stderr.read().decode(errors="replace").strip()
            self.close()
            raise CannotEmulate(f"no network namespace for the {name}: {complaint}")
        self.pid = self._holder.pid
        self.ip("link set lo up")

    def command(self, *argv: str) -> list[str]:
        """The command that runs `argv` inside."""
        return [tool("nsenter"), "-t", str(self.pid), "-n", "--", *argv]

    def ip(self, *lines: str) -> str:
        """Run lines of `ip` inside. Raises `CannotEmulate` with what it says."""
        return self._batch("ip", lines)

    def tc(self, *lines: str) -> str:
        """Run lines of `tc` inside. Raises `CannotEmulate` with what it says."""
        return self._batch("tc", lines)

    def queues(self, interface: str) -> str:
        """What `tc` says of the queues of an interface, with their counts."""
        return self._run([tool("tc"), "-s", "qdisc", "show", "dev", interface], f"the queue of {interface}")

    def write(self, path: str, text: str) -> None:
        """Write a kernel setting that differs from namespace to namespace."""
        self._run(["sh", "-c", 'printf %s "$1" > "$2"', "sh", text, path], f"{path} of the {self.name}")

    def _batch(self, name: str, lines: Sequence[str]) -> str:
        return self._run([tool(name), "-batch", "-"], f"`{name}` in the {self.name}", "\n".join(lines) + "\n")

    def _run(self, argv: list[str], what: str, text: str = "") -> str:
        done = subprocess.run(  # noqa: S603
            self.command(*argv), input=text, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
        if done.returncode:
            raise CannotEmulate(f"{what}: {' '.join(done.stderr.split())} (given: {' / '.join(text.splitlines())})")
        return done.stdout

    def close(self) -> None:
        """End what holds it; it is gone when no process is inside any more."""
        self._holder.kill()
        self._holder.wait()
        for pipe in (self._holder.stdin, self._holder.stdout, self._holder.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
