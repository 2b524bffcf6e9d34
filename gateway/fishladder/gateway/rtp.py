"""Puts RTP packets of one video track together into access units. Pure: packets and the time go in, units come out. A
unit is given out with its marker bit rather than when the next one begins, so that it is not a whole interval late.
"""

from typing import NamedTuple

from fishladder.wire.unit import MAX_UNIT_BYTES

#: A hole is waited for so long (retransmission), then everything up to the next unit is given up.
HOLE_S = 0.25
#: Packets held behind a hole; a keyframe of 4 MB has about 3500.
MAX_HELD = 4096
CLOCK_HZ = 90_000


class Packet(NamedTuple):
    """`payload` is what the codec's payload format has left after its own header: empty for padding."""

    ssrc: int
    seq: int
    timestamp: int
    marker: bool
    payload: bytes


class Assembled(NamedTuple):
    """An access unit. `after_loss`: something before it was lost for good. `ticks` counts 1/90000 s, unwrapped."""

    data: bytes
    ticks: int
    after_loss: bool


class Assembler:
    """One track. A unit of more than `unit_bytes` is given up, as after a hole."""

    def __init__(self, *, unit_bytes: int = MAX_UNIT_BYTES) -> None:
        self._unit_bytes = unit_bytes
        self._size = 0  # of `_parts`
        self._ssrc: int | None = None
        self._held: dict[int, Packet] = {}
        self._at = 0  # unwrapped seq wanted next
        self._hole_since: float | None = None
        self._parts: list[bytes] = []
        self._timestamp: int | None = None  # of the unit being put together
        self._given: int | None = None  # of the unit given out last
        self._trust_marker = True
        self._skipping = False  # until the next unit begins
        self._lost = False
        self._ticks = 0
        self._ticks_of = 0  # the wrapped timestamp `_ticks` belongs to
        self._last_at = 0.0

    def push(self, packet: Packet, now: float) -> list[Assembled]:
        """Take one packet; `now` in seconds. Returns what it completes, in order."""
        if packet.ssrc != self._ssrc:
            self._begin(packet, now)
        self._last_at = now
        seq = self._at + _signed(packet.seq - self._at, 16)
        if seq < self._at:
            return []
        if seq - self._at >= MAX_HELD:
            self._held.clear()
            self._give_up(seq)
        self._held[seq] = packet
        units: list[Assembled] = []
        self._advance(units)
        if not self._held:
            self._hole_since = None
        elif self._hole_since is None:
            self._hole_since = now
        elif now - self._hole_since > HOLE_S:
            self._give_up(min(self._held))
            self._advance(units)
            self._hole_since = now if self._held else None
        return units

    @property
    def broken(self) -> bool:
        """Something was lost and no unit given out since: a keyframe would help."""
        return self._lost

    def _begin(self, packet: Packet, now: float) -> None:
        """The first packet, or a sender that began anew: its timeline goes on where the former ended."""
        if self._ssrc is not None:
            self._ticks += int((now - self._last_at) * CLOCK_HZ)
            self._lost = True
        self._ticks_of = packet.timestamp
        self._ssrc, self._at = packet.ssrc, packet.seq + (1 << 16)
        self._held.clear()
        self._parts, self._size, self._timestamp, self._given = [], 0, None, None
        self._skipping = False

    def _give_up(self, seq: int) -> None:
        """Go on at `seq`, with the next unit that begins there or later."""
        self._parts, self._size, self._timestamp = [], 0, None
        self._at, self._skipping, self._lost = seq, True, True

    def _advance(self, units: list[Assembled]) -> None:
        while (packet := self._held.pop(self._at, None)) is not None:
            self._at += 1
            if packet.payload:
                self._take(packet, units)

    def _take(self, packet: Packet, units: list[Assembled]) -> None:
        if self._skipping:
            # The first packet behind a hole may be the middle of a unit: only what follows a boundary is whole.
            if self._timestamp is None:
                self._timestamp = packet.timestamp
            if packet.timestamp == self._timestamp:
                self._skipping = not packet.marker
                if packet.marker:
                    self._timestamp = None
                return
            self._skipping, self._timestamp = False, None
        if self._timestamp is not None and packet.timestamp != self._timestamp:
            self._give_out(units)
        if packet.timestamp == self._given and not self._parts:
            self._trust_marker = False  # this sender marks every slice
        if self._size + len(packet.payload) > self._unit_bytes:
            self._give_up(self._at)
            self._take(packet, units)  # which is skipped, with what else there is of its unit
            return
        self._timestamp = packet.timestamp
        self._parts.append(packet.payload)
        self._size += len(packet.payload)
        if packet.marker and self._trust_marker:
            self._give_out(units)

    def _give_out(self, units: list[Assembled]) -> None:
        assert self._timestamp is not None
        self._ticks += _signed(self._timestamp - self._ticks_of, 32)
        self._ticks_of = self._given = self._timestamp
        units.append(Assembled(b"".join(self._parts), self._ticks, self._lost))
        self._parts, self._size, self._timestamp, self._lost = [], 0, None, False


def _signed(difference: int, bits: int) -> int:
    """The smallest step that leads to a wrapped number."""
    half = 1 << (bits - 1)
    return ((difference + half) & ((1 << bits) - 1)) - half
