"""One process of the system under fault, started again whenever it ends, as a service manager would."""

import asyncio
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Part:
    """One process. When it has ended, it is started again `restart_s` later."""

    name: str
    command: tuple[str, ...]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    restart_s: float = 0.2
    expected: bool = False  #: we ended it
    ended: list[int] = field(default_factory=list)  #: with what status, when it was not us
    pids: list[int] = field(default_factory=list)  #: all it ever had
    process: asyncio.subprocess.Process | None = None
    over: bool = False

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None

    async def keep(self) -> None:
        """Run it, again and again, until `over`."""
        while not self.over:
            with self.log.open("ab") as out:
                self.process = await asyncio.create_subprocess_exec(
                    *self.command, stdout=out, stderr=out, env={**os.environ, **self.environment}
                )
            self.pids.append(self.process.pid)
            status = await self.process.wait()
            if not self.expected and not self.over:
                self.ended.append(status)
            self.expected = False
            await asyncio.sleep(self.restart_s)

    def signal(self, number: int) -> bool:
        """Whether there was a process to send it to."""
        if (pid := self.pid) is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:  # it has ended, and nobody has told us yet
            return False
        return True

    def end(self, number: int, down_s: float) -> bool:
        """End it with a signal; it starts again `down_s` later. A process that is stopped wakes to end."""
        if self.pid is None:
            return False
        self.expected, self.restart_s = True, down_s
        self.signal(number)
        self.signal(signal.SIGCONT)
        return True
