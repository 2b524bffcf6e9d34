"""Datagrams over an emulated link at given times, and when each came: the sending and the receiving process
(`python -m fishladder.loadtest.emulation.datagrams send|receive`), and `exchange`, which runs both.
"""

import select
import socket
import struct
import subprocess
import sys
import time
from array import array
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fishladder.loadtest.emulation.hurry import hurry
from fishladder.loadtest.emulation.namespaces import Namespace
from fishladder.loadtest.emulation.network import CORE_ADDRESS, SITE_ADDRESS, Network
from fishladder.loadtest.emulation.packets import ETHERNET_BYTES, Receiver
from fishladder.loadtest.errors import CannotEmulate
from fishladder.loadtest.links.timeline import Way

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

HEADER_BYTES = 28  #: IPv4 and UDP
MIN_IP_BYTES = HEADER_BYTES + 4
MAX_IP_BYTES = 1500
_PORT = 9
_HEAD = struct.Struct("<qq")  # start, datagrams
_INDEX = struct.Struct("!I")
_LEAD_S = 0.15


@dataclass(frozen=True)
class Exchange:
    """Per datagram, in the order sent: ms after the link's start when it was sent and came (nan = never)."""

    sent_ms: Floats
    arrived_ms: Floats
    late_ms: Floats  #: sent after it was due


def exchange(
    network: Network, way: Way, at_us: Ints, ip_bytes: Ints, *, settle_s: float, still: bool = False
) -> Exchange:
    """Begin the link anew (see `Network.begin`) and send datagrams of `ip_bytes` (32..1500) at `at_us` after its start;
    wait `settle_s` after the last for those still on the way. Raises `CannotEmulate`.
    """
    near, far = (network.site, network.core) if way == "up" else (network.core, network.site)
    address = CORE_ADDRESS if way == "up" else SITE_ADDRESS
    with (
        _started(far, "receive", "c0" if way == "up" else "s0", address) as receiver,
        _started(near, "send", address) as sender,
    ):
        start_ns = network.begin(lead_s=_LEAD_S, still=still)
        head = _HEAD.pack(start_ns, len(at_us))
        plan = head + at_us.astype("<i8").tobytes() + ip_bytes.astype("<i8").tobytes()
        span_s = float(at_us[-1]) / 1e6 if len(at_us) else 0.0
        sent, _ = sender.communicate(plan, timeout=span_s + 60)
        if sender.returncode or len(sent) != len(at_us) * 16:
            raise CannotEmulate("the sender of datagrams failed; its message is above")
        time.sleep(settle_s)
        arrived, _ = receiver.communicate(b"", timeout=30)
        if receiver.returncode:
            raise CannotEmulate("the receiver of datagrams failed; its message is above")
    times = np.frombuffer(sent, "<i8").reshape(2, -1)
    came = np.full(len(at_us), np.nan)
    pairs = np.frombuffer(arrived, "<i8").reshape(-1, 2)
    came[pairs[:, 0]] = (pairs[:, 1] - start_ns) / 1e6
    return Exchange((times[0] - start_ns) / 1e6, came, times[1] / 1e6)


def _started(where: Namespace, *arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603
        where.command(sys.executable, "-m", "fishladder.loadtest.emulation.datagrams", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        process.kill()
        process.wait()
        raise CannotEmulate("a process for datagrams did not start; its message is above")
    return process


def _send(address: str) -> None:
    hurry()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect((address, _PORT))
        _ready()
        start_ns, count = _HEAD.unpack(sys.stdin.buffer.read(_HEAD.size))
        at_us = np.frombuffer(sys.stdin.buffer.read(count * 8), "<i8").tolist()
        sizes = np.frombuffer(sys.stdin.buffer.read(count * 8), "<i8").tolist()
        body = bytes(MAX_IP_BYTES)
        sent, late = array("q", bytes(8 * count)), array("q", bytes(8 * count))
        monotonic_ns, sleep, send, pack = time.monotonic_ns, time.sleep, out.send, _INDEX.pack
        for index, (due_us, size) in enumerate(zip(at_us, sizes, strict=True)):
            due_ns = start_ns + due_us * 1000
            now_ns = monotonic_ns()
            while now_ns < due_ns:
                sleep((due_ns - now_ns) / 1e9)
                now_ns = monotonic_ns()
            send(pack(index) + body[: size - MIN_IP_BYTES])
            sent[index], late[index] = now_ns, now_ns - due_ns
        sys.stdout.buffer.write(sent.tobytes() + late.tobytes())


def _receive(interface: str, address: str) -> None:
    """Until the input ends. Frames are read from the interface's ring; the socket only keeps the port from answering
    that it is closed.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.bind((address, _PORT))
        receiver = Receiver(interface)
        _ready()
        came = array("q")
        index_at = ETHERNET_BYTES + HEADER_BYTES
        while True:
            for at_ns, frame in receiver.frames():
                if frame[23] == socket.IPPROTO_UDP and len(frame) >= index_at + 4:
                    came.append(_INDEX.unpack_from(frame, index_at)[0])
                    came.append(at_ns)
            readable, _, _ = select.select([receiver.fileno(), sys.stdin.fileno()], [], [])
            if sys.stdin.fileno() in readable:
                break
        if lost := receiver.overrun():
            raise CannotEmulate(f"the receiver of datagrams could not keep up and lost {lost}")
        with suppress(BrokenPipeError):  # whoever wanted to know has been ended
            sys.stdout.buffer.write(came.tobytes())
            sys.stdout.buffer.flush()


def _ready() -> None:
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    if sys.argv[1] == "send":
        _send(sys.argv[2])
    else:
        _receive(sys.argv[2], sys.argv[3])
