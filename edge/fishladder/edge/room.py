"""Making room in a ring: its oldest whole unsent group of pictures becomes a SPOOL_FULL range. Pure; when there is too
little room the ring knows.
"""

from typing import NamedTuple

from fishladder.edge.entries import Entries
from fishladder.edge.held import Held, HeldRange, HeldUnit
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Flag

#: Ranges are kept apart by reason up to this many in a row; more only in an outage of hours.
MAX_RANGES = 4096


class Made(NamedTuple):
    """How many units were dropped, and whether what follows hangs in the air until an entry point."""

    dropped: int
    cut: bool = False


def make_room(entries: Entries, next: int, position: int) -> Made | None:
    """Drop something of the unsent seqs `next..position`; None if nothing is left to drop."""
    start = entries.index(next) if next <= position else len(entries)
    units = [(i, held.unit) for i, held in enumerate(entries.since(start), start) if isinstance(held, HeldUnit)]
    if not units:
        return Made(0) if _coalesce(entries, next, position, 2) else None
    oldest = units[0][0]
    starts = [i for i, unit in units if unit.flags & Flag.CLEAN]
    if len(starts) < 2:
        starts = [i for i, unit in units if unit.entry_point]
    cut = False
    if len(starts) >= 2:  # a whole group, with another entry point behind it
        first, end = starts[0], starts[1]
    elif starts and starts[0] != oldest:  # the rest of a group partly sent
        first, end = oldest, starts[0]
    else:  # the group being captured: what follows would hang in the air
        first, end = oldest, len(entries)
        cut = True
    dropped = declare_full(entries, next, first, end)
    _coalesce(entries, next, position, MAX_RANGES)
    return Made(dropped, cut)


def declare_full(entries: Entries, next: int, first: int, end: int) -> int:
    """Replace the units among entries `first..end-1` by SPOOL_FULL ranges, joined where they touch; how many units.
    Entries before the seq `next` stay as they are.
    """

    def joinable(held: Held) -> bool:
        return isinstance(held, HeldRange) and held.fate is Fate.SPOOL_FULL and held.first >= next

    while first > 0 and joinable(entries[first - 1]):
        first -= 1
    while end < len(entries) and joinable(entries[end]):
        end += 1
    dropped = 0
    joined: list[Held] = []
    for held in entries.since(first)[: end - first]:
        if isinstance(held, HeldUnit):
            fate, mono_us = Fate.SPOOL_FULL, held.unit.mono_us
            dropped += 1
        else:
            fate, mono_us = held.fate, held.mono_us
        tail = joined[-1] if joined else None
        if isinstance(tail, HeldRange) and tail.fate is fate:
            tail.last = held.last
        else:
            joined.append(HeldRange(held.first, held.last, fate, mono_us, held.wall_us))
    entries.replace(first, end, joined)
    return dropped


def _coalesce(entries: Entries, next: int, position: int, most: int) -> bool:
    """Join each row of `most` or more unsent ranges into one SPOOL_FULL range: the reasons fit no more. What is in the
    spool already has lost nothing, and stays.
    """
    if next > position:
        return False
    start = entries.index(next)
    kept: list[Held] = []
    row: list[HeldRange] = []

    def end_row() -> None:
        if len(row) >= most:
            kept.append(HeldRange(row[0].first, row[-1].last, Fate.SPOOL_FULL, row[0].mono_us, row[0].wall_us))
        else:
            kept.extend(row)
        row.clear()

    for held in entries.since(start):
        if isinstance(held, HeldRange) and held.fate is not Fate.DEFERRED:
            row.append(held)
        else:
            end_row()
            kept.append(held)
    end_row()
    if len(kept) == len(entries) - start:
        return False
    entries.replace(start, len(entries), kept)
    return True
