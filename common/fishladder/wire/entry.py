"""One entry of a camera's frame log: a packed unit behind the gateway's stamp (field `u`), or a packed range
(field `r`), or the start of an epoch (field `e`: where the epoch before it ended). The entry's id is the last
position it covers, seq 0 for the start of an epoch, so ids ascend and the log has no gaps.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fishladder.wire.errors import WireError
from fishladder.wire.ids import Position
from fishladder.wire.unit import UNIT_HEADER_BYTES, Header, Range

UNIT_FIELD = b"u"
RANGE_FIELD = b"r"
EPOCH_FIELD = b"e"
_POSITION = struct.Struct(">QQ")
_STAMP = struct.Struct(">qqq")
STAMP_BYTES = _STAMP.size


@dataclass(frozen=True, slots=True)
class Stamp:
    """Unix microseconds on the gateway's clock: when the frame was captured (by the agent's probes, or by arrival
    when that is unknown or impossible), when its last byte came in, when it was written towards the log.
    """

    captured_us: int
    received_us: int
    written_us: int

    def pack(self) -> bytes:
        return _STAMP.pack(self.captured_us, self.received_us, self.written_us)


@dataclass(frozen=True, slots=True)
class LoggedUnit:
    """A unit as read from the log. `data` is the payload."""

    header: Header
    stamp: Stamp
    data: memoryview

    @property
    def position(self) -> Position:
        return Position(self.header.epoch, self.header.seq)


@dataclass(frozen=True, slots=True)
class EpochStart:
    """An epoch begins; the log before it ended at `after`."""

    epoch: int
    after: Position

    @property
    def position(self) -> Position:
        return Position(self.epoch, 0)


LogEntry = LoggedUnit | Range | EpochStart


def read_entry(entry_id: bytes, fields: Sequence[bytes] | Mapping[bytes, bytes]) -> LogEntry:
    """Read an entry's id and fields as the store gives them (flat list or mapping). Raises `WireError`."""
    flat = [part for pair in fields.items() for part in pair] if isinstance(fields, Mapping) else fields
    if len(flat) != 2:
        raise WireError(f"a log entry has one field, not {len(flat) // 2}")
    field, value = flat
    if field == RANGE_FIELD:
        return Range.unpack(value)
    if field == EPOCH_FIELD and len(value) == _POSITION.size:
        return EpochStart(Position.parse(entry_id).epoch, Position(*_POSITION.unpack(value)))
    if field != UNIT_FIELD or len(value) < STAMP_BYTES:
        raise WireError(f"a log entry with field {field[:16]!r} is not known here")
    view = memoryview(value)
    header = Header.peek(view[STAMP_BYTES:])
    return LoggedUnit(header, Stamp(*_STAMP.unpack_from(value)), view[STAMP_BYTES + UNIT_HEADER_BYTES :])
