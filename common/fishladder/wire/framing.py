"""Binary messages on the uplink: a unit in one or more fragments, or a range. Text messages are in `messages`.

    kind 1 byte (1 fragment, 2 range), flags 1 byte (1 FIRST, 2 LAST, 4 ABANDON, 8 BACKFILL), channel 2 bytes
    big-endian, body

The first fragment's body opens with the unit's whole size (4 bytes). Fragments of one channel follow one another
in order; those of different channels, and of a channel's two lanes (BACKFILL or not), interleave freely. ABANDON ends
a unit that will not be completed: what was sent of it is forgotten, and its sequence number is declared in a range.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from fishladder.wire.errors import TooLarge, WireError
from fishladder.wire.unit import MAX_UNIT_BYTES, RANGE_BYTES, UNIT_HEADER_BYTES, Range

_HEAD = struct.Struct(">BBH")
_SIZE = struct.Struct(">I")
HEAD_BYTES = _HEAD.size

FRAGMENT, RANGE = 1, 2
FIRST, LAST, ABANDON, BACKFILL = 1, 2, 4, 8

#: The largest binary message a gateway has to accept.
MAX_MESSAGE_BYTES = 256 * 1024
MAX_CHANNEL = 0xFFFF


class UnitMessage(NamedTuple):
    """A whole unit has arrived; `data` is its packed form."""

    channel: int
    data: bytes
    backfill: bool = False


class RangeMessage(NamedTuple):
    """A range has arrived."""

    channel: int
    range: Range
    backfill: bool = False


def fragments(channel: int, packed: bytes, fragment_bytes: int, *, backfill: bool = False) -> Iterator[bytes]:
    """Cut a packed unit into messages of at most `fragment_bytes` (message head included)."""
    room = fragment_bytes - HEAD_BYTES
    if room <= _SIZE.size:
        raise ValueError(f"fragment_bytes={fragment_bytes} leaves no room for a unit")
    lane = BACKFILL if backfill else 0
    total, at, flags = len(packed), 0, FIRST | lane
    view = memoryview(packed)
    while True:
        size = _SIZE.pack(total) if flags & FIRST else b""
        end = min(at + room - len(size), total)
        if end == total:
            flags |= LAST
        yield b"".join((_HEAD.pack(FRAGMENT, flags, channel), size, view[at:end]))
        if end == total:
            return
        at, flags = end, lane


def abandon(channel: int, *, backfill: bool = False) -> bytes:
    """The message that gives up the unit being sent on `channel`."""
    return _HEAD.pack(FRAGMENT, ABANDON | (BACKFILL if backfill else 0), channel)


def range_message(channel: int, declared: Range, *, backfill: bool = False) -> bytes:
    return _HEAD.pack(RANGE, BACKFILL if backfill else 0, channel) + declared.pack()


class Reassembler:
    """Puts one connection's fragments together again. Holds at most one unfinished unit a lane of a channel.

    `max_unit_bytes` bounds a unit, `max_held_bytes` what all unfinished units may hold together.
    """

    def __init__(self, *, max_unit_bytes: int = MAX_UNIT_BYTES, max_held_bytes: int = 4 * MAX_UNIT_BYTES) -> None:
        self.max_unit_bytes = max_unit_bytes
        self.max_held_bytes = max_held_bytes
        self.held_bytes = 0
        # Channel, or its complement for backfill -> size of the unit, what has come of it.
        self._unfinished: dict[int, tuple[int, bytearray]] = {}

    def feed(self, message: bytes) -> UnitMessage | RangeMessage | None:
        """Take one binary message; return what it completes. Raises `WireError`, after which the connection ends."""
        if len(message) < HEAD_BYTES:
            raise WireError(f"a binary message of {len(message)} bytes is truncated")
        if len(message) > MAX_MESSAGE_BYTES:
            raise TooLarge(f"a binary message of {len(message)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
        kind, flags, channel = _HEAD.unpack_from(message)
        if kind == FRAGMENT:
            return self._fragment(channel, flags, message)
        if kind == RANGE and len(message) == HEAD_BYTES + RANGE_BYTES:
            return RangeMessage(channel, Range.unpack(message[HEAD_BYTES:]), bool(flags & BACKFILL))
        raise WireError(f"a binary message of kind {kind} and {len(message)} bytes is not known here")

    def forget(self, channel: int) -> None:
        """Drop what a channel has unfinished, in both lanes."""
        self._forget(channel)
        self._forget(~channel)

    def _forget(self, lane: int) -> None:
        unfinished = self._unfinished.pop(lane, None)
        if unfinished:
            self.held_bytes -= len(unfinished[1])

    def _fragment(self, channel: int, flags: int, message: bytes) -> UnitMessage | None:
        backfill = bool(flags & BACKFILL)
        lane = ~channel if backfill else channel
        if flags & ABANDON:
            self._forget(lane)
            return None
        if flags & FIRST:
            if lane in self._unfinished:
                raise WireError(f"channel {channel} began a unit before it ended the one before")
            if len(message) < HEAD_BYTES + _SIZE.size:
                raise WireError(f"channel {channel}: a unit's first fragment is truncated")
            (total,) = _SIZE.unpack_from(message, HEAD_BYTES)
            if total > self.max_unit_bytes:
                raise TooLarge(f"channel {channel}: a unit of {total} bytes is over the limit of {self.max_unit_bytes}")
            if total <= UNIT_HEADER_BYTES:
                raise WireError(f"channel {channel}: a unit of {total} bytes is shorter than its header")
            body = message[HEAD_BYTES + _SIZE.size :]
            if flags & LAST:  # the usual case on a fast link: one message, one unit
                if len(body) != total:
                    raise WireError(f"channel {channel}: a unit of {total} bytes came with {len(body)}")
                return UnitMessage(channel, body, backfill)
            have = bytearray(body)
            self._unfinished[lane] = total, have
        else:
            unfinished = self._unfinished.get(lane)
            if unfinished is None:
                raise WireError(f"channel {channel}: a fragment without a first one")
            total, have = unfinished
            body = message[HEAD_BYTES:]
            have += body
        self.held_bytes += len(body)
        if len(have) > total or (flags & LAST and len(have) != total):
            self._forget(lane)
            raise WireError(f"channel {channel}: a unit of {total} bytes came with {len(have)}")
        if self.held_bytes > self.max_held_bytes:
            raise TooLarge(f"unfinished units hold {self.held_bytes} bytes, over the limit of {self.max_held_bytes}")
        if flags & LAST:
            self._forget(lane)
            return UnitMessage(channel, bytes(have), backfill)
        return None
