"""Whole frames in and out of an interface by AF_PACKET: receiving through a ring shared with the kernel, so that a
burst is not lost to a small socket buffer and each frame has the time it came, however late it is read.
"""

import mmap
import socket
import struct
import time
from collections.abc import Iterator

ETHERNET_BYTES = 14
_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION, _PACKET_QDISC_BYPASS, _PACKET_IGNORE_OUTGOING = 5, 6, 10, 20, 23
_TPACKET_V2 = 1
_FRAME_BYTES = 2048
_BLOCK_BYTES = 1 << 16
_BLOCKS = 256
_SLOTS = _BLOCKS * _BLOCK_BYTES // _FRAME_BYTES
_WORDS = _FRAME_BYTES // 4
_HEADER = struct.Struct("=IIIHHII")  # tpacket2_hdr: status, len, snaplen, mac, net, sec, nsec
_USER, _KERNEL = 1, 0
_CLOSE_NS = 2_000


class Receiver:
    """Frames that come in at an interface (not those sent out there)."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        request = struct.pack("IIII", _BLOCK_BYTES, _BLOCKS, _FRAME_BYTES, _SLOTS)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
        self._ring = mmap.mmap(self._socket.fileno(), _BLOCKS * _BLOCK_BYTES)
        self._words = memoryview(self._ring).cast("I")
        self._slot = 0
        self._socket.bind((interface, _ETH_P_ALL))

    def fileno(self) -> int:
        return self._socket.fileno()

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """What has come: (CLOCK_MONOTONIC ns of arrival, frame)."""
        words, ring, slot = self._words, self._ring, self._slot
        unpack = _HEADER.unpack_from
        if not words[slot * _WORDS] & _USER:
            return
        wall_ns = _wall_less_monotonic_ns()
        while words[slot * _WORDS] & _USER:
            at = slot * _FRAME_BYTES
            _, _, length, mac, _, sec, nsec = unpack(ring, at)
            frame = ring[at + mac : at + mac + length]
            words[slot * _WORDS] = _KERNEL
            slot = self._slot = (slot + 1) % _SLOTS
            yield sec * 1_000_000_000 + nsec - wall_ns, frame

    def overrun(self) -> int:
        """Frames lost because the ring was full, since the last call."""
        _, lost = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return int(lost)


def _wall_less_monotonic_ns() -> int:
    """The ring stamps wall time. Both clocks are read as closely together as a busy machine lets us."""
    best = (1 << 62, 0)
    for _ in range(8):
        before_ns, wall_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        best = min(best, (after_ns - before_ns, wall_ns - (before_ns + after_ns) // 2))
        if best[0] < _CLOSE_NS:
            break
    return best[1]


class Sender:
    """Sends frames out of an interface."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        self._socket.bind((interface, 0))
        self.send = self._socket.send
