"""Decodes one camera's units and says of each what came of it: a picture, or a fate. A picture is given only if it is
bit for bit what an uninterrupted decode would have shown; whatever cannot be that is settled with the reason. Which
units to read, where to start and which pictures to analyse is the caller's business, as is the contiguous cursor.
"""

from typing import NamedTuple

import av

from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec


class Picture(NamedTuple):
    """The unit `seq` was wanted, and this is its picture (planes as the codec made them, typically yuv420p)."""

    seq: int
    frame: av.VideoFrame


class Settled(NamedTuple):
    """The unit `seq` gives no picture to analyse: NO_PICTURE, UNDECODABLE, NO_REFERENCE or SAMPLED_OUT."""

    seq: int
    fate: Fate


Outcome = Picture | Settled


class CameraDecoder:
    """One camera's decoder for one epoch. Synchronous and single-threaded: call it from one compute thread.

    Every seq pushed without `context` comes out exactly once, at the latest from `drain`, but not in seq order: units
    go in in decode order and pictures come out in display order. Context seqs never come out. Bad bytes are
    an outcome, never an exception.

        decoder = CameraDecoder()
        for unit in log:                                        # from the clean point at or before the cursor
            outcomes = decoder.push(unit.seq, codec=unit.codec, payload=unit.data, context=unit.seq <= cursor, wanted=...)
        outcomes = decoder.drain()                              # the epoch has ended
    """

    def __init__(self, *, keyframes_only: bool = False) -> None:
        """`keyframes_only`: decode clean units alone; all others are settled SAMPLED_OUT without being decoded."""

    @property
    def primed(self) -> bool:
        """Whether the next unit may refer to those before it. False at first, after `drain`, and after `lose` or an
        undecodable reference, until a clean unit (or a recovery point that has recovered) was pushed. While it is
        False, units that are not clean are settled NO_REFERENCE, so a caller starts at a clean point.
        """

    @property
    def pending(self) -> int:
        """How many seqs (context aside) were pushed and have not come out yet. Bounded by 32."""

    def push(
        self, seq: int, *, codec: Codec, payload: bytes | memoryview, context: bool = False, wanted: bool = True
    ) -> list[Outcome]:
        """Decode one unit; seqs ascend, in decode order. Returns what has become of this or of earlier units.

        `context`: decode it only for those that follow. `wanted`: give its picture; else it is SAMPLED_OUT once decoded.
        """

    def lose(self) -> None:
        """Say that units which later ones may refer to are gone (a range of LOG_LOST, SHED after encoding). What
        follows is NO_REFERENCE until the next clean unit or recovery. What was pushed before stays exact.
        """

    def drain(self) -> list[Outcome]:
        """Take everything out of the decoder: the epoch has ended, or the camera fell idle. Afterwards nothing is
        pending and `primed` is False.
        """
