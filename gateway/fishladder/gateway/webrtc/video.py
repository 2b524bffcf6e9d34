"""One sender's video as it is received: RTP and RTCP and the time go in, access units and RTCP come out. Pure; it puts
together what `reorder`, `nack`, `assembler`, `transport_cc` and the others decide each for itself.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from aiortc.rate import RemoteBitrateEstimator

from fishladder.gateway.webrtc import rtcp, rtp
from fishladder.gateway.webrtc.assembler import CLOCK_HZ, Assembled, Assembler, Part
from fishladder.gateway.webrtc.depayload import DEPAYLOAD
from fishladder.gateway.webrtc.nack import NackPacer
from fishladder.gateway.webrtc.reception import Reception
from fishladder.gateway.webrtc.reorder import Reorder
from fishladder.gateway.webrtc.sender_clock import SenderClock
from fishladder.gateway.webrtc.transport_cc import EVERY_S, TransportFeedback
from fishladder.wire.errors import WireError
from fishladder.wire.unit import MAX_UNIT_BYTES, Codec

#: Keyframes are asked for this often at most: each is as long as many pictures.
PLI_EVERY_S = 1.0
REPORT_EVERY_S = 1.0
#: Another stream of packets is taken for the sender's new one when the one before has been silent for so long.
_SILENT_S = 0.5
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What was agreed on in SDP. Payload types and extension ids are numbers of this session; 0 is no extension."""

    codecs: dict[int, Codec]
    rtx: dict[int, int] = field(default_factory=dict)  #: payload type of retransmissions -> of what they repeat
    ssrc: int | None = None  #: the sender's, if it said so
    others: frozenset[int] = frozenset()  #: of its other encodings and retransmissions: not to be taken for a new one
    repeats: dict[int, int] = field(default_factory=dict)  #: ssrc of retransmissions -> of what they repeat
    transport_cc: int = 0
    abs_send_time: int = 0
    rid: int = 0
    wanted_rid: str = ""
    remb: bool = False
    reduced: bool = False  #: RTCP need not be compound (RFC 5506)


class Counts(NamedTuple):
    """Packets, unless it says units."""

    received: int = 0
    bad: int = 0
    retransmitted: int = 0
    asked: int = 0
    given_up: int = 0
    damaged_units: int = 0


class _Source:
    """What belongs to one ssrc."""

    def __init__(self, packet: rtp.RtpPacket, unit_bytes: int, ticks: int) -> None:
        self.ssrc = packet.ssrc
        self.reorder: Reorder[tuple[Codec, Part]] = Reorder(packet.seq)
        self.assembler = Assembler(unit_bytes=unit_bytes, ticks=ticks)
        self.reception = Reception(packet.ssrc, packet.seq)
        self.clock = SenderClock()
        self.last_at = 0.0
        self.seen_at = 0.0  #: as `last_at`, but a goodbye does not change it


