"""RTP and RTCP as a sender makes and reads them, for tests of the receiver: packets of VP8 units whose payload is plain
bytes, and readers of NACK, PLI and transport-wide feedback.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

INTERVAL = 3600  # 25 pictures a second
VP8, RTX = 96, 97
SSRC, RTX_SSRC = 7, 8


def rtp(
    seq: int,
    timestamp: int,
    payload: bytes,
    *,
    marker: bool = False,
    kind: int = VP8,
    ssrc: int = SSRC,
    extensions: dict[int, bytes] | None = None,
) -> bytes:
    head = 0x80 | (0x10 if extensions else 0)
    packed = struct.pack(">BBHII", head, marker << 7 | kind, seq & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    if extensions:
        body = b"".join(bytes((number << 4 | len(value) - 1,)) + value for number, value in extensions.items())
        body += bytes(-len(body) % 4)
        packed += struct.pack(">HH", 0xBEDE, len(body) // 4) + body
    return packed + payload


def frames(
    given: Sequence[Sequence[bytes]],
    *,
    seq: int = 65_500,
    timestamp: int = 2**32 - 9000,
    markers: str = "last",
    ssrc: int = SSRC,
) -> list[bytes]:
    """Packets of units that consist of these parts."""
    made = []
    for number, parts in enumerate(given):
        for index, part in enumerate(parts):
            marker = markers == "all" or (markers == "last" and index == len(parts) - 1)
            made.append(rtp(seq, timestamp + number * INTERVAL, b"\x10" + part, marker=marker, ssrc=ssrc))
            seq += 1
    return made


def repeated(packet: bytes, seq: int) -> bytes:
    """A packet in a stream of retransmissions (RFC 4588)."""
    first, second, old, timestamp, _ = struct.unpack_from(">BBHII", packet)
    head = struct.pack(">BBHII", first, second & 0x80 | RTX, seq & 0xFFFF, timestamp, RTX_SSRC)
    return head + struct.pack(">H", old) + packet[12:]


def seq_of(packet: bytes) -> int:
    return int.from_bytes(packet[2:4], "big")


@dataclass(frozen=True)
class Said:
    """One RTCP packet: its kind, its format or count, and its body."""

    kind: int
    form: int
    body: bytes


def rtcp(messages: Sequence[bytes]) -> list[Said]:
    """Take compound packets apart."""
    found = []
    for message in messages:
        while message:
            first, kind, words = struct.unpack_from(">BBH", message)
            assert first >> 6 == 2
            found.append(Said(kind, first & 31, message[4 : 4 + 4 * words]))
            message = message[4 + 4 * words :]
    return found


def nacked(messages: Sequence[bytes]) -> list[int]:
    """Sequence numbers asked for, in order."""
    asked = []
    for one in rtcp(messages):
        if (one.kind, one.form) == (205, 1):
            for at in range(8, len(one.body), 4):
                first, mask = struct.unpack_from(">HH", one.body, at)
                asked += [first, *((first + bit + 1) & 0xFFFF for bit in range(16) if mask >> bit & 1)]
    return asked


def plis(messages: Sequence[bytes]) -> int:
    return sum((one.kind, one.form) == (206, 1) for one in rtcp(messages))


def arrivals(messages: Sequence[bytes]) -> dict[int, float | None]:
    """What transport-wide feedback says: number -> seconds, or None for what did not come. Later messages win."""
    came: dict[int, float | None] = {}
    for one in rtcp(messages):
        if (one.kind, one.form) != (205, 15):
            continue
        first, count, reference = struct.unpack_from(">HHI", one.body, 8)
        symbols: list[int] = []
        at = 16
        while len(symbols) < count:
            (chunk,) = struct.unpack_from(">H", one.body, at)
            at += 2
            if not chunk >> 15:
                symbols += [chunk >> 13 & 3] * (chunk & 0x1FFF)
            elif chunk >> 14 == 2:
                symbols += [chunk >> bit & 1 for bit in range(13, -1, -1)]
            else:
                symbols += [chunk >> bit & 3 for bit in range(12, -1, -2)]
        ticks = (reference >> 8) * 256
        for index, symbol in enumerate(symbols[:count]):
            number = first + index & 0xFFFF
            if symbol == 1:
                ticks += one.body[at]
                at += 1
            elif symbol == 2:
                ticks += struct.unpack_from(">h", one.body, at)[0]
                at += 2
            else:
                assert symbol == 0
                if came.get(number) is None:
                    came[number] = None
                continue
            came[number] = ticks / 4000
        assert len(one.body) - at < 4
    return came
