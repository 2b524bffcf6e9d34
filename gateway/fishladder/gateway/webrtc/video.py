"""One sender's video as it is received: RTP and RTCP and the time go in, access units and RTCP come out. Pure; it
decides what to tell the sender. Which of its streams is taken is `streams`' business, what that comes to `source`'s.
"""

from fishladder.gateway.webrtc import rtcp, rtp
from fishladder.gateway.webrtc.agreed import Parameters
from fishladder.gateway.webrtc.congestion import Congestion
from fishladder.gateway.webrtc.sender_clock import SenderClock
from fishladder.gateway.webrtc.source import Counts, Source, Units
from fishladder.gateway.webrtc.streams import Streams
from fishladder.wire.errors import WireError
from fishladder.wire.unit import MAX_UNIT_BYTES

#: Keyframes are asked for this often at most: each is as long as many pictures.
PLI_EVERY_S = 1.0
REPORT_EVERY_S = 1.0
_NEVER = float("inf")


class VideoStream:
    """`ssrc` is our own, which stands in the RTCP we send. What comes out is in `units` and `outgoing`: whoever calls
    takes it from there. Call `poll` at `next_at`.
    """

    def __init__(self, agreed: Parameters, *, ssrc: int, unit_bytes: int = MAX_UNIT_BYTES) -> None:
        self.units: Units = []
        self.outgoing: list[bytes] = []
        self.next_at = _NEVER
        self._agreed = agreed
        self._ssrc = ssrc
        self._streams = Streams(agreed, unit_bytes)
        self._congestion = Congestion(agreed, ssrc)
        self._keyframe_wanted = True
        self._pli_to: int | None = None
        self._pli_at = float("-inf")
        self._report_at = _NEVER
        self._received = self._bad = self._retransmitted = 0

    @property
    def clock(self) -> SenderClock | None:
        return self._streams.source.clock if self._streams.source else None

    @property
    def counts(self) -> Counts:
        return self._streams.counts.plus(Counts(self._received, self._bad, self._retransmitted))

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
        self._congestion.arrived(packet, len(data), now)
        kind = packet.payload_type
        if (codec := self._agreed.codecs.get(kind)) is not None:
            source, one = self._streams.source, self._streams.is_one
            if source is not None and source.ssrc == packet.ssrc and one:
                units = source.take(codec, packet, now)
                if not (source.missing or source.keyframe_wanted or self._keyframe_wanted):
                    # As most often: there is nothing to ask for. What follows would do the same in many more steps.
                    if units:
                        self.units += units
                    self.next_at = min(self._report_at, self._congestion.next_at)
                    if self._congestion.messages:
                        self._plan()
                    return
                self._hand_on(source, units, now)
            elif (source := self._streams.of(packet, now)) is not None:
                self._hand_on(source, source.take(codec, packet, now), now)
        elif (codec := self._agreed.codecs.get(self._agreed.rtx.get(kind, -1))) is not None:
            source = self._streams.of_repeated(packet)
            if source is not None and len(packet.payload) > 1:
                self._retransmitted += 1
                self._hand_on(source, source.take_again(codec, packet, now), now)
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
            if isinstance(one, rtcp.Bye):
                for ssrc in one.ssrcs:
                    self._streams.goodbye(ssrc)
                continue
            if (clock := self._streams.clock_of(one.ssrc)) is not None:
                clock.reported(one.ntp, one.timestamp)
            if (source := self._streams.by_ssrc(one.ssrc)) is not None:
                source.reception.reported(one.ntp, now)

    def poll(self, now: float) -> None:
        """Do what is due at `now`."""
        for source in self._streams.all:
            self._hand_on(source, source.expire(now), now)
        self._congestion.poll(now)
        if now >= self._report_at:
            self._report_at = now + REPORT_EVERY_S
            blocks = [source.reception.block(now) for source in self._streams.all]
            self.outgoing.append(rtcp.receiver_report(self._ssrc, blocks))
        if self._keyframe_wanted:
            self._ask_keyframe(now)
        self._plan()

    def _plan(self) -> None:
        while self._congestion.messages:
            self._send(self._congestion.messages.pop(0))
        at = min(self._report_at, self._congestion.next_at, self._streams.next_at)
        if self._keyframe_wanted and self._streams.media:
            at = min(at, self._pli_at + PLI_EVERY_S)
        self.next_at = at

    def _hand_on(self, source: Source, units: Units, now: float) -> None:
        if units:
            self.units += self._streams.given(source, units)
        if source.keyframe_wanted:
            source.keyframe_wanted, self._keyframe_wanted = False, True
        if ask := source.asks(now):
            self._send(rtcp.nack(self._ssrc, source.ssrc, ask))

    def _ask_keyframe(self, now: float) -> None:
        media = self._streams.media
        if media is None or (media == self._pli_to and now - self._pli_at < PLI_EVERY_S):
            return
        self._keyframe_wanted, self._pli_to, self._pli_at = False, media, now
        self._send(rtcp.pli(self._ssrc, media))

    def _send(self, message: bytes) -> None:
        """Feedback stands alone only where that was agreed on."""
        if not self._agreed.reduced:
            message = rtcp.receiver_report(self._ssrc) + message
        self.outgoing.append(message)
