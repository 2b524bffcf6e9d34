"""A power cut for a server with an append-only file: SIGKILL, and what it had written and not yet synced is gone. A
kill alone would lose nothing, since what was written stays in the kernel's memory.
"""

import os
import signal
import time
from pathlib import Path

#: fsync and fdatasync by their numbers on x86-64 and ARM.
_SYNCING = {"x86_64": {"74", "75"}, "aarch64": {"82", "83"}}.get(os.uname().machine, set())


def cut_power(pid: int, aof_dir: Path, within_s: float = 0.5) -> int:
    """Kill a server, in the middle of a sync if one comes in time; how many bytes that were not synced are gone.

    With `appendfsync always` a server syncs before it answers, so nothing that was answered is among them.
    """
    synced: tuple[Path, int] | None = None
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        file = max(aof_dir.glob("*.incr.aof"), key=lambda path: path.stat().st_mtime_ns, default=None)
        if file is None or not (doing := _syscall(pid)):
            break
        size = file.stat().st_size
        if doing not in _SYNCING:
            if _syscall(pid) not in _SYNCING:
                synced = file, size
            continue
        if synced is not None and synced[0] == file and size > synced[1]:
            os.kill(pid, signal.SIGKILL)
            lost = file.stat().st_size - synced[1]
            os.truncate(file, synced[1])
            return lost
    os.kill(pid, signal.SIGKILL)
    return 0


def _syscall(pid: int) -> str:
    """The number of the system call a process is in, or `running`; '' if that cannot be seen."""
    try:
        return Path(f"/proc/{pid}/syscall").read_text().split(" ", 1)[0].strip()
    except OSError:
        return ""
