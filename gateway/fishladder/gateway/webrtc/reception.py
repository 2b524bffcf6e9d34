"""What a receiver reports of a sender (RFC 3550 section 6.4.1): packets expected and lost, and jitter. Pure."""

from fishladder.gateway.webrtc.assembler import CLOCK_HZ
from fishladder.gateway.webrtc.rtcp import Block
from fishladder.gateway.webrtc.rtp import step


class Reception:
    def __init__(self, ssrc: int, first: int) -> None:
        self.ssrc = ssrc
        self.received = 0
        self._base = first
        self._highest = first - 1
        self._expected_before = 0
        self._received_before = 0
        self._jitter = 0.0
        self._transit: float | None = None
        self._timestamp: int | None = None
        self._report = 0
        self._report_at = 0.0

    def arrived(self, seq: int, timestamp: int, now: float) -> None:
        self.received += 1
        ahead = step(seq - self._highest, 16)
        if ahead <= 0:
            return
        self._highest += ahead
        if timestamp == self._timestamp:
            return
        self._timestamp = timestamp
        transit = now * CLOCK_HZ - timestamp
        if self._transit is not None:
            difference = abs(step(int(transit - self._transit), 32))
            self._jitter += (difference - self._jitter) / 16
        self._transit = transit

    def reported(self, ntp: int, now: float) -> None:
        """A sender report has come."""
        self._report, self._report_at = ntp >> 16 & 0xFFFFFFFF, now

    @property
    def lost(self) -> int:
        """Packets in all, less those that came twice."""
        return self._highest - self._base + 1 - self.received

    def block(self, now: float) -> Block:
        """The report of the time since the last one."""
        expected = self._highest - self._base + 1
        span, got = expected - self._expected_before, self.received - self._received_before
        self._expected_before, self._received_before = expected, self.received
        lost = max(span - got, 0) * 256 // span if span > 0 else 0
        since = round((now - self._report_at) * 65536) if self._report else 0
        return Block(self.ssrc, min(lost, 255), self.lost, self._highest, int(self._jitter), self._report, since)
