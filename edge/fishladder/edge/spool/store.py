"""One camera's spool on disk: units and ranges that wait for a link, and the numberings they belong to. It says what is
there and drops the oldest group of pictures when told; when that is, and for how much room, others decide.

A *life* is one numbering from 1: it begins when an agent starts without memory, and has an epoch once a gateway has
granted it one.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fishladder.edge.held import ENTRY_BYTES, Held, HeldRange, HeldUnit
from fishladder.edge.spool.database import Database, Writing
from fishladder.edge.spool.records import pack, unpack
from fishladder.wire.errors import WireError
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position

SCHEMA = 1
#: `entry.life` is `life.number`, which ascends; `stamp_s` is on the spool's own clock, `host` the start of the host
#: whose monotonic clock an entry has.
_TABLES = """
CREATE TABLE life (
    number INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, epoch INTEGER NOT NULL, position INTEGER NOT NULL);
CREATE TABLE entry (
    life INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, unit INTEGER NOT NULL,
    entry_point INTEGER NOT NULL, stamp_s REAL NOT NULL, host INTEGER NOT NULL, size INTEGER NOT NULL,
    body BLOB NOT NULL);
CREATE UNIQUE INDEX entry_at ON entry (life, first);
CREATE INDEX entry_unit ON entry (life, first) WHERE unit;
CREATE INDEX entry_point ON entry (life, first) WHERE entry_point;
CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), host INTEGER NOT NULL, ahead_s REAL NOT NULL)
"""
_PUT = "INSERT OR IGNORE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FROM = "FROM entry WHERE life = ? AND first >= ?"
#: So many ranges are made into one at a time, where nothing but ranges is left to drop.
_RANGES = 4096


@dataclass(frozen=True, slots=True)
class Life:
    """`position` is its last seq as far as it is known here."""

    id: int
    epoch: int
    position: int
    number: int = 0  #: here


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as read back. `same_host`: its monotonic time is of the clock that runs now."""

    held: Held
    same_host: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """Entries from a clean point, or from the first seq asked for, on; `done`: no more is here of those asked for."""

    entries: list[Stored]
    done: bool


