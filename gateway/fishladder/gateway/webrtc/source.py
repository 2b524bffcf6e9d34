"""One stream of packets (ssrc) of a sender's video: what comes is put in order and together into access units, and what
is missing is asked for. Pure; which streams there are, and what else the sender is told, is `video`'s business.
"""

from typing import NamedTuple

from fishladder.gateway.webrtc.assembler import Assembled, Assembler, Part
from fishladder.gateway.webrtc.depayload import DEPAYLOAD
from fishladder.gateway.webrtc.nack import NackPacer
from fishladder.gateway.webrtc.reception import Reception
from fishladder.gateway.webrtc.reorder import Reorder
from fishladder.gateway.webrtc.rtp import RtpPacket
from fishladder.gateway.webrtc.sender_clock import SenderClock
from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec

Units = list[tuple[Codec, Assembled]]


class Counts(NamedTuple):
    """Packets, unless it says units."""

    received: int = 0
    bad: int = 0
    retransmitted: int = 0
    asked: int = 0
    given_up: int = 0
    damaged_units: int = 0

    def plus(self, other: "Counts") -> "Counts":
        return Counts(*map(sum, zip(self, other, strict=True)))


class Source:
    """It begins with the number of `first`; its timeline begins at `ticks`. `keyframe_wanted` is set when one would
    help, and cleared by whoever asks for it.
    """

    def __init__(self, first: RtpPacket, unit_bytes: int, ticks: int, clock: SenderClock) -> None:
        self.ssrc = first.ssrc
        self.clock = clock
        self.assembler = Assembler(unit_bytes=unit_bytes, ticks=ticks)
        self.reception = Reception(first.ssrc, first.seq)
        self.keyframe_wanted = False
        self.last_at = 0.0
        self.seen_at = 0.0  #: as `last_at`, but a goodbye does not change it
        self._reorder: Reorder[tuple[Codec, Part]] = Reorder(first.seq)
        self.missing = self._reorder.missing
        self._pacer = NackPacer()
        self._bad = 0

    @property
    def counts(self) -> Counts:
        """What it alone knows of."""
        return Counts(
            bad=self._bad,
            asked=self._pacer.asked,
            given_up=self._reorder.given_up,
            damaged_units=self.assembler.damaged,
        )

    @property
    def next_at(self) -> float:
        """When `expire` and `asks` have something to do."""
        return min(self._pacer.next_at, self._reorder.expires_at)

    def take(self, codec: Codec, packet: RtpPacket, now: float) -> Units:
        """A packet that has come at `now`. Returns what it completes."""
        self.last_at = self.seen_at = now
        self.reception.arrived(packet.seq, packet.timestamp, now)
        return self._take(codec, packet, packet.seq, packet.payload, now)

    def take_again(self, codec: Codec, packet: RtpPacket, now: float) -> Units:
        """A packet that was sent again in a stream of its own (RFC 4588), behind its old number."""
        seq = packet.payload[0] << 8 | packet.payload[1]
        return self._take(codec, packet, seq, packet.payload[2:], now, again=True)

    def expire(self, now: float) -> Units:
        """Give up what has been missing for too long. Returns what that completes."""
        return self._in_order(self._reorder.expire(now))

    def asks(self, now: float) -> list[int]:
        """What to ask for (NACK) now, ascending; most often nothing."""
        return self._pacer.due(self._reorder.missing, now) if now >= self._pacer.next_at else []

    def _take(
        self, codec: Codec, packet: RtpPacket, seq: int, payload: bytes, now: float, *, again: bool = False
    ) -> Units:
        data: bytes | None = b""
        if payload:
            try:
                data = DEPAYLOAD[codec](payload)
            except WireError:
                data = None
                self._bad += 1
        reorder, pacer = self._reorder, self._pacer
        if not again and reorder.passes(seq):
            whole: Units = []
            for unit in self.assembler.take(Part(packet.timestamp, packet.marker, data)):
                whole.append((codec, unit))
            self.keyframe_wanted |= data is None
            return whole
        missing = reorder.missing
        if (missing or again) and (hole := reorder.hole(seq)) is not None:
            pacer.arrived(hole, now, again=again)
            reorder.hole_s = pacer.hole_s
        before = len(missing)
        units = self._in_order(reorder.push(seq, (codec, Part(packet.timestamp, packet.marker, data)), now))
        if missing:
            if len(missing) > before:
                pacer.next_at = min(pacer.next_at, now + pacer.late_s)
            units += self.expire(now)
        elif before:
            pacer.next_at = float("inf")
        return units

    def _in_order(self, ready: list[tuple[Codec, Part] | None]) -> Units:
        units: Units = []
        for one in ready:
            if one is None:
                self.assembler.hole()
                self.keyframe_wanted = True
                continue
            codec, part = one
            for unit in self.assembler.take(part):
                units.append((codec, unit))
            if part.data is None:
                self.keyframe_wanted = True
        return units
