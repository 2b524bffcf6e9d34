"""What this process holds of the machine: memory, threads, files and asyncio tasks, to see that what has ended leaves
nothing behind.
"""

import asyncio
import gc
import os
import threading
import time
from pathlib import Path

#: A growth of more is a leak. The stores' pools may have a connection more, or fewer.
ALLOWED = {"memory KB": 8192, "threads": 0, "files": 4, "tasks": 0}
#: What goes on behind an answer has so long to end.
_SETTLE_S = 20.0


def footprint() -> dict[str, int]:
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "memory KB": int(status["VmRSS"].split()[0]),
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "tasks": len(asyncio.all_tasks()),
    }


def leaks(before: dict[str, int], after: dict[str, int]) -> list[str]:
    return [what for what, allowed in ALLOWED.items() if after[what] - before[what] > allowed]


async def settled(before: dict[str, int]) -> dict[str, int]:
    """What is left once nothing more goes away, at the latest after some seconds."""
    until = time.monotonic() + _SETTLE_S
    while True:
        await asyncio.sleep(1)
        after = footprint()
        if time.monotonic() > until or not leaks(before, after):
            return after
