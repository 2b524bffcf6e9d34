"""Puts packets of one sequence in order. Measured in time, not in packets: a keyframe of thousands of packets is no
trouble, and a hole is waited for so long and no longer. Pure. Who asks for what is missing is `nack`.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from fishladder.gateway.webrtc.rtp import step

T = TypeVar("T")

#: A hole is waited for so long (retransmission), then it is given up; longer where an answer is known to take longer.
HOLE_S, MOST_HOLE_S = 0.25, 1.0
_MOST_ABANDONED = 256
#: Packets held behind a hole; a keyframe of 4 MB has about 3500.
MOST_HELD = 4096
#: More missing at once than this no retransmission makes good: what came before is given up.
MOST_MISSING = 512


@dataclass(slots=True)
class Missing:
    since: float
    number: int = 0  #: its unwrapped sequence number
    asked: int = 0
    asked_at: float = 0.0
    first_asked_at: float = 0.0


class Reorder(Generic[T]):
    """Items come out in order, None standing for a hole given up. `missing` is by unwrapped number, ascending."""

    def __init__(self, first: int) -> None:
        """`first` is the sequence number that is wanted first."""
        self.missing: dict[int, Missing] = {}
        self.hole_s = HOLE_S
        self.given_up = 0  #: packets
        self.late = 0  #: packets that came after they were given up, or twice
        self._next = first
        self._highest = first - 1
        self._held: dict[int, T] = {}
        self._abandoned: dict[int, Missing] = {}  # the last holes given up: how late would they have been filled?

    def passes(self, seq: int) -> bool:
        """The packet with the wrapped number `seq` is next and nothing is missing, as most often. It is then taken."""
        if self.missing or self._held or seq != self._next & 0xFFFF:
            return False
        self._highest = max(self._highest, self._next)
        self._next += 1
        return True

    def push(self, seq: int, item: T, now: float) -> list[T | None]:
        """Take the packet with the wrapped number `seq`. Returns what is in order now."""
        if self.passes(seq):
            return [item]
        at = self._next + step(seq - self._next, 16)
        if at < self._next or at in self._held:
            self.late += 1
            return []
        out: list[T | None] = []
        if at - self._next >= MOST_HELD or at - self._highest > MOST_MISSING:
            self._restart(at, out)
        if at > self._highest:
            for seq in range(self._highest + 1, at):
                self.missing[seq] = Missing(now, seq)
            self._highest = at
        else:
            self.missing.pop(at, None)
        self._held[at] = item
        self._advance(out)
        if len(self.missing) > MOST_MISSING:
            self._pass_hole(now + self.hole_s, out)
        return out

    def hole(self, seq: int) -> Missing | None:
        """The hole that the packet with the wrapped number `seq` fills, or would have filled in time."""
        at = self._next + step(seq - self._next, 16)
        return self.missing.get(at) or self._abandoned.pop(at, None)

    def expire(self, now: float) -> list[T | None]:
        """Give up holes that are too old. Returns what is in order now."""
        out: list[T | None] = []
        if self.missing:
            self._pass_hole(now, out)
        return out

    @property
    def expires_at(self) -> float:
        """When `expire` has something to do; infinity if there is no hole."""
        first = next(iter(self.missing.values()), None)
        return float("inf") if first is None else first.since + self.hole_s

    def _pass_hole(self, now: float, out: list[T | None]) -> None:
        while (hole := self.missing.get(self._next)) is not None and now - hole.since >= self.hole_s:
            while (hole := self.missing.get(self._next)) is not None and now - hole.since >= self.hole_s:
                self._abandoned[self._next] = self.missing.pop(self._next)
                self._next += 1
                self.given_up += 1
            while len(self._abandoned) > _MOST_ABANDONED:
                del self._abandoned[next(iter(self._abandoned))]
            out.append(None)
            self._advance(out)

    def _advance(self, out: list[T | None]) -> None:
        while (item := self._held.pop(self._next, None)) is not None:
            self._next += 1
            out.append(item)

    def _restart(self, at: int, out: list[T | None]) -> None:
        """The sender is far ahead: what is held comes out with its holes, and `at` is next."""
        for held in sorted(self._held):
            if held != self._next:
                out.append(None)
            out.append(self._held[held])
            self._next = held + 1
        out.append(None)
        self.given_up += at - self._next
        self._held.clear()
        self.missing.clear()
        self._next, self._highest = at, at - 1
