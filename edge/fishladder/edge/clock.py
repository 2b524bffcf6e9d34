"""Clocks: this host's wall and monotonic clock as an object that can be exchanged, and how far the gateway's clock is
from our monotonic one, learnt from probes. Wall clocks may be years off and may step, so nothing here relies on ours.
"""

import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Microseconds. `mono_us` must be the clock child processes stamp with: the system's monotonic one."""

    def wall_us(self) -> int: ...

    def mono_us(self) -> int: ...


class SystemClock:
    def wall_us(self) -> int:
        return time.time_ns() // 1000

    def mono_us(self) -> int:
        return time.monotonic_ns() // 1000


class ServerTime:
    """The time of day as a server has said it, going on by our steady clock: our wall clock may be set meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._less_mono_s: float | None = None

    def heard(self, server_s: float | None) -> None:
        """It answered; None: without its time, for which ours has to do where none has said it before."""
        if server_s is not None or self._less_mono_s is None:
            said_s = server_s if server_s is not None else self._clock.wall_us() / 1e6
            self._less_mono_s = said_s - self._clock.mono_us() / 1e6

    def now_s(self) -> float | None:
        """None before the first answer."""
        return None if self._less_mono_s is None else self._clock.mono_us() / 1e6 + self._less_mono_s


@dataclass(frozen=True, slots=True)
class _Sample:
    """What one probe says: the gateway's clock minus our monotonic one lies in `low_us..high_us`."""

    at_us: int
    low_us: int
    high_us: int

    @property
    def rtt_us(self) -> int:
        return self.high_us - self.low_us


#: Drift between two crystals over the window, at a generous 100 ppm, plus the reading of the clocks itself.
_SLACK_US = 10_000


class OffsetEstimator:
    """The gateway's wall clock minus our monotonic clock, from the probe with the shortest round trip of late.

    Half of a round trip's asymmetry is the error, so the shortest is the best. A probe whose bounds contradict
    an older one's shows that the gateway's clock has stepped; the older ones are then forgotten.
    """

    def __init__(self, window_us: int = 60_000_000, most: int = 64) -> None:
        self._window_us = window_us
        self._samples: deque[_Sample] = deque(maxlen=most)
        #: Add to our monotonic clock for the gateway's; None until a probe has been answered.
        self.offset_us: int | None = None

    def answered(self, *, sent_us: int, received_us: int, replied_us: int, now_us: int) -> None:
        """Take a probe's answer: `sent_us`, `now_us` on our monotonic clock, the others on the gateway's.

        Answers that cannot be (from our future, or with negative times) are ignored.
        """
        if not (0 <= sent_us <= now_us) or replied_us < received_us:
            return
        new = _Sample(now_us, replied_us - now_us, received_us - sent_us)
        if new.rtt_us < 0:  # the gateway's clock stepped back while it answered
            self._samples.clear()
            self.offset_us = None
            return
        kept = [
            old
            for old in self._samples
            if now_us - old.at_us <= self._window_us
            and old.low_us <= new.high_us + _SLACK_US
            and new.low_us <= old.high_us + _SLACK_US
        ]
        self._samples.clear()
        self._samples.extend((*kept, new))
        best = min(self._samples, key=lambda sample: sample.rtt_us)
        self.offset_us = (best.low_us + best.high_us) // 2

    @property
    def rtt_us(self) -> int | None:
        """The latest probe's round trip, less the gateway's own time."""
        return self._samples[-1].rtt_us if self._samples else None
