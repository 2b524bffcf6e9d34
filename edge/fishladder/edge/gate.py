"""The gate: of the pictures chosen to be sent, only those around motion, and one now and then to show that the camera
lives. Pure. What it holds back waits a moment as pre-roll, in order, before its fate is declared.
"""

from collections import deque
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

import msgspec

from fishladder.edge.motion import Ignored
from fishladder.wire.fates import Fate

#: Most pictures held as pre-roll, and most pixels in all: raw pictures are large.
_MOST_HELD = 256
_MOST_PIXELS = 30_000_000

P = TypeVar("P")


class GateSettings(msgspec.Struct, frozen=True):
    """`keepalive_s`: a picture is sent so often while nothing moves, 0 = never. `hold_s`: the gate stays open for so
    long after the last motion. `preroll_s`: what was captured so shortly before the motion is sent as well.
    `warmup_s`: everything is sent at first, while the background is learnt.
    """

    keepalive_s: float = 60.0
    preroll_s: float = 1.0
    hold_s: float = 5.0
    warmup_s: float = 10.0
    sensitivity: float = 1.0
    ignore: tuple[Ignored, ...] = ()


class Sent(NamedTuple, Generic[P]):
    """To be encoded, `keyframe`: as a keyframe."""

    picture: P
    keyframe: bool


class _Waiting(NamedTuple, Generic[P]):
    picture: P | None  # None: it was not chosen in the first place
    at_us: int
    pixels: int


class Gate(Generic[P]):
    """Every picture goes in by `take` or `pass_over`; each comes out exactly once, in order, as `Sent` or as its fate,
    from these or from `close`. Times are of one monotonic clock.
    """

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings
        self._waiting: deque[_Waiting[P]] = deque()
        self._pixels = 0
        self._open_until_us: int | None = None
        self._sent_us = 0
        self._quiet = False

    @property
    def open(self) -> bool:
        return not self._quiet

    def take(self, picture: P, *, moving: bool, at_us: int, pixels: int) -> Iterator["Sent[P] | Fate"]:
        """A picture chosen to be sent."""
        if self._open_until_us is None:
            self._open_until_us = at_us + _us(self._settings.warmup_s)
        if moving:
            self._open_until_us = max(self._open_until_us, at_us + _us(self._settings.hold_s))
        if at_us < self._open_until_us:
            yield from self._overdue(at_us)
            yield from self._release()
            keyframe, self._quiet = self._quiet, False
            self._sent_us = at_us
            yield Sent(picture, keyframe)
        elif self._settings.keepalive_s and at_us - self._sent_us >= _us(self._settings.keepalive_s):
            yield from self.close()
            self._quiet = True
            self._sent_us = at_us
            yield Sent(picture, True)
        else:
            self._quiet = True
            self._wait(_Waiting(picture, at_us, pixels))
            yield from self._overdue(at_us)

    def pass_over(self, at_us: int) -> Iterator[Fate]:
        """A picture that was not chosen: its turn comes after those that wait."""
        self._wait(_Waiting(None, at_us, 0))
        yield from self._overdue(at_us) if self._quiet else self.close()

    def close(self) -> Iterator[Fate]:
        """Nothing of what waits will be sent."""
        while self._waiting:
            yield self._next().fate

    def _release(self) -> Iterator["Sent[P] | Fate"]:
        while self._waiting:
            fate, picture = self._next()
            if picture is None:
                yield fate
            else:
                keyframe, self._quiet = self._quiet, False
                yield Sent(picture, keyframe)

    def _overdue(self, now_us: int) -> Iterator[Fate]:
        oldest_us = now_us - _us(self._settings.preroll_s)
        while self._waiting and (
            self._waiting[0].at_us < oldest_us or len(self._waiting) > _MOST_HELD or self._pixels > _MOST_PIXELS
        ):
            yield self._next().fate

    def _wait(self, waiting: _Waiting[P]) -> None:
        self._waiting.append(waiting)
        self._pixels += waiting.pixels

    def _next(self) -> "_Out[P]":
        waiting = self._waiting.popleft()
        self._pixels -= waiting.pixels
        return _Out(Fate.SAMPLED_OUT if waiting.picture is None else Fate.GATED, waiting.picture)


class _Out(NamedTuple, Generic[P]):
    fate: Fate
    picture: P | None


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
