"""Which of a sender's streams of packets is its video: the one it named, its successor where the sender began anew, or
another of its encodings. What is changed to begins where the former ends. Pure.
"""

from fishladder.gateway.webrtc.agreed import Parameters
from fishladder.gateway.webrtc.assembler import CLOCK_HZ, Assembled
from fishladder.gateway.webrtc.encodings import Encodings
from fishladder.gateway.webrtc.rtp import RtpPacket
from fishladder.gateway.webrtc.sender_clock import SenderClock
from fishladder.gateway.webrtc.source import Counts, Source, Units
from fishladder.wire.bitstream import inspect
from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec

#: Another stream of packets is taken for the sender's new one when the one before has been silent for so long.
_SILENT_S = 0.5
_LONG_AGO = float("-inf")


class Streams:
    """`source` is the one that is taken; `coming` takes its place with its first keyframe."""

    def __init__(self, agreed: Parameters, unit_bytes: int) -> None:
        self.source: Source | None = None
        self.coming: Source | None = None
        self._agreed = agreed
        self._unit_bytes = unit_bytes
        self._encodings = Encodings(agreed.encodings) if len(agreed.encodings) > 1 else None
        self.is_one = self._encodings is None  #: a packet of the source's ssrc is the source's, whatever else comes
        self._past = Counts()  # of sources that were left
        self._clocks = {ssrc: SenderClock() for ssrc in agreed.encodings}  # reports come of those not taken, too

    @property
    def counts(self) -> Counts:
        return self._past if self.source is None else self._past.plus(self.source.counts)

    @property
    def next_at(self) -> float:
        """When one of them has something to do."""
        at = self.source.next_at if self.source is not None else float("inf")
        return at if self.coming is None else min(at, self.coming.next_at)

    @property
    def all(self) -> list[Source]:
        return [source for source in (self.source, self.coming) if source is not None]

    @property
    def media(self) -> int | None:
        """Of whom keyframes are asked."""
        source = self.coming or self.source
        return source.ssrc if source else self._agreed.ssrc

    def of(self, packet: RtpPacket, now: float) -> Source | None:
        """Whose packet it is, if it is one of the sender's current encoding, or of the one that is to be."""
        encoding = self._encodings is not None and packet.ssrc in self._agreed.encodings
        if encoding and packet.payload:
            self._go_over(packet, now)
        source = self.source
        if source is not None and source.ssrc == packet.ssrc:
            return source
        if self.coming is not None and self.coming.ssrc == packet.ssrc:
            return self.coming
        if encoding or packet.ssrc in self._agreed.others:
            return None
        if self._agreed.wanted_rid and packet.extensions:
            rid = packet.extensions.get(self._agreed.rid)
            if rid is not None and rid != self._agreed.wanted_rid.encode():
                return None
        if source is not None and now - source.last_at < _SILENT_S:
            return None
        self.source, self.coming = self._begun(packet, now), None
        if source is not None:
            self._past = self._past.plus(source.counts)
            self.source.assembler.lost = self.source.keyframe_wanted = True
        return self.source

    def of_repeated(self, packet: RtpPacket) -> Source | None:
        """Whose packet is sent again with this one. Senders probe the way with those of any encoding, and each counts
        its packets by itself.
        """
        of = self._agreed.repeats.get(packet.ssrc)
        if (source := self.by_ssrc(of)) is not None:
            return source
        if of in self._agreed.others or (self._encodings is not None and of in self._agreed.encodings):
            return None
        return self.source

    def by_ssrc(self, ssrc: int | None) -> Source | None:
        return next((source for source in self.all if source.ssrc == ssrc), None)

    def clock_of(self, ssrc: int) -> SenderClock | None:
        source = self.by_ssrc(ssrc)
        return source.clock if source is not None else self._clocks.get(ssrc)

    def goodbye(self, ssrc: int) -> None:
        """The sender says that no more of it will come."""
        if self._encodings is not None:
            self._encodings.left(ssrc)
        if self.source is not None and ssrc == self.source.ssrc:
            self.source.last_at = _LONG_AGO  # whatever comes next is taken for its successor

    def given(self, source: Source, units: Units) -> Units:
        """What of the units of a source is the sender's video."""
        return units if source is not self.coming else self._taken_over(source, units)

    def _go_over(self, packet: RtpPacket, now: float) -> None:
        """With a packet of one of several encodings: begin, or leave, the one that is to be the source."""
        assert self._encodings is not None
        self._encodings.came(packet.ssrc, now)
        source, coming = self.source, self.coming
        if packet.ssrc != self._encodings.wanted:
            if coming is not None and coming.ssrc == packet.ssrc:
                self.coming = None
        elif source is not None and source.ssrc == packet.ssrc:
            self.coming = None
        elif source is None:
            self.source = self._begun(packet, now)
            self.source.keyframe_wanted = packet.ssrc != self._agreed.ssrc
        elif coming is None or coming.ssrc != packet.ssrc:
            self.coming = self._begun(packet, now)
            self.coming.keyframe_wanted = True

    def _begun(self, packet: RtpPacket, now: float) -> Source:
        """What begins with this packet: its timeline goes on where that of the source ends."""
        source, ticks = self.source, 0
        if source is not None:
            ticks = source.assembler.ticks + int((now - source.seen_at) * CLOCK_HZ)
        return Source(packet, self._unit_bytes, ticks, self._clocks.get(packet.ssrc) or SenderClock())

    def _taken_over(self, coming: Source, units: Units) -> Units:
        """Nothing before its first keyframe, with which it is the source."""
        first = next((number for number, unit in enumerate(units) if _keyframe(*unit)), None)
        if first is None:
            coming.keyframe_wanted |= bool(units)
            return []
        assert self.source is not None
        before, self.source, self.coming = self.source, coming, None
        self._past = self._past.plus(before.counts)
        coming.clock.compared_as(before.clock)
        ahead = max(before.assembler.ticks + 1 - units[first][1].ticks, 0)
        coming.assembler.ticks += ahead
        return [
            (codec, unit._replace(ticks=unit.ticks + ahead, after_loss=unit.after_loss or not number))
            for number, (codec, unit) in enumerate(units[first:])
        ]


def _keyframe(codec: Codec, unit: Assembled) -> bool:
    try:
        return inspect(codec, unit.data).idr
    except WireError:
        return False