class VideoStream:
    """`ssrc` is our own, which stands in the RTCP we send. What comes out is in `units` and `outgoing`: whoever calls
    takes it from there. Call `poll` at `next_at`.
    """

    def __init__(self, agreed: Parameters, *, ssrc: int, unit_bytes: int = MAX_UNIT_BYTES) -> None:
        self.units: list[tuple[Codec, Assembled]] = []
        self.outgoing: list[bytes] = []
        self.next_at = _NEVER
        self._agreed = agreed
        self._ssrc = ssrc
        self._unit_bytes = unit_bytes
        self._source: _Source | None = None
        self._pacer = NackPacer()
        self._feedback = TransportFeedback(ssrc) if agreed.transport_cc else None
        self._feedback_at = _NEVER
        self._estimator = RemoteBitrateEstimator() if agreed.remb and agreed.abs_send_time else None
        self._keyframe_wanted = True
        self._pli_at = float("-inf")
        self._report_at = _NEVER
        self._received = self._bad = self._retransmitted = 0
        self._past = Counts()

    @property
    def clock(self) -> SenderClock | None:
        return self._source.clock if self._source else None

    @property
    def counts(self) -> Counts:
        source, past = self._source, self._past
        return Counts(
            self._received,
            self._bad,
            self._retransmitted,
            self._pacer.asked,
            past.given_up + (source.reorder.given_up if source else 0),
            past.damaged_units + (source.assembler.damaged if source else 0),
        )

    def connected(self, now: float) -> None:
        """The way is open: ask for a keyframe, as the first picture may have been sent before."""
        self._report_at = now + REPORT_EVERY_S
        self._ask_keyframe(now)
        self._plan()

    def want_keyframe(self, now: float) -> None:
        """Ask for a keyframe, or as soon as that may be done again."""
        self._keyframe_wanted = True
        self._ask_keyframe(now)
        self._plan()

    def take_rtp(self, data: bytes, now: float) -> None:
        """Take a decrypted RTP packet that came at `now`. What cannot be used is counted."""
        try:
            packet = rtp.parse(data)
        except WireError:
            self._bad += 1
            return
        self._received += 1
        self._meter(packet, len(data), now)
        kind = packet.payload_type
        if (codec := self._agreed.codecs.get(kind)) is not None:
            if (source := self._source_of(packet, now)) is not None:
                source.last_at = source.seen_at = now
                source.reception.arrived(packet.seq, packet.timestamp, now)
                self._take(source, codec, packet.seq, packet.timestamp, packet.marker, packet.payload, now)
        elif (repeats := self._agreed.rtx.get(kind)) is not None:
            self._retransmission(packet, repeats, now)
        if self._keyframe_wanted:
            self._ask_keyframe(now)
        self._plan()

    def take_rtcp(self, data: bytes, now: float) -> None:
        """Take a decrypted RTCP packet that came at `now`."""
        try:
            said = rtcp.parse(data)
        except WireError:
            self._bad += 1
            return
        for one in said:
            source = self._source
            if source is None:
                continue
            if isinstance(one, rtcp.SenderReport):
                if one.ssrc == source.ssrc:
                    source.clock.reported(one.ntp, one.timestamp)
                    source.reception.reported(one.ntp, now)
            elif source.ssrc in one.ssrcs:
                source.last_at = float("-inf")  # whatever comes next is taken for its successor

    def poll(self, now: float) -> None:
        """Do what is due at `now`."""
        source = self._source
        if source is not None:
            self._hand_on(source, source.reorder.expire(now))
            self._nack(source, now)
        if self._feedback is not None and now >= self._feedback_at:
            self._send_feedback()
        if now >= self._report_at:
            self._report_at = now + REPORT_EVERY_S
            self.outgoing.append(rtcp.receiver_report(self._ssrc, [source.reception.block(now)] if source else []))
        if self._keyframe_wanted:
            self._ask_keyframe(now)
        self._plan()

    def _plan(self) -> None:
        at = min(self._report_at, self._feedback_at, self._pacer.next_at)
        if self._source is not None:
            at = min(at, self._source.reorder.expires_at)
        if self._keyframe_wanted and self._media:
            at = min(at, self._pli_at + PLI_EVERY_S)
        self.next_at = at

    @property
    def _media(self) -> int | None:
        return self._source.ssrc if self._source else self._agreed.ssrc

    def _meter(self, packet: rtp.RtpPacket, size: int, now: float) -> None:
        """Congestion control: every packet of the transport counts, whatever it holds."""
        if packet.extensions is None:
            return
        if self._feedback is not None:
            number = packet.extensions.get(self._agreed.transport_cc)
            if number is not None and len(number) == 2:
                self._feedback.arrived(number[0] << 8 | number[1], now)
                if self._feedback.full:
                    self._send_feedback()
                elif self._feedback_at == _NEVER:
                    self._feedback_at = now + EVERY_S
        elif self._estimator is not None:
            sent = packet.extensions.get(self._agreed.abs_send_time)
            if sent is not None and len(sent) == 3:
                estimate = self._estimator.add(
                    arrival_time_ms=int(now * 1000),
                    abs_send_time=int.from_bytes(sent, "big"),
                    payload_size=size,
                    ssrc=packet.ssrc,
                )
                if estimate is not None:
                    self._send(rtcp.remb(self._ssrc, int(estimate[0]), estimate[1][:31]))

    def _source_of(self, packet: rtp.RtpPacket, now: float) -> _Source | None:
        """Whose packet it is, if it is one of the sender's current encoding."""
        source = self._source
        if source is not None and source.ssrc == packet.ssrc:
            return source
        if packet.ssrc in self._agreed.others:
            return None
        if self._agreed.wanted_rid and packet.extensions:
            rid = packet.extensions.get(self._agreed.rid)
            if rid is not None and rid != self._agreed.wanted_rid.encode():
                return None
        if source is not None and now - source.last_at < _SILENT_S:
            return None
        ticks = 0
        if source is not None:  # the sender began anew: its timeline goes on where the former ended
            ticks = source.assembler.ticks + int((now - source.seen_at) * CLOCK_HZ)
            self._past = self._past._replace(
                given_up=self._past.given_up + source.reorder.given_up,
                damaged_units=self._past.damaged_units + source.assembler.damaged,
            )
        self._source = _Source(packet, self._unit_bytes, ticks)
        if source is not None:
            self._source.assembler.lost = self._keyframe_wanted = True
        return self._source

    def _retransmission(self, packet: rtp.RtpPacket, kind: int, now: float) -> None:
        """A packet sent again in a stream of its own (RFC 4588), behind its old number."""
        source = self._source
        if source is None or len(packet.payload) < 2 or kind not in self._agreed.codecs:
            return
        if self._agreed.repeats.get(packet.ssrc) in self._agreed.others:
            return  # senders probe the way with those of any encoding, and each counts its packets by itself
        seq = packet.payload[0] << 8 | packet.payload[1]
        self._retransmitted += 1
        codec = self._agreed.codecs[kind]
        self._take(source, codec, seq, packet.timestamp, packet.marker, packet.payload[2:], now, again=True)

    def _take(
        self,
        source: _Source,
        codec: Codec,
        seq: int,
        timestamp: int,
        marker: bool,
        payload: bytes,
        now: float,
        again: bool = False,
    ) -> None:
        data: bytes | None = b""
        if payload:
            try:
                data = DEPAYLOAD[codec](payload)
            except WireError:
                data = None
                self._bad += 1
        missing = source.reorder.missing
        if (missing or again) and (hole := source.reorder.hole(seq)) is not None:
            self._pacer.arrived(hole, now, again=again)
            source.reorder.hole_s = self._pacer.hole_s
        before = len(missing)
        self._hand_on(source, source.reorder.push(seq, (codec, Part(timestamp, marker, data)), now))
        if missing:
            if len(missing) > before:
                self._pacer.next_at = min(self._pacer.next_at, now + self._pacer.late_s)
            self._hand_on(source, source.reorder.expire(now))
            self._nack(source, now)
        elif before:
            self._pacer.next_at = _NEVER

    def _hand_on(self, source: _Source, ready: list[tuple[Codec, Part] | None]) -> None:
        for one in ready:
            if one is None:
                source.assembler.hole()
                self._keyframe_wanted = True
                continue
            codec, part = one
            for unit in source.assembler.take(part):
                self.units.append((codec, unit))
            if part.data is None:
                self._keyframe_wanted = True

    def _nack(self, source: _Source, now: float) -> None:
        if now >= self._pacer.next_at:
            ask = self._pacer.due(source.reorder.missing, now)
            if ask:
                self._send(rtcp.nack(self._ssrc, source.ssrc, ask))

    def _ask_keyframe(self, now: float) -> None:
        media = self._media
        if media is None or now - self._pli_at < PLI_EVERY_S:
            return
        self._keyframe_wanted, self._pli_at = False, now
        self._send(rtcp.pli(self._ssrc, media))

    def _send_feedback(self) -> None:
        assert self._feedback is not None
        self._feedback_at = _NEVER
        for message in self._feedback.take(self._media or 0):
            self._send(message)

    def _send(self, message: bytes) -> None:
        """Feedback stands alone only where that was agreed on."""
        if not self._agreed.reduced:
            message = rtcp.receiver_report(self._ssrc) + message
        self.outgoing.append(message)
