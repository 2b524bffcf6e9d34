"""How much TCP keeps in flight, as far as it decides how old a frame gets: slow start, CUBIC (RFC 9438), and BBR.
Pure; acknowledgements and losses are told with their times. The stream that asks is in `stream`.
"""

from collections import deque
from random import Random
from typing import Literal, Protocol, get_args

SEGMENT_BYTES = 1448  #: payload of a full TCP segment with time stamps
Law = Literal["cubic", "bbr"]
LAWS: tuple[str, ...] = get_args(Law)
_FIRST_WINDOW_BYTES = 10 * SEGMENT_BYTES  # RFC 6928
# Cardwell and others, "BBR: congestion-based congestion control", 2016, as Linux has it.
_STARTUP_GAIN = 2.89
_CYCLE = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
_ROUNDS_KEPT = 10
# What comes in bunches, of five to ten round trips, and at most of so long.
_EXTRA_ROUNDS, _MOST_EXTRA_US = 5, 100e3
# The least round trip is believed for so long; then, unless the connection was idle anyway, next to nothing is sent for
# a moment, so that the queue drains and it can be seen again.
_LEAST_HOLDS_US, _LOOK_US, _LOOK_BYTES = 10e6, 200e3, 4.0 * SEGMENT_BYTES
# Hosts add up to so much to it, never twice the same: without, a line without jitter would show its least again and
# again, and nothing would ever have to be looked for. Real agents on one saw it fall by 300 us within 20 s.
_HOSTS_US = 300.0
# A burst to the network card is as long as what is paced in about a millisecond; three may be on their way to it.
_BURST_US, _MOST_BURST_BYTES, _BURSTS = 1024.0, 65_535.0, 3
_BETA, _C = 0.7, 0.4  # RFC 9438, sections 4.6 and 4.1


