"""Puts packets in order together into access units. Pure. A unit is given out with its marker bit rather than when the
next one begins, so that it is not a whole interval late.
"""

from typing import NamedTuple

import msgspec

from fishladder.gateway.webrtc.rtp import step
from fishladder.wire.unit import MAX_UNIT_BYTES

CLOCK_HZ = 90_000


class Part(msgspec.Struct, frozen=True, gc=False):
    """One packet's part of a unit: empty for padding, None if it cannot be used."""

    timestamp: int
    marker: bool
    data: bytes | None


class Assembled(NamedTuple):
    """An access unit. `after_loss`: something before it was lost for good. `ticks` counts 1/90000 s, unwrapped;
    `timestamp` is the sender's own count of them.
    """

    data: bytes
    ticks: int
    after_loss: bool
    timestamp: int = 0


class Assembler:
    """One sender's packets. A unit of more than `unit_bytes` is given up, as after a hole."""

    def __init__(self, *, unit_bytes: int = MAX_UNIT_BYTES, ticks: int = 0) -> None:
        """`ticks` is where its timeline begins."""
        self.ticks = ticks
        self.damaged = 0  #: units given up
        self._unit_bytes = unit_bytes
        self._size = 0  # of `_parts`
        self._parts: list[bytes] = []
        self._timestamp: int | None = None  # of the unit being put together, or skipped
        self._given: int | None = None  # of the unit given out last
        self._ticks_of: int | None = None  # the timestamp `ticks` belongs to
        self._trust_marker = True
        self._skipping = False  # until the next unit begins
        self.lost = False  #: something was lost and no unit given out since: a keyframe would help

    def hole(self) -> None:
        """Packets are missing here for good: what follows up to the next unit is useless."""
        self._parts, self._size, self._timestamp = [], 0, None
        self.damaged += not self._skipping
        self._skipping = self.lost = True

    def take(self, part: Part) -> list[Assembled]:
        """Take the next packet in order. Returns what it completes."""
        units: list[Assembled] = []
        if part.data is None:
            self.hole()
            self._timestamp = part.timestamp
            if part.marker:
                self._skipping, self._timestamp = False, None
        elif part.data:
            self._add(part.timestamp, part.marker, part.data, units)
        elif part.marker and self._parts and self._trust_marker and part.timestamp == self._timestamp:
            self._give_out(units)  # padding may carry the marker
        return units

    def _add(self, timestamp: int, marker: bool, data: bytes, units: list[Assembled]) -> None:
        if self._ticks_of is None:
            self._ticks_of = timestamp
        if self._skipping:
            # The first packet behind a hole may be the middle of a unit: only what follows a boundary is whole.
            if self._timestamp is None:
                self._timestamp = timestamp
            if timestamp == self._timestamp:
                self._skipping = not marker
                if marker:
                    self._timestamp = None
                return
            self._skipping, self._timestamp = False, None
        if self._timestamp is not None and timestamp != self._timestamp:
            self._give_out(units)
        if timestamp == self._given and not self._parts:
            self._trust_marker = False  # this sender marks every slice
        if self._size + len(data) > self._unit_bytes:
            self.hole()
            self._add(timestamp, marker, data, units)  # which is skipped, with what else there is of its unit
            return
        self._timestamp = timestamp
        self._parts.append(data)
        self._size += len(data)
        if marker and self._trust_marker:
            self._give_out(units)

    def _give_out(self, units: list[Assembled]) -> None:
        assert self._timestamp is not None
        assert self._ticks_of is not None
        self.ticks += step(self._timestamp - self._ticks_of, 32)
        self._ticks_of = self._given = self._timestamp
        units.append(Assembled(b"".join(self._parts), self.ticks, self.lost, self._timestamp))
        self._parts, self._size, self._timestamp, self.lost = [], 0, None, False
