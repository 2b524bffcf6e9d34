"""What a connection has carried as its provider counts it: IP bytes, from the kernel's own counters where it has them,
else worked out from what was sent. Pure.
"""

from dataclasses import dataclass

#: IPv4 and TCP with time stamps; with IPv6 20 more.
HEADER_BYTES = 52
#: IPv4 and UDP.
UDP_HEADER_BYTES = 28
_SEGMENT_BYTES = 1400
#: A WebSocket's header with its mask, and a TLS record's.
_FRAMING_BYTES = 8 + 22


@dataclass(frozen=True, slots=True)
class Carried:
    """In each direction, since the connection began."""

    up_bytes: int = 0
    down_bytes: int = 0

    def __add__(self, other: "Carried") -> "Carried":
        return Carried(self.up_bytes + other.up_bytes, self.down_bytes + other.down_bytes)

    def since(self, before: "Carried") -> "Carried":
        return Carried(self.up_bytes - before.up_bytes, self.down_bytes - before.down_bytes)


def on_the_wire(message_bytes: int) -> int:
    """IP bytes of a message over TLS and TCP, if nothing is sent twice."""
    size = message_bytes + _FRAMING_BYTES
    return size + -(-size // _SEGMENT_BYTES) * HEADER_BYTES
