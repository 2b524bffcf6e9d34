"""When a ring's frames go to the spool: by age alone, so that a healthy link writes nothing to flash, and, once they
do, up to where live can go on at once. Pure.
"""

from dataclasses import replace
from typing import NamedTuple

from fishladder.edge.held import Held, HeldRange, HeldUnit, is_deferred
from fishladder.edge.ring import Ring

#: What waits for the link longer than this is written to disk.
SPILL_US = 5_000_000
#: The same of a camera that can make less: what has waited so long for an open link would only hold up what is new.
LATE_US = 250_000
#: The same behind a pause of TCP's own, of 200 ms: all of it comes soon, where live would else stand still until the
#: next entry point.
PAUSED_US = 500_000
#: And where the link has just become much slower, with so much on its way already that what follows will wait longer.
HURRY_US = 60_000
#: When live goes on, it does so at an entry point no older than this; else at the next one, which is asked for.
FRESH_US = 2_000_000
#: While it waits for that one, what cannot be sent is written every so often.
BLOCKED_US = 1_000_000


def late_after_us(*, hurries: bool, paused: bool) -> int:
    """For how long a picture may wait for the link where less can be made: `hurries`: that has just become slower;
    `paused`: TCP paused a moment ago.
    """
    return HURRY_US if hurries else PAUSED_US if paused else LATE_US


class Spill(NamedTuple):
    """`entries` go to the spool; then `first..last` can be deferred, what of it is still unsent."""

    entries: list[Held]
    first: int
    last: int

    def holds_for(self, ring: Ring) -> bool:
        """Whether what is unsent up to `last` is all in it: while it was written the link may have carried some of it,
        or have been lost with what was on its way before it, which is unsent again.
        """
        return self.first <= ring.next <= self.last


def due(ring: Ring, now_us: int, *, live: bool, late_us: int | None = None) -> Spill | None:
    """What is to be written now, if anything. `live`: the link carries frames, so some may go at once; `late_us`: and
    the camera can begin anew there at any time, so what waits has to get out of the way after this.

    When told to stop, ask with a time far ahead.
    """
    unsent = ring.unsent()
    oldest = next((held for held in unsent if isinstance(held, HeldUnit)), None)
    if oldest is None:
        return None
    age_us = now_us - oldest.unit.mono_us
    point = _fresh_point(unsent, now_us) if live else None
    if ring.blocked and live:
        if point is None and age_us < BLOCKED_US:
            return None
    elif age_us < (late_us if live and late_us is not None else SPILL_US):
        return None
    if point is not None:
        last = point - 1
    elif live:
        last = ring.position
    else:
        last = max(held.last for held in unsent if _captured_us(held) <= now_us - SPILL_US)
    entries = [held for held in unsent if held.last <= last and not is_deferred(held)]
    if not any(isinstance(held, HeldUnit) for held in entries):
        return None
    return Spill(_copies([*ring.context(), *entries]), ring.next, last)


def everything(ring: Ring) -> Spill | None:
    """What is not committed, for an agent that ends: also what is sent, which the stack may still lose."""
    entries = [held for held in ring if not is_deferred(held)]
    return Spill(_copies(entries), ring.oldest, ring.position) if entries and ring.pending else None


def _copies(entries: list[Held]) -> list[Held]:
    """A ring goes on while they are written, and may lengthen a range or cut it in two."""
    return [replace(held) if isinstance(held, HeldRange) else held for held in entries]


def _fresh_point(unsent: list[Held], now_us: int) -> int | None:
    """The newest entry point that was captured just now."""
    for held in reversed(unsent):
        if isinstance(held, HeldUnit):
            if now_us - held.unit.mono_us > FRESH_US:
                return None
            if held.unit.entry_point:
                return held.first
    return None


def _captured_us(held: Held) -> int:
    return held.unit.mono_us if isinstance(held, HeldUnit) else held.mono_us
