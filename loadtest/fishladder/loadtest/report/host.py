"""What the numbers of a report depend on besides the link: the machine, its kernel and its TCP."""

import os
import platform
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

_CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")


class Host(msgspec.Struct, frozen=True):
    cpu: str
    cores: int
    kernel: str
    python: str
    numpy: str
    congestion_control: str  #: the system's own; empty where the system does not say


def congestion_control() -> str:
    with suppress(OSError):
        return _CONGESTION.read_text().strip()
    return ""


def this_host() -> Host:
    cpu = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Host(
        cpu=cpu,
        cores=cores,
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        numpy=np.__version__,
        congestion_control=congestion_control(),
    )
