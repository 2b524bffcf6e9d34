"""A sender's wall clock, by its RTCP sender reports, and how it stands to ours: the least delay seen in the last minute
is taken for no delay, so that a unit that waited in a full uplink shows for how long. Pure.
"""

from fishladder.gateway.webrtc.assembler import CLOCK_HZ
from fishladder.gateway.webrtc.rtp import step

#: From 1900, where NTP counts from, to 1970.
_NTP_EPOCH_S = 2_208_988_800
_WINDOW_US = 30_000_000
#: A report that contradicts the one before by more is a clock that was set.
_STEP_US = 500_000


class SenderClock:
    def __init__(self) -> None:
        self._wall_us: int | None = None
        self._timestamp = 0
        self._least_us: list[int | None] = [None, None]  # offset in this window and in the one before
        self._window_since_us = 0

    def reported(self, ntp: int, timestamp: int) -> None:
        """A sender report: at RTP time `timestamp` its clock showed `ntp` (64 bits; 0 means that it has none)."""
        if not ntp:
            return
        wall_us = ((ntp >> 32) - _NTP_EPOCH_S) * 1_000_000 + ((ntp & 0xFFFFFFFF) * 1_000_000 >> 32)
        before_us = self.wall_us(timestamp)
        if before_us is not None and abs(before_us - wall_us) > _STEP_US:
            self._least_us = [None, None]
        self._wall_us, self._timestamp = wall_us, timestamp

    def compared_as(self, other: "SenderClock") -> None:
        """What `other` has learnt of the same clock: how it stands to ours."""
        self._least_us, self._window_since_us = list(other._least_us), other._window_since_us

    def wall_us(self, timestamp: int) -> int | None:
        """What the sender's clock showed at an RTP time, in Unix microseconds; None before the first report."""
        if self._wall_us is None:
            return None
        return self._wall_us + step(timestamp - self._timestamp, 32) * 1_000_000 // CLOCK_HZ

    def offset_us(self, wall_us: int, now_us: int) -> int:
        """What to add to the sender's clock for ours, having got at `now_us` what was captured at `wall_us`."""
        if not 0 <= now_us - self._window_since_us < _WINDOW_US:
            self._window_since_us = now_us
            self._least_us = [None, self._least_us[0]]
        offset_us = now_us - wall_us
        this = self._least_us[0]
        self._least_us[0] = offset_us if this is None else min(this, offset_us)
        return min(one for one in self._least_us if one is not None)
