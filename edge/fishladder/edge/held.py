"""What a ring holds: a unit, or a range of what is not sent."""

from dataclasses import dataclass

from fishladder.edge.capture_records import CapturedUnit
from fishladder.wire.fates import Fate

#: What an entry costs besides its payload.
ENTRY_BYTES = 256


@dataclass(slots=True)
class HeldUnit:
    """A unit at `first` (= `last`). `wall_us` is our wall clock at capture, `ready_us` how long capture took."""

    first: int
    unit: CapturedUnit
    wall_us: int
    ready_us: int

    @property
    def last(self) -> int:
        return self.first

    @property
    def cost(self) -> int:
        return ENTRY_BYTES + len(self.unit.payload)


@dataclass(slots=True)
class HeldRange:
    """`first..last` are not sent, because of `fate`. The times are those of its first picture."""

    first: int
    last: int
    fate: Fate
    mono_us: int
    wall_us: int

    cost = ENTRY_BYTES


Held = HeldUnit | HeldRange
