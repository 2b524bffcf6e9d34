"""What one camera has captured and nobody has committed yet: units, and ranges of what is not sent, numbered densely.
Pure. It forgets what is committed, except back to where a decoder can start; when it is full, the oldest unsent group
of pictures becomes a SPOOL_FULL range. The link is somebody else's: this only says what comes next.
"""

from bisect import bisect_right
from collections.abc import Iterator

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.held import ENTRY_BYTES, Held, HeldRange, HeldUnit
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Flag

#: Ranges are kept apart by reason up to this many in a row; more only in an outage of hours.
MAX_RANGES = 4096
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
        self.bytes = 0
        self.spool_full = 0  #: units dropped for lack of room, in all
        #: An entry point is wanted from the camera: to keep the replay short, or after units were dropped.
        self.wants_keyframe = False
        self._entries: list[Held] = []
        self._group_bytes = 0  # since the last entry point
        self._group_us: int | None = None  # when it was captured
        self._resync = False  # drop what comes until an entry point

    @property
    def oldest(self) -> int:
        """The first seq that can still be sent or declared."""
        return self._entries[0].first if self._entries else self.position + 1

    @property
    def pending(self) -> int:
        """Captured and not yet committed."""
        return self.position - self.committed

    def __iter__(self) -> Iterator[Held]:
        return iter(self._entries)

    def clean_points(self, most: int) -> list[int]:
        """Seqs a decoder can start at, ascending. If there are more than `most`, every n-th and the last.

        Where no clean point at or before committed + 1 is held, a recovery point held instead stands in for it.
        """
        points = [held.first for held in self._entries if isinstance(held, HeldUnit) and held.unit.flags & Flag.CLEAN]
        head = self._entries[0] if self._entries else None
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
        held = HeldUnit(self.position, unit, wall_us, ready_us)
        self._entries.append(held)
        self.bytes += held.cost
        self._keep_replay_short(unit)
        self._fit()
        return isinstance(self._entries[-1], HeldUnit)

    def start_at_entry_point(self) -> None:
        """Keep nothing that comes before an entry point, and ask for one."""
        self._resync = self.wants_keyframe = True

    def append_range(self, count: int, fate: Fate, *, mono_us: int, wall_us: int) -> None:
        """Number `count` pictures that will not be sent."""
        first = self.position + 1
        self.position += count
        tail = self._entries[-1] if self._entries else None
        if isinstance(tail, HeldRange) and tail.fate is fate and tail.first >= self.next:
            tail.last = self.position
            return
        self._entries.append(HeldRange(first, self.position, fate, mono_us, wall_us))
        self.bytes += ENTRY_BYTES
        self._fit()

    # -- link side

    def take(self, now_us: int, *, flush: bool = False) -> Held | None:
        """The entry to send next, which then counts as sent. A range that may still grow is held back a little."""
        if self.next > self.position:
            return None
        index = self._index(self.next)
        held = self._entries[index]
        if (
            isinstance(held, HeldRange)
            and held is self._entries[-1]
            and not flush
            and now_us - held.mono_us < RANGE_HOLD_US
        ):
            return None
        self.next = held.last + 1
        return held

    def rewind(self, seq: int) -> None:
        """Send from `seq` on; what lies before it is logged. `seq` must be in `oldest..position + 1`."""
        if not self.oldest <= seq <= self.position + 1:
            raise ValueError(f"cannot send from {seq}: only {self.oldest}..{self.position} are here")
        self.next = seq
        self.logged = seq - 1
        if seq <= self.position:
            self._split(seq)
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

    # -- bounds

    def _index(self, seq: int) -> int:
        return bisect_right(self._entries, seq, key=lambda held: held.first) - 1

    def _split(self, seq: int) -> None:
        """Make `seq` the first of an entry."""
        index = self._index(seq)
        held = self._entries[index]
        if isinstance(held, HeldRange) and held.first < seq:
            rest = HeldRange(seq, held.last, held.fate, held.mono_us, held.wall_us)
            held.last = seq - 1
            self._entries.insert(index + 1, rest)
            self.bytes += ENTRY_BYTES

    def _forget(self) -> None:
        """Forget what is committed and not needed to decode what follows."""
        keep = min(self._replay_start(), self.next)
        count = 0
        for held in self._entries:
            if held.last >= keep:
                break
            self.bytes -= held.cost
            count += 1
        del self._entries[:count]
        if self._entries and self._entries[0].first < keep:
            head = self._entries[0]
            assert isinstance(head, HeldRange)
            head.first = keep

    def _replay_start(self) -> int:
        """The seq of the newest clean point at or before committed + 1 within the bound; else of such a recovery
        point; else committed + 1.
        """
        until = self.committed + 1
        size, newest_us, recovery = 0, None, None
        for index in range(self._index(until), -1, -1):
            held = self._entries[index]
            if isinstance(held, HeldRange):
                continue
            newest_us = held.unit.mono_us if newest_us is None else newest_us
            if held.first < until:
                size += held.cost
            if size > self.replay_bytes or newest_us - held.unit.mono_us > self.replay_us:
                break
            if held.unit.flags & Flag.CLEAN:
                return held.first
            if recovery is None and held.unit.entry_point:
                recovery = held.first
        return until if recovery is None else recovery

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
        while self.bytes > self.limit_bytes and self._make_room():
            pass

    def _make_room(self) -> bool:
        """Turn the oldest whole unsent group of pictures into a range; False if nothing is left to drop."""
        start = self._index(self.next) if self.next <= self.position else len(self._entries)
        units = [(i, held.unit) for i, held in enumerate(self._entries[start:], start) if isinstance(held, HeldUnit)]
        if not units:
            return self._coalesce(2)
        oldest = units[0][0]
        starts = [i for i, unit in units if unit.flags & Flag.CLEAN]
        if len(starts) < 2:
            starts = [i for i, unit in units if unit.entry_point]
        if len(starts) >= 2:  # a whole group, with another entry point behind it
            first, end = starts[0], starts[1]
        elif starts and starts[0] != oldest:  # the rest of a group partly sent
            first, end = oldest, starts[0]
        else:  # the group being captured: what follows would hang in the air
            first, end = oldest, len(self._entries)
            self._resync = True
        self._declare(first, end)
        self._coalesce(MAX_RANGES)
        return True

    def _declare(self, first: int, end: int) -> None:
        """Replace the units among entries `first..end-1` by SPOOL_FULL ranges, joined where they touch."""
        while first > 0 and self._joinable(self._entries[first - 1]):
            first -= 1
        while end < len(self._entries) and self._joinable(self._entries[end]):
            end += 1
        joined: list[Held] = []
        for held in self._entries[first:end]:
            self.bytes -= held.cost
            if isinstance(held, HeldUnit):
                held = HeldRange(held.first, held.last, Fate.SPOOL_FULL, held.unit.mono_us, held.wall_us)
                self.spool_full += 1
            tail = joined[-1] if joined else None
            if isinstance(tail, HeldRange) and tail.fate is held.fate:
                tail.last = held.last
            else:
                joined.append(held)
                self.bytes += held.cost
        self._entries[first:end] = joined

    def _joinable(self, held: Held) -> bool:
        return isinstance(held, HeldRange) and held.fate is Fate.SPOOL_FULL and held.first >= self.next

    def _coalesce(self, most: int) -> bool:
        """Join each row of `most` or more unsent ranges into one SPOOL_FULL range: the reasons fit no more."""
        if self.next > self.position:
            return False
        start = self._index(self.next)
        kept: list[Held] = []
        row: list[HeldRange] = []
        changed = False

        def end_row() -> None:
            nonlocal changed
            if len(row) >= most:
                kept.append(HeldRange(row[0].first, row[-1].last, Fate.SPOOL_FULL, row[0].mono_us, row[0].wall_us))
                self.bytes -= ENTRY_BYTES * (len(row) - 1)
                changed = True
            else:
                kept.extend(row)
            row.clear()

        for held in self._entries[start:]:
            if isinstance(held, HeldRange):
                row.append(held)
            else:
                end_row()
                kept.append(held)
        end_row()
        self._entries[start:] = kept
        return changed
