"""The host: its clock, and what its kernel offers for emulating links. Probes happen in a network namespace of their
own, which is gone with the process that asked for it.
"""

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from fishladder.operate.doctor_line import Line

_SANE_YEARS = range(2025, 2100)
_PROBE_S = 30.0
_STA_UNSYNC = 0x40  # linux/timex.h

_QDISCS = {
    "tbf": "tbf rate 1mbit burst 10k latency 50ms",
    "htb": "htb default 1",
    "netem": "netem delay 1ms",
    "fq_codel": "fq_codel",
    "cake": "cake bandwidth 1mbit",
}
_SCRIPT = "\n".join(
    [
        "echo netns",
        "ip link add name probe0 type veth peer name probe1 && ip link set probe0 up && echo veth || exit 0",
        *(
            f"tc qdisc add dev probe0 root {options} && tc qdisc del dev probe0 root && echo {name}"
            for name, options in _QDISCS.items()
        ),
        '"$1" -c "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)" && echo af_packet',
        "exit 0",
    ]
)


def check_clock() -> list[Line]:
    """Whether the clock can be right, and whether somebody keeps it so."""
    return [judge_clock(time.time(), _synchronised())]


def judge_clock(now: float, synchronised: bool | None) -> Line:
    """`now` in Unix seconds; `synchronised` None = the system does not tell. Pure."""
    date = datetime.fromtimestamp(now, UTC)
    text = date.strftime("%Y-%m-%d %H:%M UTC")
    if date.year not in _SANE_YEARS:
        return Line("clock", "warn", f"{text} cannot be: tokens and certificates will seem expired, set the clock")
    if synchronised is None:
        return Line("clock", "ok", f"{text}; whether it is synchronised cannot be told here")
    if not synchronised:
        return Line("clock", "warn", f"{text}, not synchronised: run an NTP client, such as chrony")
    return Line("clock", "ok", f"{text}, synchronised")


def check_link_emulation() -> list[Line]:
    """What the load tester finds for shaping links with this kernel."""
    if sys.platform != "linux":
        return [Line("link emulation", "warn", "needs Linux; links can be modelled here, not emulated")]
    tools = [tool for tool in ("unshare", "ip", "tc") if shutil.which(tool) is None]
    if tools:
        return [Line("link emulation", "warn", f"without {', '.join(tools)}: install util-linux and iproute2"), *_bbr()]
    return [*judge_kernel(_probe_namespace()), *_bbr()]


def judge_kernel(found: Collection[str]) -> list[Line]:
    """What the probe's answers mean. Pure."""
    if "netns" not in found:
        return [Line("link emulation", "warn", "no network namespaces: the kernel or the container forbids them")]
    if "veth" not in found:
        return [Line("link emulation", "warn", "network namespaces, but no veth pairs in them")]
    present = [name for name in (*_QDISCS, "af_packet") if name in found]
    absent = [name for name in (*_QDISCS, "af_packet") if name not in found]
    text = f"network namespaces with {', '.join(present) or 'nothing to shape with'}"
    rate = "tbf" in found or "htb" in found
    if absent:
        text += f"; not {', '.join(absent)}"
    if not rate:
        text += ": rates cannot be limited"
    return [Line("link emulation", "ok" if rate else "warn", text)]


def _probe_namespace() -> set[str]:
    """The features that work in a fresh namespace: as ourselves if the kernel lets us, else as root."""
    for unshare in (["unshare", "-Urn"], ["unshare", "-n"]):
        command = [*unshare, "sh", "-c", _SCRIPT, "sh", sys.executable]
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_S)  # noqa: S603
            if done.returncode == 0:
                return set(done.stdout.split())
    return set()


def _bbr() -> list[Line]:
    """Whether a socket may use BBR, which keeps queues on a thin uplink short."""
    default = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    name = default.read_text().strip() if default.exists() else "unknown"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"bbr")
        except OSError as error:
            why = os.strerror(error.errno or 0)
            return [Line("congestion control", "warn", f"default {name}; bbr not to be had ({why}): modprobe tcp_bbr")]
    return [Line("congestion control", "ok", f"bbr can be chosen; default {name}")]


class _Timex(ctypes.Structure):
    """The beginning of the kernel's `struct timex`, and room for the rest of it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def _synchronised() -> bool | None:
    """What the kernel has been told by whoever keeps the clock; None where it does not say."""
    if sys.platform != "linux":
        return None
    timex = _Timex()  # modes 0: only read
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else not timex.status & _STA_UNSYNC
