"""What a service manager is told of a process: that it is ready, alive, reloading, stopping. systemd's protocol
(sd_notify(3)): datagrams to the socket that $NOTIFY_SOCKET names. Without one, nothing is said.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

#: A third of the watchdog's time, so that one beat may come late.
_BEATS = 3


class Notifier:
    """`environment` is that of the process; what is in it about another process is not for us."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._path = environment.get("NOTIFY_SOCKET", "")
        ours = environment.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        usec = environment.get("WATCHDOG_USEC", "")
        self.beat_s = int(usec) / 1e6 / _BEATS if ours and usec.isdecimal() and int(usec) else None

    def say(self, *lines: str) -> None:
        """Send state assignments such as READY=1. A manager that is away changes nothing for us."""
        if not self._path:
            return
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(address)
            sender.sendall("\n".join(lines).encode())

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""
        self.say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def ready(self) -> None:
        self.say("READY=1")

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """READY now, and a beat of the watchdog as long as the event loop turns; STOPPING at the end."""
        self.ready()
        beating = asyncio.create_task(self._beat(self.beat_s), name="watchdog") if self.beat_s is not None else None
        try:
            yield
        finally:
            if beating is not None:
                beating.cancel()
                await asyncio.wait([beating])
            self.say("STOPPING=1")

    async def _beat(self, every_s: float) -> None:
        while True:
            self.say("WATCHDOG=1")
            await asyncio.sleep(every_s)
