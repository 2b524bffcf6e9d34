"""What is kept of a unit or a range outside this process, as bytes, and back. The same in the ring's journal and in the
spool's database; the seqs are kept beside it. Both ends are of one version: another one's is refused.
"""

import struct

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.held import Held, HeldRange, HeldUnit
from fishladder.wire.errors import WireError
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec, Flag

VERSION = 1
_UNIT, _RANGE = 0, 1
_HEAD = struct.Struct(">BB")
_RANGE_BODY = struct.Struct(">Bqq")
_UNIT_BODY = struct.Struct(">BBHHIIqqq")


def pack(held: Held) -> bytes:
    if isinstance(held, HeldRange):
        return _HEAD.pack(VERSION, _RANGE) + _RANGE_BODY.pack(held.fate, held.mono_us, held.wall_us)
    unit = held.unit
    body = _UNIT_BODY.pack(
        unit.codec,
        unit.flags,
        unit.width,
        unit.height,
        min(max(unit.duration_us, 0), 0xFFFFFFFF),
        min(max(held.ready_us, 0), 0xFFFFFFFF),
        unit.pts_us,
        unit.mono_us,
        held.wall_us,
    )
    return b"".join((_HEAD.pack(VERSION, _UNIT), body, unit.payload))


def unpack(first: int, last: int, data: bytes) -> Held:
    """Raises `WireError` for what `pack` cannot have written."""
    try:
        version, kind = _HEAD.unpack_from(data)
        if version != VERSION:
            raise WireError(f"a record of version {version} is not known here (only {VERSION})")
        if kind == _RANGE:
            fate, mono_us, wall_us = _RANGE_BODY.unpack_from(data, _HEAD.size)
            return HeldRange(first, last, Fate(fate), mono_us, wall_us)
        codec, flags, width, height, duration, ready, pts, mono_us, wall_us = _UNIT_BODY.unpack_from(data, _HEAD.size)
        payload = data[_HEAD.size + _UNIT_BODY.size :]
        unit = CapturedUnit(Codec(codec), Flag(flags), width, height, duration, pts, mono_us, payload)
    except (struct.error, ValueError) as error:
        raise WireError(f"a record of {len(data)} bytes cannot be read: {error}") from None
    return HeldUnit(first, unit, wall_us, ready)
