"""What another process has used of the machine's cores."""

import time

#: Of a process's CPU clock: its scheduler time, all threads, those that have ended too (Linux, `clock_getcpuclockid`).
_SCHEDULED = 2


def cpu_s(pid: int) -> float:
    """Its user and system time so far, to the nanosecond; 0 when there is no such process."""
    try:
        return time.clock_gettime(~pid << 3 | _SCHEDULED)
    except OSError:
        return 0.0
