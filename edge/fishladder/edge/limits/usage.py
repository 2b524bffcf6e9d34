"""How much has gone over the uplink, by quarters of an hour, in a file that outlives the agent. Agents that share the
file add to one count: they share an allowance, too.
"""

import asyncio
import contextlib
import sqlite3
from collections import defaultdict
from pathlib import Path

from fishladder.edge.limits.month import SLOT_S
from fishladder.edge.spool.database import Database, Words

FILE = "usage.db"
#: More than three months of slots; by number, so that a clock that is a year ahead for a moment forgets nothing.
KEEP = 10_000
_SCHEMA = 1
_WORDS = Words("the count of what the uplink has carried", "it begins at 0", "it is kept in memory only")
_TABLES = "CREATE TABLE slots (at INTEGER PRIMARY KEY, bytes INTEGER NOT NULL) STRICT"


def counted(directory: Path) -> dict[int, int]:
    """What an agent has counted there, as one looks who must not write. Raises `sqlite3.Error`."""
    file = directory / FILE
    if not file.exists():
        return {}
    # Without a log beside it nobody writes, and SQLite would make one for us.
    how = "mode=ro" if file.with_name(f"{FILE}-wal").exists() else "immutable=1"
    with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True)) as db:
        return dict(db.execute("SELECT at, bytes FROM slots"))


class Usage:
    """`slots` is what is known: of the file when it was last read, and of ourselves since. Without a `directory` it is
    in memory alone.
    """

    def __init__(self, directory: Path | None) -> None:
        self.slots: dict[int, int] = {}
        self._new: defaultdict[int, int] = defaultdict(int)  # not in the file yet
        self._undated = 0
        self._file: Database | None = None
        if directory is not None:
            self._file = Database(directory / FILE, schema=_SCHEMA, tables=_TABLES, words=_WORDS)
            self._read(self._file)

    @property
    def failing(self) -> str:
        """Why the file cannot be written; '' if it can."""
        return self._file.failing if self._file is not None else "there is no place for it"

    def count(self, size: int, now_s: float | None) -> None:
        """So many bytes went just now; without a time they are counted when there is one."""
        if now_s is None:
            self._undated += size
            return
        at = int(now_s // SLOT_S) * SLOT_S
        size, self._undated = size + self._undated, 0
        self.slots[at] = self.slots.get(at, 0) + size
        self._new[at] += size

    async def save(self) -> None:
        """Write what is new, and read what others wrote; in a thread. What cannot be written is kept for the next."""
        if self._file is None:
            return
        new, self._new = self._new, defaultdict(int)
        if not await asyncio.to_thread(self._write, self._file, new):
            for at, size in new.items():
                self._new[at] += size
            return
        self._read(self._file)
        for at, size in self._new.items():  # counted meanwhile
            self.slots[at] = self.slots.get(at, 0) + size

    def close(self) -> None:
        """Write what is new, and let go."""
        if self._file is not None:
            self._write(self._file, self._new)
            self._new = defaultdict(int)
            self._file.close()

    def _write(self, file: Database, new: dict[int, int]) -> bool:
        with file.writing() as writing:
            for at, size in new.items():
                writing.execute(
                    "INSERT INTO slots VALUES (?, ?) ON CONFLICT (at) DO UPDATE SET bytes = bytes + excluded.bytes",
                    at,
                    size,
                )
            writing.execute("DELETE FROM slots WHERE at NOT IN (SELECT at FROM slots ORDER BY at DESC LIMIT ?)", KEEP)
        # A power cut shall not cost days.
        file.ask("PRAGMA wal_checkpoint(TRUNCATE)")
        return writing.done

    def _read(self, file: Database) -> None:
        self.slots = dict(file.ask("SELECT at, bytes FROM slots"))
