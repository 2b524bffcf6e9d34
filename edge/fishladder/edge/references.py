"""What the pictures of a ring refer to: where a decoder has to start for the next one, and whether what it takes is
there. Pure; it looks at the entries a ring holds and changes nothing.
"""

from fishladder.edge.entries import Entries
from fishladder.edge.held import Held, HeldRange, HeldUnit, is_deferred
from fishladder.wire.fates import WERE_ENCODED
from fishladder.wire.unit import Flag


def context(entries: Entries, unit: HeldUnit, before: int) -> list[Held]:
    """The entries below `before` a decoder needs for a unit, as far as they are here: what lies before a deferred
    range, or before all that is here, may be in the spool.
    """
    if unit.unit.entry_point:
        return []
    found: list[Held] = []
    for index in range(entries.index(unit.first) - 1, -1, -1):
        held = entries[index]
        if is_deferred(held):
            break
        if held.last < before:
            found.append(held)
        if isinstance(held, HeldUnit) and held.unit.entry_point:
            break
    return found[::-1]


def is_deferred_before(entries: Entries, seq: int, *, anew: bool) -> bool:
    """Whether the last picture before `seq` that was encoded, as far as that is here, is deferred; if it is not, it was
    sent before those it refers to were. To a log that begins `anew` it is not sent again without them.
    """
    for index in range(entries.index(seq - 1), -1, -1):
        held = entries[index]
        if is_deferred(held):
            return True
        if isinstance(held, HeldUnit) and (held.unit.entry_point or not anew):
            return False
    return False


def picture_before(entries: Entries, seq: int) -> int:
    """The last seq before `seq` that may be of an encoded picture: what was left out before it was encoded is none."""
    for index in range(entries.index(seq - 1), -1, -1):
        held = entries[index]
        if isinstance(held, HeldUnit) or held.fate in WERE_ENCODED:
            return min(held.last, seq - 1)
        seq = held.first
    return seq - 1


def replay_start(entries: Entries, until: int, most_bytes: int, most_us: int) -> int:
    """The seq of the newest clean point at or before `until` within the bound; else of such a recovery point; else
    `until`.
    """
    size, newest_us, recovery = 0, None, None
    for index in range(entries.index(until), -1, -1):
        held = entries[index]
        if isinstance(held, HeldRange):
            continue
        newest_us = held.unit.mono_us if newest_us is None else newest_us
        if held.first < until:
            size += held.cost
        if size > most_bytes or newest_us - held.unit.mono_us > most_us:
            break
        if held.unit.flags & Flag.CLEAN:
            return held.first
        if recovery is None and held.unit.entry_point:
            recovery = held.first
    return until if recovery is None else recovery
