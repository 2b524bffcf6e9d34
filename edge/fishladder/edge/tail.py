"""Which of a camera's own pictures are passed on where its stream is too much: the first ones of each group, as many as
a rate pays for, or keyframes alone. Pure. What is passed on can always be decoded: a group is only ever cut short, in
decode order, and goes on where a decoder may start.
"""

from collections import deque

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.rate.passing import Flow, Keep
from fishladder.wire.unit import Codec

#: What may be sent ahead of the rate, in seconds of it: more would wait for the link.
BURST_S = 1.0
#: What was not used is kept for so long.
SAVED_S = 0.1
#: Rates are measured over so long, and not before so long.
WINDOW_S, LEAST_S = 8.0, 1.0


class Tail:
    """One stream's. Times are those of the units, on the system's monotonic clock."""

    def __init__(self) -> None:
        self.keep: Keep = "all"
        self.rate_bps = 0.0
        self.hold = False  #: pass on nothing
        self._cut = False
        self._credit_bits = 0.0
        self._at_us: int | None = None

    def passes(self, unit: CapturedUnit) -> bool:
        """Whether a unit is passed on; to be asked of each, in decode order."""
        self._earn(unit.mono_us)
        bits = len(unit.payload) * 8
        if self.hold:
            self._cut = True
        elif self.keep == "all":
            self._cut &= not unit.entry_point
        elif unit.entry_point:
            self._cut = self._credit_bits < 0
        elif not self._cut:
            self._cut = self.keep == "keyframes" or self._credit_bits < bits - self.rate_bps * BURST_S
        if not self._cut:
            self._credit_bits -= bits
        return not self._cut

    def begin(self) -> None:
        """The stream takes over from another at a unit that is passed on."""
        self._cut, self._credit_bits, self._at_us = False, 0.0, None

    def wait(self) -> None:
        """Pass on nothing before the next unit where a decoder may start."""
        self._cut = True

    def _earn(self, at_us: int) -> None:
        if self._at_us is not None:
            earned = self.rate_bps * max(at_us - self._at_us, 0) / 1e6
            self._credit_bits = min(self._credit_bits + earned, self.rate_bps * SAVED_S)
        self._at_us = at_us
        if self.keep == "all":
            self._credit_bits = max(self._credit_bits, -self.rate_bps * BURST_S)


class Measured:
    """How much a stream is, whether it is passed on or not."""

    def __init__(self) -> None:
        self._units: deque[tuple[int, int, bool]] = deque()
        self._bytes = self._keyframe_bytes = 0

    def add(self, unit: CapturedUnit) -> None:
        key = unit.entry_point and unit.codec is not Codec.JPEG
        self._units.append((unit.mono_us, len(unit.payload), key))
        self._count(len(unit.payload), key)
        while self._units[0][0] < unit.mono_us - WINDOW_S * 1e6:
            _, size, was_key = self._units.popleft()
            self._count(-size, was_key)

    def _count(self, size: int, key: bool) -> None:
        self._bytes += size
        self._keyframe_bytes += size if key else 0

    @property
    def flow(self) -> Flow:
        """Zeros as long as too little was seen."""
        span_s = (self._units[-1][0] - self._units[0][0]) / 1e6 if self._units else 0.0
        if span_s < LEAST_S:
            return Flow()
        return Flow(self._bytes * 8 / span_s, self._keyframe_bytes * 8 / span_s)
