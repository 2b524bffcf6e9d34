"""What went onto a link and was acknowledged in the last two seconds, and what a second of it comes to. Pure."""

from collections import deque
from typing import NamedTuple

_KEEP_S = 2.0
#: The delay of the quickest unit of so long, and of so many, is that of a standing queue: a keyframe's own length on
#: the wire delays those behind it, never all. (The idea is CoDel's, RFC 8289.)
WINDOW_S, WINDOW_UNITS = 0.4, 3
#: Less than this is too little to tell.
_LEAST_S = 0.2


class Ack(NamedTuple):
    at_s: float
    delay_s: float
    bytes: int
    carried: int  # with what came before it


class Lately:
    """One connection's. Times in seconds on one clock."""

    def __init__(self) -> None:
        self.acks: deque[Ack] = deque()
        self.since_s = 0.0  #: there was a pause until then
        self._sent: deque[tuple[float, int]] = deque()

    def sent(self, size: int, now_s: float) -> None:
        """So many bytes of live units were handed to the link."""
        self._sent.append((now_s, size))

    def forget(self, now_s: float) -> None:
        """What is older, but for the last few units."""
        while len(self.acks) > WINDOW_UNITS and self.acks[0].at_s < now_s - _KEEP_S:
            self.acks.popleft()
        while self._sent and self._sent[0][0] < now_s - _KEEP_S:
            self._sent.popleft()

    @property
    def longest_s(self) -> float:
        """What units took at most."""
        return max((ack.delay_s for ack in self.acks), default=0.0)

    def sent_since(self, since_s: float) -> int:
        """Bytes."""
        return sum(size for at_s, size in self._sent if at_s > since_s)

    def sent_bps(self, now_s: float, span_s: float = 1.0) -> float:
        """Of the last `span_s`."""
        return self.sent_since(now_s - span_s) * 8 / span_s

    def uses(self, bps: float, now_s: float) -> bool:
        """Whether so much is sent, by one of two windows."""
        return any(self.sent_bps(now_s, span_s) >= bps for span_s in (0.4, 1.0))

    def came_bps(self, now_s: float, span_s: float) -> float:
        """What was acknowledged a second, in the last `span_s`; a pause does not count."""
        span_s = min(span_s, max(now_s - self.since_s, _LEAST_S))
        acks = [ack for ack in self.acks if ack.at_s > now_s - span_s]
        if len(acks) < WINDOW_UNITS:
            acks = list(self.acks)[-WINDOW_UNITS:]
        passed_s = max(now_s - acks[0].at_s, span_s / 2)
        return sum(ack.carried for ack in acks[1:]) * 8 / passed_s

    def drained_bps(self, since_s: float, now_s: float) -> float:
        """What came a second of all that was on its way at `since_s`: the link was full of it. Where that is too little
        to tell, of all that came since.
        """
        acks = [ack for ack in self.acks if ack.at_s > since_s]
        piled = [ack for ack in acks if ack.at_s - ack.delay_s < since_s]
        if len(piled) > WINDOW_UNITS and (took_s := piled[-1].at_s - piled[0].at_s) >= _LEAST_S:
            return sum(ack.carried for ack in piled[1:]) * 8 / took_s
        return sum(ack.carried for ack in acks) * 8 / max(now_s - since_s, _LEAST_S)

    def recent(self, now_s: float) -> list[Ack]:
        """Those by which a standing queue is told."""
        within = [ack for ack in self.acks if ack.at_s > now_s - WINDOW_S]
        return within if len(within) >= WINDOW_UNITS else list(self.acks)[-WINDOW_UNITS:]
