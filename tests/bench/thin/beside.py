"""Others on the link: somebody on the phone, and TCP connections, long or short.

python -m thin.beside voice-send ADDRESS PORT | voice-receive ADDRESS PORT WRITTEN
                      tcp-send ADDRESS PORT long|short SEED | tcp-receive ADDRESS PORT WRITTEN
"""

import itertools
import random
import socket
import struct
import sys
import threading
import time
from pathlib import Path

from thin.link_figures import CLOSED, OPENED, Swallowed

_PACKET = struct.Struct("<q")
_VOICE_BYTES = 172  # 20 ms of G.711 and its RTP header
_VOICE_S = 0.02
_SWALLOWED = struct.Struct("<dqq")
#: Most of what is uploaded anywhere is by this, whatever this machine's own default is.
_LAW = b"cubic"


def voice_send(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        next_s = time.monotonic()
        while True:
            time.sleep(max(next_s - time.monotonic(), 0.0))
            next_s += _VOICE_S
            out.sendto(_PACKET.pack(time.monotonic_ns()).ljust(_VOICE_BYTES, b"\0"), (address, port))


def voice_receive(address: str, port: int, written: Path) -> None:
    """Write down (sent, delay) in ns of each packet: one clock for all namespaces."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as into, written.open("wb", buffering=0) as log:
        into.bind((address, port))
        print("ready", flush=True)
        while True:
            (sent_ns,) = _PACKET.unpack_from(into.recv(2048))
            log.write(struct.pack("<qq", sent_ns, time.monotonic_ns() - sent_ns))


def read_voice(path: Path) -> list[tuple[float, float]]:
    """(sent, CLOCK_MONOTONIC seconds; delay in ms)."""
    data = path.read_bytes()
    whole = len(data) // 16 * 16
    return [(sent / 1e9, delay / 1e6) for sent, delay in struct.iter_unpack("<qq", data[:whole])]


def tcp_send(address: str, port: int, kind: str, seed: int) -> None:
    """`short`: ten at a time, 100 KB to 1 MB each, 10 s of quiet on average between two (RFC 8867, 5.7)."""

    def connected() -> socket.socket:
        out = socket.create_connection((address, port))
        out.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _LAW)
        return out

    def long() -> None:
        with connected() as out:
            while True:
                out.sendall(bytes(16384))

    def short(rng: random.Random) -> None:
        while True:
            time.sleep(rng.expovariate(0.1))
            with connected() as out:
                out.sendall(bytes(rng.randint(100_000, 1_000_000)))

    if kind == "long":
        long()
    flows = [threading.Thread(target=short, args=(random.Random(seed * 100 + n),)) for n in range(10)]
    for flow in flows:
        flow.start()


def tcp_receive(address: str, port: int, written: Path) -> None:
    """Write down what each connection brings, and when."""

    def swallow(connection: socket.socket, flow: int) -> None:
        with connection:
            log.write(_SWALLOWED.pack(time.time(), flow, OPENED))
            while piece := connection.recv(65536):
                log.write(_SWALLOWED.pack(time.time(), flow, len(piece)))
            log.write(_SWALLOWED.pack(time.time(), flow, CLOSED))

    with socket.create_server((address, port)) as server, written.open("wb", buffering=0) as log:
        print("ready", flush=True)
        for flow in itertools.count():
            threading.Thread(target=swallow, args=(server.accept()[0], flow), daemon=True).start()


def read_tcp(path: Path) -> list[Swallowed]:
    data = path.read_bytes()
    whole = len(data) // _SWALLOWED.size * _SWALLOWED.size
    return [Swallowed(*it) for it in _SWALLOWED.iter_unpack(data[:whole])]


if __name__ == "__main__":
    role, address, port, *rest = sys.argv[1:]
    match role:
        case "voice-send":
            voice_send(address, int(port))
        case "voice-receive":
            voice_receive(address, int(port), Path(rest[0]))
        case "tcp-send":
            tcp_send(address, int(port), rest[0], int(rest[1]))
        case "tcp-receive":
            tcp_receive(address, int(port), Path(rest[0]))
