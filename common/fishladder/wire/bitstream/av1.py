"""AV1 (AV1 bitstream specification, 5.3 to 5.9): what the OBU and frame headers of a temporal unit say of it, and the
picture size from its sequence header.
"""

from collections.abc import Iterator

from fishladder.wire.bitstream.access import Access
from fishladder.wire.bitstream.bits import Bits
from fishladder.wire.errors import WireError

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6
_KEY_FRAME = 0
_MAX_OBUS = 512
_HEAD_BYTES = 128


def inspect(data: bytes) -> Access:
    """Look at a temporal unit in the low-overhead format. It is clean if it has a sequence header and its first frame
    is a keyframe that is shown. Raises `WireError`.
    """
    sequence = reduced = shown = False
    key: bool | None = None
    for kind, head in _obus(data):
        if kind == _SEQUENCE_HEADER:
            sequence, reduced = True, bool(Bits(head).u(5) & 1)
        elif kind in (_FRAME_HEADER, _FRAME):
            frame_key, frame_shown = _frame_head(head, reduced)
            key = frame_key and frame_shown if key is None else key
            shown = shown or frame_shown
    return Access(idr=bool(key), complete=sequence, reference=key is not None, picture=shown)


def _obus(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and first bytes of each OBU."""
    at = 0
    for _ in range(_MAX_OBUS):
        header, start = data[at], at + (2 if data[at] & 4 else 1)
        if header & 0x81:
            raise WireError(f"byte {at} of a temporal unit of {len(data)} is not an OBU header")
        size = len(data) - start
        if header & 2:
            size, start = _leb128(data, start)
        if start + size > len(data) or size < 0:
            raise WireError(f"an OBU at {at} reaches over the end of its temporal unit ({len(data)} bytes)")
        yield header >> 3 & 15, data[start : start + min(size, _HEAD_BYTES)]
        at = start + size
        if at == len(data):
            return
    raise WireError(f"a temporal unit of {len(data)} bytes has over {_MAX_OBUS} OBUs")


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = 0
    for shift, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << 7 * shift
        if not byte & 0x80:
            return value, at + shift + 1
    raise WireError(f"a size at byte {at} of a temporal unit does not end")


def _frame_head(head: bytes, reduced: bool) -> tuple[bool, bool]:
    """Whether a frame is a keyframe, and whether it is shown."""
    if reduced:
        return True, True
    bits = Bits(head)
    if bits.flag():
        return False, True
    return bits.u(2) == _KEY_FRAME, bits.flag()


def dimensions(data: bytes) -> tuple[int, int] | None:
    """Width and height from the temporal unit's sequence header, in pixels; None if it has none. Raises `WireError`."""
    for kind, head in _obus(data):
        if kind == _SEQUENCE_HEADER:
            return _sequence_dimensions(Bits(head))
    return None


def _sequence_dimensions(bits: Bits) -> tuple[int, int]:
    bits.u(3 + 1)
    if bits.flag():
        bits.u(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.u(4) + 1, bits.u(4) + 1
    return bits.u(width_bits) + 1, bits.u(height_bits) + 1


def _skip_operating_points(bits: Bits) -> None:
    delay_bits = 0
    if bits.flag():
        bits.u(64)
        if bits.flag():
            bits.ue()
        if bits.flag():
            delay_bits = bits.u(5) + 1
            bits.u(32 + 5 + 5)
    delays_shown = bits.flag()
    for _ in range(bits.u(5) + 1):
        bits.u(12)
        if bits.u(5) > 7:
            bits.flag()
        if delay_bits and bits.flag():
            bits.u(2 * delay_bits + 1)
        if delays_shown and bits.flag():
            bits.u(4)
