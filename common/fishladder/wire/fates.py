"""What became of a captured frame. Every sequence number gets exactly one fate, and the codes below are on the
wire and in the stores: they are never reused for another meaning.
"""

from enum import IntEnum
from typing import NamedTuple


class Fate(IntEnum):
    """The fate of one sequence number. `DEFERRED` is the one value that is not yet a fate."""

    INFERRED = 1  #: its result is committed

    SAMPLED_OUT = 16  #: skipped: not chosen by `fps` or `analyse`
    GATED = 17  #: skipped: no motion
    NO_PICTURE = 18  #: skipped: a unit that shows nothing
    EXPIRED = 19  #: skipped: past its deadline under policy `fresh`

    SHED = 32  #: dropped: the link was too thin, or a WHIP session had no credit
    ENCODER = 33  #: dropped: the encoder (or the process it ran in) failed on it
    SPOOL_FULL = 34  #: dropped: no room left to keep it on the camera host
    SPOOL_LOST = 35  #: dropped: the camera host lost its memory of it
    UNDECODABLE = 36  #: dropped: the decoder refused it
    NO_REFERENCE = 37  #: dropped: what it refers to is gone
    LOG_LOST = 38  #: dropped: the frame log lost it and nobody can send it again
    STATE_LOST = 39  #: dropped: the state store went back behind what the agent still remembers
    REMOVED = 40  #: dropped: its camera was removed

    DEFERRED = 255  #: not a fate: the unit follows in the backfill lane

    @property
    def group(self) -> str:
        """`inferred`, `skipped`, `dropped` or `deferred`."""
        if self is Fate.INFERRED:
            return "inferred"
        if self is Fate.DEFERRED:
            return "deferred"
        return "skipped" if self < 32 else "dropped"

    @property
    def label(self) -> str:
        """The lower-case reason as shown in ledgers and metrics."""
        return self.name.lower()


#: Fates an agent may declare for what it does not send.
DECLARABLE = frozenset(Fate) - {Fate.INFERRED, Fate.UNDECODABLE, Fate.NO_REFERENCE, Fate.REMOVED}

#: Fates of what had been encoded and is gone, or comes another way: what follows may refer to it.
WERE_ENCODED = frozenset({Fate.SPOOL_FULL, Fate.SPOOL_LOST, Fate.LOG_LOST, Fate.STATE_LOST, Fate.DEFERRED})


class Run(NamedTuple):
    """Consecutive sequence numbers `first..last` (inclusive) with one fate."""

    fate: Fate
    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1