class SpoolStore:
    """Blocks on the disk, so it lives in a thread of its own. Where the disk does not work, it holds nothing and takes
    nothing.
    """

    def __init__(self, path: Path, host: int) -> None:
        self.database = Database(path, schema=SCHEMA, tables=_TABLES)
        self.host = host
        self.bytes = 0  #: of all entries
        self.written_bytes = 0  #: put here, in all
        self.dropped = 0  #: units that had to go, in all
        self._lives: dict[int, Life] = {}
        self._ahead_s = 0.0
        self.database.begun = self._read_all
        self._read_all()

    def close(self) -> None:
        self.database.close()

    def now_s(self) -> float:
        """The spool's own clock: it runs while an agent does, or this host since then, and no wall clock sets it."""
        return time.monotonic() + self._ahead_s

    @property
    def lives(self) -> list[Life]:
        """Those with anything here, in the order they began."""
        return list(self._lives.values())

    def oldest_s(self) -> float | None:
        """The age of the oldest unit, in seconds."""
        for (stamp_s,) in self.database.ask("SELECT stamp_s FROM entry WHERE unit ORDER BY life, first LIMIT 1"):
            return max(self.now_s() - float(stamp_s), 0.0)
        return None

    def last(self, life: int) -> int:
        """The last seq that is here of a life; 0 if there is none."""
        asked = "SELECT max(last) FROM entry WHERE life = (SELECT number FROM life WHERE id = ?)"
        return next((int(last) for (last,) in self.database.ask(asked, life) if last is not None), 0)

    def put(self, life: Life, entries: Sequence[Held]) -> bool:
        """Keep some entries of a life that stands at `life.position`, all or none; False if that did not work."""
        stamp_s, size = self.now_s(), 0
        with self.database.writing() as writing:
            number = self._number(writing, life)
            for entry in entries:
                held = entry if isinstance(entry, HeldUnit) else self._rest(writing, number, entry)
                unit = isinstance(held, HeldUnit)
                point = isinstance(held, HeldUnit) and held.unit.entry_point
                row = (number, held.first, held.last, unit, point, stamp_s, self.host, held.cost, pack(held))
                # A unit that is there already is the same: it was put before a crash, or as another segment's context.
                if writing.execute(_PUT, *row).rowcount:
                    size += held.cost
        if writing.done:
            self.bytes += size
            self.written_bytes += size
            self._lives[life.id] = Life(life.id, life.epoch, life.position, number)
        return writing.done

    def granted(self, life: Life) -> bool:
        """A life that has something here has got its epoch."""
        with self.database.writing() as writing:
            number = self._number(writing, life)
        if writing.done:
            self._lives[life.id] = Life(life.id, life.epoch, life.position, number)
        return writing.done

    def read(
        self,
        at: Position,
        last: int,
        most_bytes: int,
        context_bytes: int = 0,
        anyway: bool = False,
    ) -> Reading | None:
        """Entries of an epoch from `at` to the seq `last`; with `context_bytes`, from the clean point before on, if it
        is no further away than that. None if the disk does not work at the moment, which says nothing of what is there;
        `anyway`: it has not for long, so what cannot be read is passed over, and counts as lost.
        """
        if not self.database.open():
            return None
        errors = self.database.errors
        reading = self._read(at, last, most_bytes, context_bytes, anyway=anyway)
        return reading if anyway or self.database.errors == errors else None

    def _read(self, at: Position, last: int, most_bytes: int, context_bytes: int, *, anyway: bool) -> Reading:
        number = self._of_epoch(at.epoch)
        if number is None:
            return Reading([], True)
        start = self._clean_point(number, at.seq, context_bytes) if context_bytes else at.seq
        before = "SELECT first, last FROM entry WHERE life = ? AND first < ? ORDER BY first DESC LIMIT 1"
        for first, end in self.database.ask(before, number, start):
            start = first if end >= start else start  # a range may reach into what is asked for
        found: list[Stored] = []
        size = 0
        wanted = f"SELECT first, last, host, size, body {_FROM} AND first <= ? ORDER BY first LIMIT 1"
        while size < most_bytes:
            errors = self.database.errors
            rows = self.database.ask(wanted, number, start, last)
            if not rows and anyway and self.database.errors > errors:
                # Where it is the index knows, which need not lie where the disk is bad.
                named = self.database.ask(f"SELECT min(first) {_FROM} AND first <= ?", number, start, last)
                if named and named[0][0] is not None:
                    start = int(named[0][0]) + 1
                    continue
            if not rows:
                return Reading(found, True)
            first, end, host, cost, body = rows[0]
            start = first + 1
            try:
                stored = Stored(unpack(first, end, body), host == self.host)
            except WireError:
                continue  # which counts as lost
            found.append(stored)
            size += cost
        return Reading(found, False)

    def forget(self, before: Position, group: bool = False) -> None:
        """What comes before a position is settled: delete it, but for what has to be decoded before the rest. With
        `group` there is more to come, so that part stays in any case.
        """
        for life in list(self._lives.values()):
            if not 0 < life.epoch <= before.epoch:
                continue
            end = 1 << 62
            rest = "SELECT 1 FROM entry WHERE life = ? AND last >= ? LIMIT 1"
            if life.epoch == before.epoch and (group or self.database.ask(rest, life.number, before.seq)):
                end = self._clean_point(life.number, before.seq, 1 << 62)
            rows = self.database.ask(
                "SELECT total(size), count(*) FROM entry WHERE life = ? AND last < ?", life.number, end
            )
            freed, count = rows[0] if rows else (0, 0)
            if not count:
                continue
            with self.database.writing() as writing:
                writing.execute("DELETE FROM entry WHERE life = ? AND last < ?", life.number, end)
                gone = not writing.execute("SELECT 1 FROM entry WHERE life = ?", life.number).fetchall()
                if gone:
                    writing.execute("DELETE FROM life WHERE number = ?", life.number)
            if writing.done:
                self.bytes -= int(freed)
                if gone:
                    del self._lives[life.id]
        if not self._lives and not self.bytes and self.database.large:
            self.database.compact()

    def forget_life(self, life: Life) -> None:
        """Nobody will ask for it any more."""
        known = self._lives.get(life.id)
        if known is None:
            return
        with self.database.writing() as writing:
            writing.execute("DELETE FROM entry WHERE life = ?", known.number)
            writing.execute("DELETE FROM life WHERE number = ?", known.number)
        if writing.done:
            self._read_all()

    def drop_oldest(self, after: Position, older_than_s: float | None = None) -> int | None:
        """Turn the oldest group of pictures behind `after` (which is on its way) into a range, if it is older than
        that; how many units went, None if there was nothing to drop.
        """
        oldest = (
            "SELECT life, first, stamp_s FROM entry WHERE unit AND (life, first) >= (?, ?) ORDER BY life, first LIMIT 1"
        )
        life, first = self._behind(after)
        for number, start, stamp_s in self.database.ask(oldest, life, first):
            if older_than_s is not None and self.now_s() - stamp_s < older_than_s:
                return None
            following = f"SELECT first {_FROM} AND entry_point ORDER BY first LIMIT 1"
            end = next((at for (at,) in self.database.ask(following, number, start + 1)), 1 << 62)
            rows = self.database.ask(
                f"SELECT first, last, unit, size, body {_FROM} AND first < ? ORDER BY first", number, start, end
            )
            return self._declare(number, rows) if rows else None
        if older_than_s is None:
            ranges = "SELECT life, first, last, unit, size, body FROM entry WHERE (life, first) >= (?, ?)"
            rows = self.database.ask(f"{ranges} ORDER BY life, first LIMIT ?", life, first, _RANGES)
            same = [row[1:] for row in rows if row[0] == rows[0][0]]
            if len(same) > 1:
                return self._declare(rows[0][0], same, all_of_it=True)
        return None

    def _declare(
        self, number: int, rows: Sequence[tuple[int, int, int, int, bytes]], *, all_of_it: bool = False
    ) -> int:
        """Put SPOOL_FULL ranges in the place of units, joined where they touch, or one in the place of all."""
        full: list[HeldRange] = []
        gone: list[int] = []
        freed = units = 0
        before = "SELECT first, last, 0, size, body FROM entry WHERE life = ? AND first < ? ORDER BY first DESC LIMIT 1"
        for first, last, unit, size, body in [*self.database.ask(before, number, rows[0][0]), *rows]:
            try:
                held = unpack(first, last, body)
            except WireError:
                held = HeldRange(first, last, Fate.SPOOL_LOST, 0, 0)
            mine = first >= rows[0][0]
            if not ((mine and (unit or all_of_it)) or (isinstance(held, HeldRange) and held.fate is Fate.SPOOL_FULL)):
                continue
            mono_us, wall_us = (held.unit.mono_us if isinstance(held, HeldUnit) else held.mono_us), held.wall_us
            gone.append(first)
            freed += size
            units += unit
            if full and full[-1].last + 1 == first:
                full[-1].last = last
            else:
                full.append(HeldRange(first, last, Fate.SPOOL_FULL, mono_us, wall_us))
        with self.database.writing() as writing:
            for first in gone:
                writing.execute("DELETE FROM entry WHERE life = ? AND first = ?", number, first)
            for it in full:
                row = (number, it.first, it.last, False, False, self.now_s(), self.host, ENTRY_BYTES, pack(it))
                writing.execute(_PUT, *row)
        if not writing.done:
            return 0
        self.dropped += units
        self.bytes -= freed - ENTRY_BYTES * len(full)
        return units

    def _rest(self, writing: Writing, number: int, held: HeldRange) -> HeldRange:
        """What is new of a range, which may have grown since it was put; all of it if nothing is."""
        first = held.first
        there = "SELECT last FROM entry WHERE life = ? AND first = ?"
        while rows := writing.execute(there, number, first).fetchall():
            first = int(rows[0][0]) + 1
        return replace(held, first=first) if first <= held.last else held

    def _behind(self, after: Position) -> tuple[int, int]:
        """Where dropping may begin: at the entry point after what is on its way."""
        number = self._of_epoch(after.epoch)
        if number is None:
            return 0, 0
        following = f"SELECT first {_FROM} AND entry_point ORDER BY first LIMIT 1"
        for (first,) in self.database.ask(following, number, after.seq + 1):
            return number, int(first)
        return number + 1, 0

    def _clean_point(self, number: int, seq: int, most_bytes: int) -> int:
        """The last entry point at or before a seq, if no more than that lies between; else the seq itself."""
        point = "SELECT first FROM entry WHERE life = ? AND first <= ? AND entry_point ORDER BY first DESC LIMIT 1"
        for (first,) in self.database.ask(point, number, seq):
            between = f"SELECT total(size) {_FROM} AND first < ?"
            if most_bytes >= 1 << 62:
                return int(first)
            if (lies := self.database.ask(between, number, first, seq)) and lies[0][0] <= most_bytes:
                return int(first)
        return seq

    def _of_epoch(self, epoch: int) -> int | None:
        return next((it.number for it in self._lives.values() if epoch and it.epoch == epoch), None)

    def _number(self, writing: Writing, life: Life) -> int:
        """A life's number here; it is begun if it is new."""
        writing.execute(
            "INSERT INTO life (id, epoch, position) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " epoch = max(epoch, excluded.epoch), position = max(position, excluded.position)",
            life.id,
            life.epoch,
            life.position,
        )
        [(number,)] = writing.execute("SELECT number FROM life WHERE id = ?", life.id).fetchall()
        return int(number)

    def _read_all(self) -> None:
        ask = self.database.ask
        rows = ask("SELECT id, epoch, position, number FROM life ORDER BY number")
        self._lives = {row[0]: Life(*row) for row in rows}
        self.bytes = sum(int(size) for (size,) in ask("SELECT total(size) FROM entry"))
        clock = ask("SELECT host, ahead_s FROM clock")
        if clock and clock[0][0] == self.host:
            self._ahead_s = float(clock[0][1])
            return
        # The host was started anew, and how long it was off nobody knows: the clock goes on from the newest entry.
        newest_s = ask("SELECT max(stamp_s) FROM entry")
        self._ahead_s = (newest_s[0][0] or 0.0) - time.monotonic() if newest_s else 0.0
        with self.database.writing() as writing:
            writing.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?)", self.host, self._ahead_s)
