"""What one camera has captured and nobody has committed yet: units, and ranges of what is not sent, numbered densely.
Pure. It forgets what is committed, except back to where a decoder can start. The link and the spool are somebody
else's: this only says what comes next.
"""

from collections.abc import Iterator, Sequence

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.entries import Entries
from fishladder.edge.held import ENTRY_BYTES, Held, HeldRange, HeldUnit, is_deferred
from fishladder.edge.references import context, is_deferred_before, picture_before, replay_start
from fishladder.edge.room import declare_full, make_room
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Flag

#: A range is held back this long while it may still grow.
RANGE_HOLD_US = 500_000


class Ring:
    """One camera's memory. `position` is the last captured seq, `next` the next one to send.

    `limit_bytes` bounds everything held; `replay_bytes` and `replay_us` what is held only so that a decoder can start
    before the first uncommitted unit.
    """

    def __init__(
        self, limit_bytes: int = 64 << 20, *, replay_bytes: int = 8 << 20, replay_us: int = 10_000_000
    ) -> None:
        self.limit_bytes = limit_bytes
        self.replay_bytes = min(replay_bytes, limit_bytes // 2)
        self.replay_us = replay_us
        self.position = 0
        self.next = 1
        self.logged = 0
        self.committed = 0
        self.spool_full = 0  #: units dropped for lack of room, in all
        #: An entry point is wanted from the camera: to keep the replay short, or because units before it are not sent.
        self.wants_keyframe = False
        self._entries = Entries()
        self._group_bytes = 0  # since the last entry point
        self._group_us: int | None = None  # when it was captured
        self._resync = False  # drop what comes until an entry point
        self._cut_at = 0  # what came before this seq was deferred: a unit here is sent only if it is an entry point

    @property
    def bytes(self) -> int:
        return self._entries.bytes

    @property
    def oldest(self) -> int:
        """The first seq that can still be sent or declared."""
        return self._entries[0].first if len(self._entries) else self.position + 1

    @property
    def oldest_here(self) -> int:
        """From this seq on, what is held is nowhere else: not committed nor in the spool, or needed to decode that."""
        since = self.oldest
        for held in self._entries:
            if is_deferred(held):
                since = held.last + 1
            elif held.last > self.committed:
                break
        return since

    @property
    def pending(self) -> int:
        """Captured and not yet committed."""
        return self.position - self.committed

    @property
    def deferred(self) -> int:
        """How many of them are declared as deferred."""
        ranges = (it for it in self._entries if is_deferred(it))
        return sum(max(it.last - max(it.first, self.committed + 1) + 1, 0) for it in ranges)

    @property
    def blocked(self) -> bool:
        """What comes next is of no use before the entry point it refers to, and that was deferred."""
        if not self.next <= self._cut_at <= self.position:
            return False
        index = self._entries.index(self._cut_at)
        held, before = self._entries[index], index - self._entries.index(self.next)
        return before <= 1 and isinstance(held, HeldUnit) and not held.unit.entry_point

    @property
    def uncommitted_full(self) -> bool:
        """Half of the room is taken by what was sent."""
        sent = self._entries.since(0)[: self._entries.index(self.next)]
        return sum(held.cost for held in sent) > self.limit_bytes // 2

    @property
    def leans_on_spool(self) -> bool:
        """What comes next may refer to what was deferred: live has not gone on since."""
        return self._cut_at >= self.next or any(is_deferred(held) for held in self.unsent())

    def __iter__(self) -> Iterator[Held]:
        return iter(self._entries)

    def unsent(self) -> list[Held]:
        """The entries from `next` on; of a range partly sent the rest."""
        if self.next > self.position:
            return []
        self._entries.split(self.next)
        return self._entries.since(self._entries.index(self.next))

    @property
    def unsent_ready_us(self) -> int | None:
        """When the unit that is next to be sent could have been; None if there is none."""
        if self.next > self.position:
            return None
        held = self._entries[self._entries.index(self.next)]
        return held.unit.mono_us + held.ready_us if isinstance(held, HeldUnit) else None

    def clean_points(self, most: int) -> list[int]:
        """Seqs a decoder can start at, ascending. If there are more than `most`, every n-th and the last.

        Where no clean point at or before committed + 1 is held, a recovery point held instead stands in for it.
        """
        points = [held.first for held in self._entries if isinstance(held, HeldUnit) and held.unit.flags & Flag.CLEAN]
        head = self._entries[0] if len(self._entries) else None
        if isinstance(head, HeldUnit) and head.unit.entry_point and not (points and points[0] <= self.committed + 1):
            points[:0] = [head.first] if head.first not in points[:1] else []
        if len(points) <= most:
            return points
        step = -(-len(points) // most)
        return points[len(points) - 1 :: -step][::-1]

    # -- capture side

    def append_unit(self, unit: CapturedUnit, *, wall_us: int, ready_us: int) -> bool:
        """Number a unit and keep it; False if it (or what it depends on) had to be dropped."""
        if not unit.payload:
            self.append_range(1, Fate.ENCODER, mono_us=unit.mono_us, wall_us=wall_us)
            self.start_at_entry_point()
            return False
        if self._resync and not unit.entry_point:
            return self._refuse(unit, wall_us)
        self.position += 1
        self._entries.append(HeldUnit(self.position, unit, wall_us, ready_us))
        self._keep_replay_short(unit)
        self._fit()
        return isinstance(self._entries.tail, HeldUnit)

    def start_at_entry_point(self) -> None:
        """Keep nothing that comes before an entry point, and ask for one."""
        self._resync = self.wants_keyframe = True

    def append_range(self, count: int, fate: Fate, *, mono_us: int, wall_us: int) -> None:
        """Number `count` pictures that will not be sent."""
        first = self.position + 1
        self.position += count
        tail = self._entries.tail
        if isinstance(tail, HeldRange) and tail.fate is fate and tail.first >= self.next:
            tail.last = self.position
            return
        self._entries.append(HeldRange(first, self.position, fate, mono_us, wall_us))
        self._fit()

    def restore(self, entries: Sequence[Held], *, committed: int) -> None:
        """Go on from what an earlier process held, without a hole between its entries; it is all to be sent again.
        What is not here of the seqs after `committed` is somewhere else, or lost. For a ring that holds nothing.
        """
        head = entries[0]
        if head.first > committed + 1:
            mono_us = head.unit.mono_us if isinstance(head, HeldUnit) else head.mono_us
            self._entries.append(HeldRange(committed + 1, head.first - 1, Fate.DEFERRED, mono_us, head.wall_us))
            self._cut_at = head.first
        for held in entries:
            self._entries.append(held)
        self.position = entries[-1].last
        self.committed = min(committed, self.position)
        self.logged = self.oldest - 1
        self.next = self.oldest

    # -- link side

    def take(self, now_us: int, *, flush: bool = False) -> Held | None:
        """The entry to send next, which then counts as sent. A range that may still grow is held back a little."""
        if self.next > self.position:
            return None
        held = self._entries[self._entries.index(self.next)]
        if isinstance(held, HeldRange):
            if held is self._entries.tail and not flush and now_us - held.mono_us < RANGE_HOLD_US:
                return None
            if self._cut_at == self.next or held.fate is Fate.DEFERRED:
                self._cut_at = held.last + 1
        elif self._cut_at == held.first and not held.unit.entry_point:
            self.wants_keyframe = True
            return None
        self.next = held.last + 1
        return held

    def take_back(self) -> bool:
        """Do not send the unit taken last after all, nor what refers to it: live goes on at the next entry point. False
        if it is one itself, or has arrived.
        """
        if self.next - 1 <= self.logged:
            return False
        held = self._entries[self._entries.index(self.next - 1)]
        if not isinstance(held, HeldUnit) or held.unit.entry_point:
            return False
        self.next = self._cut_at = held.first
        self.wants_keyframe = True
        return True

    def rewind(self, seq: int, *, anew: bool = False) -> None:
        """Send from `seq` on; what lies before it is logged. `seq` must be in `oldest..position + 1`. `anew`: the log
        may begin there, so that nothing before it can be referred to.
        """
        if not self.oldest <= seq <= self.position + 1:
            raise ValueError(f"cannot send from {seq}: only {self.oldest}..{self.position} are here")
        self.next = seq
        self.logged = seq - 1
        if seq <= self.position:
            self._entries.split(seq)
        if is_deferred_before(self._entries, seq, anew=anew):
            self._cut_at = seq
        self._fit()  # what was on its way could not be dropped

    def disconnected(self) -> None:
        """What was sent and not acknowledged may have to be sent again."""
        if self.position:
            self.rewind(min(max(self.logged + 1, self.oldest), self.position + 1))

    def acknowledge(self, logged: int, committed: int) -> None:
        """Cumulative; numbers beyond what was sent, or below what is known, change nothing."""
        self.logged = max(self.logged, min(logged, self.next - 1))
        if self.committed < committed < self.next:
            self.committed = committed
            self._forget()

    def set_committed(self, committed: int) -> None:
        """What the gateway says at the start of a session, which may be less than we knew (its store went back)."""
        self.committed = min(committed, self.position)
        self._forget()

    # -- spool side

    def went_without(self, seq: int) -> None:
        """What came before `seq`, which is next, is or may be deferred, without being so here: live goes on at an entry
        point.
        """
        rest = self._entries.since(self._entries.index(seq)) if seq <= self.position else []
        first = next((held for held in rest if isinstance(held, HeldUnit)), None)
        if first is None or not first.unit.entry_point:
            self._cut_at = seq

    def picture_before(self, seq: int) -> int:
        """The last seq before that one which may be of an encoded picture."""
        return picture_before(self._entries, seq)

    def context(self) -> list[Held]:
        """The entries a decoder needs before the first unsent unit; none if it needs none. Ranges are among them:
        without them it would take what was never encoded for lost.
        """
        unsent = next((held for held in self.unsent() if isinstance(held, HeldUnit)), None)
        return [] if unsent is None else context(self._entries, unsent, self.next)

    def defer(self, last: int) -> None:
        """Declare what is unsent up to `last` as DEFERRED: it is in the spool now."""
        if not self.next <= last <= self.position:
            return
        self._entries.split(self.next)
        if last < self.position:
            self._entries.split(last + 1)
        start, end = self._entries.index(self.next), self._entries.index(last) + 1
        head = self._entries[start]
        mono_us = head.unit.mono_us if isinstance(head, HeldUnit) else head.mono_us
        self._entries.replace(start, end, [HeldRange(head.first, last, Fate.DEFERRED, mono_us, head.wall_us)])
        self._cut_at = last + 1
        self._fit()  # cutting ranges in two costs something

    def give_up(self) -> None:
        """What comes next is of no use before an entry point, and there is no room for it anywhere: drop it."""
        if not self.blocked:
            return
        start = self._entries.index(self._cut_at)
        rest = self._entries.since(start)
        points = (i for i, held in enumerate(rest) if isinstance(held, HeldUnit) and held.unit.entry_point)
        end = next(points, len(rest))
        self._resync |= end == len(rest)
        self.spool_full += declare_full(self._entries, self._cut_at, start, start + end)

    # -- bounds

    def _forget(self) -> None:
        """Forget what is committed and not needed to decode what follows; as long as that refers to what is in the
        spool, it will go there, and what lies between as well.
        """
        if self._cut_at >= self.next:
            return
        start = replay_start(self._entries, self.committed + 1, self.replay_bytes, self.replay_us)
        self._entries.forget(min(start, self.next))

    def _keep_replay_short(self, unit: CapturedUnit) -> None:
        """Ask for a keyframe well before the distance to the last entry point exceeds the bound."""
        if unit.entry_point:
            self._group_bytes, self._group_us = 0, unit.mono_us
            self._resync = self.wants_keyframe = False
        self._group_bytes += ENTRY_BYTES + len(unit.payload)
        if self._group_us is None:
            self._group_us = unit.mono_us
        too_long = unit.mono_us - self._group_us > self.replay_us * 3 // 4
        self.wants_keyframe |= too_long or self._group_bytes > self.replay_bytes * 3 // 4

    def _refuse(self, unit: CapturedUnit, wall_us: int) -> bool:
        self.spool_full += 1
        self.append_range(1, Fate.SPOOL_FULL, mono_us=unit.mono_us, wall_us=wall_us)
        self.wants_keyframe |= self.bytes < self.limit_bytes * 9 // 10
        return False

    def _fit(self) -> None:
        while self.bytes > self.limit_bytes:
            made = make_room(self._entries, self.next, self.position)
            if made is None:
                return
            self.spool_full += made.dropped
            self._resync |= made.cut
