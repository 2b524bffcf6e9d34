"""What can be told of a unit without decoding it. Each codec's file fills this in; what follows from it (where to
start, what to keep, what is exact) is decided by those who ask.
"""

from typing import NamedTuple

from fishladder.wire.unit import NO_FLAGS, Flag


class Access(NamedTuple):
    """A unit as its headers describe it."""

    idr: bool = False  #: it makes the decoder forget all pictures before it (an IDR, a keyframe)
    recovery: int | None = None  #: a decoder may start here and is exact this many reference pictures later
    reference: bool = True  #: others may refer to it; True where the headers cannot rule it out
    picture: bool = True  #: it shows a picture (parameter sets alone do not, nor does a hidden frame)
    parameter_sets: bytes = b""  #: VPS, SPS and PPS found in it, in order, each behind a 4-byte start code
    complete: bool = False  #: it carries every kind of parameter set its codec has
    slice_at: int | None = None  #: H.264: where the first slice's NAL header stands
    rasl: bool = False  #: H.265: a leading picture that cannot be decoded when decoding starts at its CRA or BLA

    @property
    def clean(self) -> bool:
        """A decoder may start here and miss nothing that follows."""
        return self.idr and self.complete

    @property
    def flags(self) -> Flag:
        """CLEAN or RECOVERY as the unit's header carries them: both promise that the parameter sets are there."""
        if not self.complete:
            return NO_FLAGS
        if self.idr:
            return Flag.CLEAN
        return NO_FLAGS if self.recovery is None else Flag.RECOVERY
