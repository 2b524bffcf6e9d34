"""What a sender is told at most, so that its pictures do not queue. Browsers' own congestion control goes up until a
thin link is full, lets it drain and goes up again; once it is known where the link is full, it is told (REMB) to stay
somewhat below, and now and then tried with somewhat more. Where nothing queues there is no ceiling. Pure.
"""

from collections import deque
from typing import NamedTuple

#: The delay of each picture's first packet is compared with the least of a minute: routes change, clocks drift.
BASE_S = 60.0
#: A queue stands if for so long, and so many pictures, each waited for so much longer than is usual, as seen over so
#: long: on a link that jitters it is usual to wait.
STANDS_S, STANDS, FULL_S, USUAL_S = 0.3, 3, 0.03, 10.0
#: Of what came through meanwhile. What was sent beyond drains, and pictures of different sizes have room.
PART = 0.85
#: It holds for so long, and twice as long each time that about as much is found again: what was seen once may have been
#: another's traffic.
FIRST_HOLD_S, MOST_HOLD_S, SAME = 10.0, 80.0, 0.3
#: Then the sender is let send so many times what came through, for so long, or until so many pictures in a row have
#: waited. If more than ever comes through and none waits the link has become faster: there is no ceiling any more.
TRIED, TRIED_S, TOO_MUCH = 1.15, 2.0, 2
#: Below a ceiling a queue is a link that has become thinner only if it grows by so much each second, and what comes is
#: less than this part of the ceiling: busy hosts make wait, too, and it would go down with each of their pauses.
GROWS, LESS = 0.15, 0.8
#: What follows from a lower one is waited for.
SETTLE_S = 0.5
_WRAP_S = 64.0


class _Picture(NamedTuple):
    at: float
    bytes: int  # that had come before it, since the beginning
    waited_s: float


class Ceiling:
    """One sender's. `bps` is None where there is none."""

    def __init__(self) -> None:
        self.bps: float | None = None
        self._sent_s: float | None = None  # unwrapped
        self._bases: deque[tuple[float, float]] = deque()  # (when, delay), delays ascending
        self._usual_s = 0.0
        self._at: float | None = None
        self._waited: deque[_Picture] = deque()  # the last in a row that waited
        self._free = True  # one has not waited since the ceiling was set: what waits is of our making
        self._full_bps = 0.0  # what the link carried when it was full last
        self._hold_s = FIRST_HOLD_S
        self._try_at = self._look_at = 0.0
        self._tried: _Picture | None = None  # the first since then

    def picture(self, came_bytes: int, abs_send_time: int, now: float) -> bool:
        """The first packet of a picture, sent at `abs_send_time` (6.18 bits, seconds, wrapping), has come at `now`
        (seconds, any steady clock), and `came_bytes` before it. Whether `bps` has changed.
        """
        waited_s = self._waited_s(abs_send_time, now)
        if waited_s <= FULL_S + self._usual_s:
            self._waited.clear()
            self._free = True
        else:
            self._waited.append(_Picture(now, came_bytes, waited_s))
        if self._tried and len(self._waited) >= TOO_MUCH:
            self._bound(self._full_bps, now)
            return True
        if self._waited and now >= self._look_at and self._stands():
            first, last = self._waited[0], self._waited[-1]
            lasted_s = last.at - first.at
            came_bps = (last.bytes - first.bytes) * 8 / lasted_s
            grows = last.waited_s - first.waited_s > GROWS * lasted_s
            if self._free if self.bps is None else grows and came_bps < LESS * self.bps:
                self._bound(came_bps, now)
                return True
        past_s = min(now - self._at, 1.0) if self._at is not None else 0.0
        self._usual_s += (waited_s - self._usual_s) * past_s / USUAL_S
        self._at = now
        return self.bps is not None and now >= self._try_at and self._try(_Picture(now, came_bytes, waited_s))

    def _waited_s(self, abs_send_time: int, now: float) -> float:
        sent_s = abs_send_time / (1 << 18)
        if self._sent_s is not None:
            sent_s = self._sent_s + (sent_s - self._sent_s + _WRAP_S / 2) % _WRAP_S - _WRAP_S / 2
        self._sent_s = sent_s
        delay_s = now - sent_s
        while self._bases and self._bases[-1][1] >= delay_s:
            self._bases.pop()
        self._bases.append((now, delay_s))
        while self._bases[0][0] < now - BASE_S:
            self._bases.popleft()
        return delay_s - self._bases[0][1]

    def _stands(self) -> bool:
        waited = self._waited
        while len(waited) > STANDS and waited[-1].at - waited[1].at >= STANDS_S:
            waited.popleft()
        return len(waited) >= STANDS and waited[-1].at - waited[0].at >= STANDS_S

    def _bound(self, full_bps: float, now: float) -> None:
        same = abs(full_bps - self._full_bps) <= SAME * self._full_bps
        self._hold_s = min(2 * self._hold_s, MOST_HOLD_S) if same else FIRST_HOLD_S
        self.bps, self._full_bps = PART * full_bps, full_bps
        self._try_at, self._look_at = now + self._hold_s, now + SETTLE_S
        self._free, self._tried = False, None
        self._waited.clear()

    def _try(self, last: _Picture) -> bool:
        if (first := self._tried) is None:
            self.bps, self._tried, self._try_at = TRIED * self._full_bps, last, last.at + TRIED_S
        else:
            came_bps = (last.bytes - first.bytes) * 8 / (last.at - first.at)
            self.bps = None if came_bps > self._full_bps else PART * self._full_bps
            self._tried, self._try_at = None, last.at + self._hold_s
        return True
