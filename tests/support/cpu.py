"""What another process has used of the machine's cores."""

import os
from pathlib import Path


def cpu_s(pid: int) -> float:
    """Its user and system time so far; 0 when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
