"""How much TCP keeps in flight, as far as it decides how old a frame gets: slow start, CUBIC (RFC 9438), and the bound
of BBR. Pure; acknowledgements and losses are told with their times. The stream that asks is in `stream`.
"""

from typing import Literal, Protocol, get_args

SEGMENT_BYTES = 1448  #: payload of a full TCP segment with time stamps
Law = Literal["cubic", "bbr"]
LAWS: tuple[str, ...] = get_args(Law)
_FIRST_WINDOW_BYTES = 10 * SEGMENT_BYTES  # RFC 6928
_BETA, _C = 0.7, 0.4  # RFC 9438, sections 4.6 and 4.1


class Window(Protocol):
    """`bytes` may be in flight. `acked(limited=)` is whether the window, not the camera, was what held sending up."""

    bytes: float

    def acked(self, now_us: float, acked_bytes: int, *, limited: bool, queue_us: float) -> None: ...

    def lost(self, now_us: float) -> None: ...


class Cubic:
    """Slow start that ends at the first loss, or when the queue shows (HyStart), then CUBIC."""

    def __init__(self, rtt_us: float) -> None:
        self.bytes: float = _FIRST_WINDOW_BYTES
        self._rtt_us = rtt_us
        self._threshold = float("inf")
        self._most = 0.0
        self._since_us: float | None = None
        self._from = 0.0
        self._again_us = 0.0
        self._round_ends_us, self._round_least_us = 0.0, float("inf")
        # HyStart's bound: an eighth of the round trip, between 4 and 16 ms.
        self._shows_us = min(max(rtt_us / 8, 4000.0), 16_000.0)

    def acked(self, now_us: float, acked_bytes: int, *, limited: bool, queue_us: float) -> None:
        if not limited:
            self._since_us = None  # time spent idle is no time to grow in
            return
        if self.bytes < self._threshold:
            self._slow_start(now_us, acked_bytes, queue_us)
            return
        if self._since_us is None:
            self._since_us, self._from = now_us, self.bytes
            self._most = max(self._most, self.bytes)
        seconds = (now_us - self._since_us) / 1e6
        most, start = self._most / SEGMENT_BYTES, self._from / SEGMENT_BYTES
        k_s = (max(most - start, 0.0) / _C) ** (1 / 3)
        cubic = _C * (seconds + self._rtt_us / 1e6 - k_s) ** 3 + most
        # RFC 9438, section 4.3: never slower than Reno would be.
        reno = start + 3 * (1 - _BETA) / (1 + _BETA) * (now_us - self._since_us) / self._rtt_us
        self.bytes = max(self.bytes, min(max(cubic, reno) * SEGMENT_BYTES, 1.5 * self.bytes))

    def _slow_start(self, now_us: float, acked_bytes: int, queue_us: float) -> None:
        """HyStart: it ends when even the shortest wait of a round trip shows a queue."""
        self.bytes += acked_bytes
        self._round_least_us = min(self._round_least_us, queue_us)
        if now_us >= self._round_ends_us:
            if self._round_least_us > self._shows_us and self._round_ends_us:
                self._threshold = self.bytes
            self._round_ends_us, self._round_least_us = now_us + self._rtt_us + queue_us, float("inf")

    def lost(self, now_us: float) -> None:
        """Once a round trip."""
        if now_us < self._again_us:
            return
        self._again_us = now_us + self._rtt_us
        self._most = self.bytes if self.bytes >= self._most else self.bytes * (1 + _BETA) / 2  # fast convergence
        self.bytes = max(self.bytes * _BETA, 2.0 * SEGMENT_BYTES)
        self._threshold = self.bytes
        self._since_us, self._from = now_us, self.bytes


class Bbr:
    """BBR as a bound: it doubles to twice what the link holds in flight and does not mind loss. It never probes."""

    def __init__(self, rtt_us: float, rate_bps: float) -> None:
        self._bound = max(2 * rate_bps / 8e6 * rtt_us, 4 * SEGMENT_BYTES)
        self.bytes: float = min(_FIRST_WINDOW_BYTES, self._bound)

    def acked(self, now_us: float, acked_bytes: int, *, limited: bool, queue_us: float) -> None:
        if limited:
            self.bytes = min(self.bytes + acked_bytes, self._bound)

    def lost(self, now_us: float) -> None:
        pass


def window(law: Law, rtt_us: float, rate_bps: float) -> Window:
    rtt_us = max(rtt_us, 1000.0)
    return Bbr(rtt_us, rate_bps) if law == "bbr" else Cubic(rtt_us)
