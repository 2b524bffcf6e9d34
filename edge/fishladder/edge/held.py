"""What a ring and a spool hold: a unit, or a range of what is not sent; and how either goes over the wire."""

from dataclasses import dataclass

from fishladder.edge.capture_records import CapturedUnit
from fishladder.wire.fates import Fate
from fishladder.wire.unit import NO_FLAGS, Flag, Range, Unit

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


def is_deferred(held: Held) -> bool:
    """Whether it is in the spool, and declared so."""
    return isinstance(held, HeldRange) and held.fate is Fate.DEFERRED


def unit_of(held: HeldUnit, epoch: int, offset_us: int | None, flags: Flag = NO_FLAGS) -> Unit:
    """For the wire. `offset_us` is to be added to our wall clock at capture for the gateway's; None = not known."""
    unit = held.unit
    synced = NO_FLAGS if offset_us is None else Flag.SYNCED
    return Unit(
        epoch=epoch,
        seq=held.first,
        codec=unit.codec,
        payload=unit.payload,
        flags=unit.flags | synced | flags,
        pts_us=unit.pts_us,
        wall_us=held.wall_us,
        offset_us=offset_us or 0,
        duration_us=unit.duration_us,
        ready_us=held.ready_us,
        width=unit.width,
        height=unit.height,
    )


def range_of(held: Held, epoch: int, first: int, last: int, fate: Fate, offset_us: int | None) -> Range:
    """The same for a range, or for a piece of one."""
    return Range(epoch=epoch, first=first, last=last, fate=fate, wall_us=held.wall_us, offset_us=offset_us or 0)
