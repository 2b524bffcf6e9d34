"""JPEG (ITU-T T.81, annex B): every image stands alone."""

from fishladder.wire.bitstream.access import Access
from fishladder.wire.errors import WireError

_START = b"\xff\xd8\xff"
_MAX_SEGMENTS = 64
#: SOF0 to SOF15 without DHT, JPG and DAC.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def inspect(data: bytes) -> Access:
    """Look at an image. Raises `WireError`."""
    if not data.startswith(_START):
        raise WireError(f"an image of {len(data)} bytes does not begin as JPEG does")
    return Access(idr=True, complete=True, reference=False)


def dimensions(data: bytes) -> tuple[int, int] | None:
    """Width and height, in pixels; None if no frame header is among the first 64 segments."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        if at + 9 > len(data) or data[at] != 0xFF:
            return None
        if data[at + 1] in _FRAME_HEADERS:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
