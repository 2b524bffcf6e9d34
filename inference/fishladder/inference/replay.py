"""How much of a camera's log is kept behind its cursor, so that a decoder can start again: from the clean point at or
before the next unit, within a bound. Pure; decides only, trimming and asking for keyframes is for others.
"""

from collections import deque
from typing import NamedTuple

from fishladder.wire.ids import Position

#: The bound: time between the first and the last unit kept behind the cursor, and their bytes, of one camera and, as a
#: part of the frame store's memory, of all.
KEEP_US = 10_000_000
KEEP_BYTES = 8 * 1024 * 1024
KEEP_SHARE = 0.5
#: How long a keyframe that was asked for may take before what is over the bound goes, in seconds: where it is only the
#: time that is over, which presses nobody while a link is away, and where it is memory.
PATIENCE_S, MEMORY_PATIENCE_S = 20.0, 2.0


class Kept(NamedTuple):
    """A unit in the log. `recovery`: a decoder may start here too, and is exact some pictures later."""

    position: Position
    size_bytes: int
    captured_us: int
    clean: bool
    recovery: bool


def keep_bytes(limit_bytes: int, cameras: int) -> int:
    """The bound in bytes of each of so many cameras in a frame store with such a memory limit, 0 = none: what is kept
    is not trimmed for memory, so that without one for all together it would fill the store, and nothing come in.
    """
    return min(int(limit_bytes * KEEP_SHARE) // max(cameras, 1), KEEP_BYTES) if limit_bytes else KEEP_BYTES


class Replay:
    """The units in the log as far as they were read: those up to the cursor, and those ahead of it."""

    def __init__(self) -> None:
        self._behind: deque[Kept] = deque()
        self._ahead: deque[Kept] = deque()
        self._behind_bytes = 0
        self._over_since: float | None = None
        self.keep_bytes = KEEP_BYTES  #: the bound, set by who knows how many cameras there are

    def add(self, unit: Kept) -> None:
        """A unit was read from the log; ones read before are ignored."""
        last = self._ahead or self._behind
        if not last or unit.position > last[-1].position:
            self._ahead.append(unit)

    @property
    def begun(self) -> bool:
        """Whether any unit was read: before that nobody knows what the log holds behind the cursor."""
        return bool(self._behind or self._ahead)

    @property
    def replayable(self) -> bool:
        """Whether a decoder that starts anew from what is kept misses nothing of what comes after the last unit."""
        first = self._behind or self._ahead
        return bool(first) and (first[0].clean or any(unit.clean for unit in self._ahead))

    @property
    def keyframe_wanted(self) -> bool:
        """The bound is exceeded: only a new clean point helps."""
        return self._over_since is not None

    def advance(self, cursor: Position, now: float) -> Position:
        """Everything up to `cursor` is committed; return the first position the log has to keep."""
        while self._ahead and self._ahead[0].position <= cursor:
            unit = self._ahead.popleft()
            if unit.clean:
                self._clear()
            self._behind.append(unit)
            self._behind_bytes += unit.size_bytes
        following = Position(cursor.epoch, cursor.seq + 1)
        if self._behind and self._behind[-1].position.epoch != cursor.epoch:
            self._clear()
        if self._ahead and self._ahead[0].position == following and self._ahead[0].clean:
            self._clear()
        if not self._over():
            self._over_since = None
        elif self._over_since is None:
            self._over_since = now
        elif now - self._over_since >= (MEMORY_PATIENCE_S if self._too_large else PATIENCE_S):
            self._cut()
        if self._behind:
            return self._behind[0].position
        return following if cursor.seq else cursor

    def _clear(self) -> None:
        self._behind.clear()
        self._behind_bytes = 0

    def _over(self) -> bool:
        if not self._behind:
            return False
        span_us = self._behind[-1].captured_us - self._behind[0].captured_us
        return span_us > KEEP_US or self._too_large

    @property
    def _too_large(self) -> bool:
        return self._behind_bytes > self.keep_bytes

    def _cut(self) -> None:
        """Give up what is over the bound, and what comes before the first recovery point within it."""
        while self._over():
            self._behind_bytes -= self._behind.popleft().size_bytes
        if any(unit.recovery for unit in self._behind):
            while not self._behind[0].recovery:
                self._behind_bytes -= self._behind.popleft().size_bytes