class Window(Protocol):
    """`bytes` may be in flight. Tell it of each piece that is sent (`held` if it waited for window or pace) and, in
    order, acknowledged (`limited` if not the camera but the window held sending up).
    """

    bytes: float

    def not_before(self, now_us: float) -> float:
        """When the next piece may leave."""

    def sent(self, now_us: float, size: int, in_flight: int, *, held: bool) -> None: ...

    def acked(self, now_us: float, acked_bytes: int, *, limited: bool, queue_us: float, round_us: float) -> None: ...

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

    def not_before(self, now_us: float) -> float:
        return now_us

    def sent(self, now_us: float, size: int, in_flight: int, *, held: bool) -> None:
        pass

    def acked(self, now_us: float, acked_bytes: int, *, limited: bool, queue_us: float, round_us: float) -> None:
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
    """BBR version 1 as far as it decides how fast a burst leaves: it paces by the most it saw delivered in the last ten
    round trips. What is sent into an idle connection, and until the first of it is acknowledged, is limited by the
    cameras: it may raise the rate but not lower it, and does not end the start-up, in which bursts leave faster. A
    phase that probes for more ends only when it has filled the path. Loss does not slow it down: what it holds back in
    the round trip after one is left out.
    """

    def __init__(self, rtt_us: float) -> None:
        self.bytes: float = _FIRST_WINDOW_BYTES
        self._rtt_us = rtt_us
        self._rate = _FIRST_WINDOW_BYTES / rtt_us  # bytes a microsecond
        self._gain = _STARTUP_GAIN
        self._full_rate, self._level_rounds, self._full = 0.0, 0, False
        self._samples: deque[tuple[int, float]] = deque()  # round and rate, rates descending
        self._round, self._round_ends = 0, 0
        self._phase, self._phase_us = 0, 0.0
        self._delivered, self._delivered_us, self._first_us = 0, 0.0, 0.0
        self._limited_to = 0  # what has to be delivered until the cameras limit no more
        self._in_flight = 0
        self._next_us = 0.0
        # Of each piece: when it was sent, and what a rate sample needs to know of that moment: since when its round
        # was, what had been delivered and when, and whether the cameras limited.
        self._flight: deque[tuple[float, float, int, float, bool]] = deque()
        self._least_us, self._least_at_us = float("inf"), 0.0
        self._from_idle = True  # until something of it is acknowledged
        self._looks_until_us: float | None = None  # inf: until little enough is in flight
        self._before: float = self.bytes
        self._hosts = Random(1)  # noqa: S311 - makes a host, guards nothing
        self._bunch_bytes, self._bunch_us = 0, 0.0
        self._extra, self._extra_before, self._extra_rounds = 0.0, 0.0, 0  # of these rounds, and before

    def not_before(self, now_us: float) -> float:
        return max(now_us, self._next_us)

    def sent(self, now_us: float, size: int, in_flight: int, *, held: bool) -> None:
        if not in_flight:
            self._first_us = self._delivered_us = now_us
            self._from_idle = True
        if not held:
            self._limited_to = self._delivered + in_flight or 1
        self._flight.append((now_us, self._first_us, self._delivered, self._delivered_us, bool(self._limited_to)))
        self._in_flight = in_flight + size
        pace = self._gain * self._rate
        if self._looks_until_us is not None:  # pieces are longer than what may be in flight then
            pace = min(self._rate, _LOOK_BYTES / self._least_us)
        self._next_us = (now_us if now_us > self._next_us else self._next_us) + size / pace

    def acked(self, now_us: float, acked_bytes: int, *, limited: bool, queue_us: float, round_us: float) -> None:
        at_us, first_us, delivered, delivered_us, app_limited = self._flight.popleft()
        self._delivered += acked_bytes
        self._in_flight -= acked_bytes
        if self._limited_to and self._delivered > self._limited_to:
            self._limited_to = 0
        began = delivered >= self._round_ends
        if began:
            self._round += 1
            self._round_ends = self._delivered
            self._extra_rounds += 1
            if self._extra_rounds >= _EXTRA_ROUNDS:
                self._extra_rounds, self._extra, self._extra_before = 0, 0.0, self._extra
        took_us = max(at_us - first_us, now_us - delivered_us)
        self._delivered_us, self._first_us = now_us, at_us
        if took_us >= self._least_us * 0.99:
            self._sample((self._delivered - delivered) / took_us, app_limited=app_limited)
        self._look_for_bunches(now_us, acked_bytes)
        if began and not app_limited and not self._full:
            self._look_for_the_top()
        if self._full:
            self._cycle(now_us)
        self._look_for_the_least(now_us, round_us)
        self._from_idle = False
        self._open(acked_bytes)

    def lost(self, now_us: float) -> None:
        pass

    @property
    def _round_us(self) -> float:
        """The least round trip: what the path holds is reckoned by it, queue and jitter left out."""
        return min(self._least_us, self._rtt_us)

    def _open(self, acked_bytes: int) -> None:
        """Let more be in flight, up to what the path holds by the gain; in the start-up it never gets less."""
        if self._looks_until_us is not None:
            self.bytes = _LOOK_BYTES
            return
        burst = min(self._gain * self._rate * _BURST_US, _MOST_BURST_BYTES)
        held = self._rate * self._round_us
        bursts = _BURSTS * max(burst, 2.0 * SEGMENT_BYTES)
        if self._full:
            extra = max(self._extra, self._extra_before)
            target = 2.0 * held + bursts + min(extra, self._rate * _MOST_EXTRA_US)
            self.bytes = max(min(self.bytes + acked_bytes, target), _LOOK_BYTES)
        elif self.bytes < _STARTUP_GAIN * held + bursts:
            self.bytes += acked_bytes

    def _look_for_bunches(self, now_us: float, acked_bytes: int) -> None:
        """How much more is acknowledged at a time than the rate explains: where acknowledgements come in bunches so
        much more may be in flight, or the pauses between them would be gaps.
        """
        expected = self._rate * (now_us - self._bunch_us)
        if self._bunch_bytes <= expected:
            self._bunch_bytes, self._bunch_us, expected = 0, now_us, 0.0
        self._bunch_bytes += acked_bytes
        if (extra := self._bunch_bytes - expected) > self._extra:
            self._extra = min(extra, max(self.bytes, self._extra))

    def _look_for_the_least(self, now_us: float, took_us: float) -> None:
        expired = now_us > self._least_at_us + _LEAST_HOLDS_US
        took_us += self._hosts.random() * _HOSTS_US
        if took_us <= self._least_us or expired:
            self._least_us, self._least_at_us = took_us, now_us
        if self._looks_until_us is None:
            if expired and not self._from_idle:
                self._looks_until_us, self._before = float("inf"), self.bytes
            return
        self._limited_to = max(self._delivered + self._in_flight, 1)  # what is seen now says nothing of the rate
        if self._looks_until_us == float("inf"):
            if self._in_flight <= _LOOK_BYTES:
                self._looks_until_us = now_us + _LOOK_US
        elif now_us > self._looks_until_us:
            self._looks_until_us, self._least_at_us = None, now_us
            self.bytes = max(self.bytes, self._before)

    def _cycle(self, now_us: float) -> None:
        """A phase lasts a round trip; one that probes for more until there is as much in flight as it asks for."""
        gain = _CYCLE[self._phase]
        held = self._rate * self._round_us
        ends = now_us - self._phase_us > self._round_us
        if gain > 1:
            ends = ends and self._in_flight >= gain * held
        elif gain < 1:
            ends = ends or self._in_flight <= held
        if ends:
            self._phase, self._phase_us = (self._phase + 1) % len(_CYCLE), now_us
        self._gain = _CYCLE[self._phase]

    def _sample(self, rate: float, *, app_limited: bool) -> None:
        """The most of the last ten rounds; what the camera limited counts only if it is more."""
        samples = self._samples
        if app_limited and samples and rate < samples[0][1]:
            return
        while samples and samples[-1][1] <= rate:
            samples.pop()
        samples.append((self._round, rate))
        while samples[0][0] <= self._round - _ROUNDS_KEPT:
            samples.popleft()
        self._rate = samples[0][1]

    def _look_for_the_top(self) -> None:
        """Three rounds in which the rate did not grow by a quarter: the pipe is full."""
        if self._rate >= 1.25 * self._full_rate:
            self._full_rate, self._level_rounds = self._rate, 0
            return
        self._level_rounds += 1
        self._full = self._level_rounds >= 3


def window(law: Law, rtt_us: float) -> Window:
    rtt_us = max(rtt_us, 1000.0)
    return Bbr(rtt_us) if law == "bbr" else Cubic(rtt_us)
