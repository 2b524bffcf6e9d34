"""A unit: one encoded access unit with what is needed to place, order and decode it; and a range: sequence
numbers the agent declares instead of sending them. Both have one binary form, on the link and in the log.

All integers big-endian. A unit is a 56-byte header and the payload:

    offset size
     0      1   version (1)
     1      1   codec
     2      1   flags
     3      1   clock: where `wall_us` comes from
     4      4   duration_us    time since the picture before it, as far as known; 0 = unknown
     8      4   ready_us       from capture to ready for the uplink
    12      2+2 width, height  in pixels; 0 = unknown
    16      8   epoch
    24      8   seq
    32      8   pts_us         signed, the camera's own timeline
    40      8   wall_us        signed, the sender's wall clock at capture, Unix microseconds; may be years off
    48      8   offset_us      signed, add to `wall_us` for the gateway's clock; means nothing without SYNCED

A range is 44 bytes: version, fate, 2 reserved, epoch, first, last, wall_us, offset_us.
"""

import struct
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from typing import Self

from fishladder.wire.errors import TooLarge, WireError
from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import MAX_SEQ, Position

VERSION = 1
_UNIT = struct.Struct(">BBBBIIHHQQqqq")
_RANGE = struct.Struct(">BBHQQQqq")
UNIT_HEADER_BYTES = _UNIT.size
RANGE_BYTES = _RANGE.size

#: The largest unit (header and payload) anyone has to accept. A gateway may announce a lower limit.
MAX_UNIT_BYTES = 8 * 1024 * 1024


class Codec(IntEnum):
    H264 = 1  #: Annex B
    H265 = 2  #: Annex B
    VP8 = 3
    VP9 = 4
    AV1 = 5  #: temporal unit, low-overhead OBUs
    JPEG = 6

    @property
    def label(self) -> str:
        return self.name.lower()


class Flag(IntFlag):
    CLEAN = 1  #: a decoder may start here and miss nothing that follows
    CONTEXT = 2  #: sent only to be decoded; never counted
    SAMPLED = 4  #: the sender has already thinned to the wanted fps: analyse it
    SYNCED = 8  #: `offset_us` holds
    RECOVERY = 16  #: a decoder may start here, and is exact again some pictures later
    RESTAMPED = 32  #: the gateway replaced an impossible capture time


NO_FLAGS = Flag(0)


class Clock(IntEnum):
    AGENT = 0  #: the agent's clock when the picture arrived
    CAMERA = 1  #: the camera's clock, by RTCP sender reports
    GATEWAY = 2  #: the gateway's clock when the unit arrived (WHIP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One access unit. `payload` is what the codec calls it, see `Codec`."""

    epoch: int
    seq: int
    codec: Codec
    payload: bytes
    flags: Flag = NO_FLAGS
    clock: Clock = Clock.AGENT
    pts_us: int = 0
    wall_us: int = 0
    offset_us: int = 0
    duration_us: int = 0
    ready_us: int = 0
    width: int = 0
    height: int = 0

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq)

    @property
    def clean(self) -> bool:
        return bool(self.flags & Flag.CLEAN)

    def pack(self) -> bytes:
        return (
            _UNIT.pack(
                VERSION,
                self.codec,
                self.flags,
                self.clock,
                min(max(self.duration_us, 0), 0xFFFFFFFF),
                min(max(self.ready_us, 0), 0xFFFFFFFF),
                self.width,
                self.height,
                self.epoch,
                self.seq,
                self.pts_us,
                self.wall_us,
                self.offset_us,
            )
            + self.payload
        )

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> Self:
        """Read a unit. Raises `WireError` on anything that `pack` cannot have written."""
        head = Header.peek(data)
        return cls(
            epoch=head.epoch,
            seq=head.seq,
            codec=head.codec,
            payload=bytes(data[UNIT_HEADER_BYTES:]),
            flags=head.flags,
            clock=head.clock,
            pts_us=head.pts_us,
            wall_us=head.wall_us,
            offset_us=head.offset_us,
            duration_us=head.duration_us,
            ready_us=head.ready_us,
            width=head.width,
            height=head.height,
        )

    def at(self, position: Position) -> Self:
        """The same unit under another position."""
        return replace(self, epoch=position.epoch, seq=position.seq)


@dataclass(frozen=True, slots=True)
class Header:
    """A unit's header alone: what a gateway looks at, which leaves the payload where it is."""

    codec: Codec
    flags: Flag
    clock: Clock
    duration_us: int
    ready_us: int
    width: int
    height: int
    epoch: int
    seq: int
    pts_us: int
    wall_us: int
    offset_us: int

    @classmethod
    def peek(cls, data: bytes | memoryview) -> Self:
        """Read the header of a packed unit and check it. Raises `WireError`."""
        if len(data) <= UNIT_HEADER_BYTES:
            raise WireError(f"a unit of {len(data)} bytes is truncated: its header alone has {UNIT_HEADER_BYTES}")
        if len(data) > MAX_UNIT_BYTES:
            raise TooLarge(f"a unit of {len(data)} bytes is over the limit of {MAX_UNIT_BYTES}")
        version, codec, flags, clock, duration, ready, width, height, epoch, seq, pts, wall, offset = _UNIT.unpack_from(
            data
        )
        if version != VERSION:
            raise WireError(f"unit version {version} is not known here (only {VERSION})")
        if not (0 < epoch <= MAX_SEQ and 0 < seq <= MAX_SEQ):
            raise WireError(f"a unit's position {epoch}-{seq} is out of range")
        try:
            return cls(
                Codec(codec),
                Flag(flags),
                Clock(clock),
                duration,
                ready,
                width,
                height,
                epoch,
                seq,
                pts,
                wall,
                offset,
            )
        except ValueError as error:
            raise WireError(f"a unit's header is not valid: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Sequence numbers `first..last` of one epoch, declared with a fate instead of being sent."""

    epoch: int
    first: int
    last: int
    fate: Fate
    wall_us: int = 0
    offset_us: int = 0

    @property
    def position(self) -> Position:
        """The last position it covers."""
        return Position(self.epoch, self.last)

    @property
    def run(self) -> Run:
        return Run(self.fate, self.first, self.last)

    def pack(self) -> bytes:
        return _RANGE.pack(VERSION, self.fate, 0, self.epoch, self.first, self.last, self.wall_us, self.offset_us)

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> Self:
        """Read a range. Raises `WireError` on anything that `pack` cannot have written."""
        if len(data) != RANGE_BYTES:
            raise WireError(f"a range has {RANGE_BYTES} bytes, not {len(data)}")
        version, fate, _, epoch, first, last, wall, offset = _RANGE.unpack(data)
        if version != VERSION:
            raise WireError(f"range version {version} is not known here (only {VERSION})")
        if not (0 < epoch <= MAX_SEQ and 0 < first <= last <= MAX_SEQ):
            raise WireError(f"a range {epoch}-{first}..{last} is not valid")
        try:
            return cls(epoch=epoch, first=first, last=last, fate=Fate(fate), wall_us=wall, offset_us=offset)
        except ValueError:
            raise WireError(f"fate {fate} is not known here") from None
