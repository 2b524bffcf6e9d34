"""What a sender is told of its link, as agreed on: when each packet came (transport-wide feedback) for its own control,
and where that fills the link a bound (REMB); or, without the former, what the link seems to carry. Pure.
"""

from aiortc.rate import RemoteBitrateEstimator

from fishladder.gateway.webrtc import rtcp
from fishladder.gateway.webrtc.agreed import Parameters
from fishladder.gateway.webrtc.ceiling import Ceiling
from fishladder.gateway.webrtc.rtp import RtpPacket
from fishladder.gateway.webrtc.transport_cc import EVERY_S, TransportFeedback

#: What is said where there is no bound any more.
NO_CEILING_BPS = 1_000_000_000
#: A message goes so much before its time with the end of a picture: waking up for it later costs more than sending it.
EARLY_S = EVERY_S / 2
#: A bound is said again this often: the message that lifts one must not be lost.
AGAIN_EVERY_S = 1.0
_NEVER = float("inf")


class Congestion:
    """`ssrc` is ours. `messages` are RTCP to send: whoever calls takes them from there. Call `poll` at `next_at`."""

    def __init__(self, agreed: Parameters, ssrc: int) -> None:
        self.messages: list[bytes] = []
        self.next_at = _NEVER
        self._ssrc = ssrc
        self._transport_cc, self._abs_send_time = agreed.transport_cc, agreed.abs_send_time if agreed.remb else 0
        self._feedback = TransportFeedback(ssrc) if agreed.transport_cc else None
        self._estimator = RemoteBitrateEstimator() if self._abs_send_time and self._feedback is None else None
        self._ceiling = Ceiling() if self._abs_send_time and self._feedback is not None else None
        self._came_bytes = 0
        self._picture: int | None = None
        self._media = 0
        self._feedback_at = self._ceiling_at = _NEVER

    def arrived(self, packet: RtpPacket, size: int, now: float) -> None:
        """A packet of so many bytes has come: each of the transport counts, whatever it holds."""
        self._came_bytes += size
        if packet.extensions is None:
            return
        if self._feedback is not None:
            number = packet.extensions.get(self._transport_cc)
            if number is not None and len(number) == 2:
                self._media = packet.ssrc
                full = self._feedback.arrived(number[0] << 8 | number[1], now)
                if full or (packet.marker and now >= self._feedback_at - EARLY_S):
                    self._send_feedback(self._feedback)
                elif self._feedback_at == _NEVER:
                    self._feedback_at = now + EVERY_S
                    self.next_at = min(self._feedback_at, self._ceiling_at)
            if self._ceiling is None or packet.timestamp == self._picture:
                return
            self._picture = packet.timestamp
        sent = packet.extensions.get(self._abs_send_time)
        if sent is not None and len(sent) == 3:
            self._weigh(packet.ssrc, size, int.from_bytes(sent, "big"), now)

    def poll(self, now: float) -> None:
        """Do what is due at `now`."""
        if self._feedback is not None and now >= self._feedback_at:
            self._send_feedback(self._feedback)
        if self._ceiling is not None and now >= self._ceiling_at:
            self._send_ceiling(self._ceiling, now)

    def _plan(self) -> None:
        self.next_at = min(self._feedback_at, self._ceiling_at)

    def _weigh(self, ssrc: int, size: int, abs_send_time: int, now: float) -> None:
        if self._ceiling is not None:
            if self._ceiling.picture(self._came_bytes - size, abs_send_time, now):
                self._send_ceiling(self._ceiling, now)
        elif self._estimator is not None:
            estimate = self._estimator.add(
                arrival_time_ms=int(now * 1000), abs_send_time=abs_send_time, payload_size=size, ssrc=ssrc
            )
            if estimate is not None:
                self.messages.append(rtcp.remb(self._ssrc, int(estimate[0]), estimate[1][:31]))

    def _send_feedback(self, feedback: TransportFeedback) -> None:
        self._feedback_at = _NEVER
        self.messages += feedback.take(self._media)
        self._plan()

    def _send_ceiling(self, ceiling: Ceiling, now: float) -> None:
        self.messages.append(rtcp.remb(self._ssrc, int(ceiling.bps or NO_CEILING_BPS), [self._media]))
        self._ceiling_at = now + AGAIN_EVERY_S
        self._plan()
