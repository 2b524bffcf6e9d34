"""One SQLite file of the spool: opened, created, or set aside when it is damaged; one transaction at a time; and what
is wrong with the disk, said once. What is in it is `store`'s.

WAL with synchronous = NORMAL: a crash of the agent loses nothing, a power cut at most what was written since the last
checkpoint, and the disk is not asked to flush for every second of video.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import structlog

log = structlog.get_logger(__name__)

#: The write-ahead log is copied into the database at this size (pages of 4 KB), and cut back to it.
_CHECKPOINT_PAGES = 1000
_LARGE_BYTES = 8 << 20


class Words(NamedTuple):
    """What a log calls a file, and what its loss or its failing means."""

    it: str = "the spool"
    lost: str = "what was in it counts as spool_lost"
    failing: str = "frames are kept in memory only"


class Database:
    """`ask` and `writing` never raise for what is wrong with the disk: `failing` then says why. A damaged file is set
    aside, and a new one begun.
    """

    def __init__(self, path: Path, *, schema: int, tables: str, words: Words | None = None) -> None:
        self.path = path
        self.failing = ""
        self.errors = 0  #: of the disk, in all; a damaged file is none
        self.begun: Callable[[], None] = lambda: None  #: called when a file is opened later, or begun anew
        self._schema = schema
        self._tables = tables
        self._words = words or Words()
        self._db: sqlite3.Connection | None = None
        self.open()

    def open(self) -> bool:
        """Try to open the file, if it is not; whether it is."""
        if self._db is not None:
            return True
        try:
            self._db = self._connect()
        except sqlite3.OperationalError as error:  # no room, no rights: the file may be well
            self._fails(error)
        except sqlite3.DatabaseError as error:
            self._set_aside(error)
        else:
            self.begun()
        return self._db is not None

    def close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def ask(self, query: str, *args: object) -> list[Any]:
        """The rows; none if it does not work, which `errors` counts."""
        self.open()
        if self._db is None:
            return []
        try:
            return self._db.execute(query, args).fetchall()
        except sqlite3.Error as error:
            self._fails(error)
            return []

    @contextlib.contextmanager
    def writing(self) -> "Iterator[Writing]":
        """One transaction: all of it or nothing. `done` says which."""
        self.open()
        writing = Writing(self._db)
        if self._db is None:
            with contextlib.suppress(sqlite3.Error):
                yield writing
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield writing
            self._db.execute("COMMIT")
            writing.done = True
        except sqlite3.Error as error:
            if self._db is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
            self._fails(error)
            return
        if self.failing:
            self.failing = ""
            log.info(f"{self._words.it} can be written again", path=str(self.path))

    @property
    def large(self) -> bool:
        """Whether the file has grown so that it is worth making it small again."""
        try:
            return self.path.stat().st_size > _LARGE_BYTES
        except OSError:
            return False

    def compact(self) -> None:
        """Give the disk back what an empty file holds."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("VACUUM")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise sqlite3.OperationalError(error.strerror) from None
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            db.execute(f"PRAGMA journal_size_limit = {_CHECKPOINT_PAGES * 4096}")
            [(version,)] = db.execute("PRAGMA user_version").fetchall()
            if version == 0:
                db.executescript(f"BEGIN; {self._tables}; PRAGMA user_version = {self._schema}; COMMIT;")
            elif version != self._schema:
                raise sqlite3.DatabaseError(f"its schema is {version}, this version knows {self._schema}")
        except BaseException:
            db.close()
            raise
        return db

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        """Move a damaged file away, in the place of the one before, and begin a new one."""
        self.close()
        for older in self.path.parent.glob(f"{self.path.name}.damaged-*"):
            older.unlink(missing_ok=True)
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{self.path}{suffix}").replace(f"{aside}{suffix}")
        log.error(
            f"{self._words.it} was damaged and is set aside; a new one begins, and {self._words.lost}",
            moved_to=str(aside),
            error=str(error),
        )
        try:
            self._db = self._connect()
        except sqlite3.Error as again:
            self._fails(again)
        self.begun()

    def _fails(self, error: sqlite3.Error) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) and isinstance(error, sqlite3.DatabaseError):
            if self._db is not None:
                self._set_aside(error)
            return
        self.errors += 1
        if not self.failing:
            log.error(f"{self._words.it} does not work: {self._words.failing}", path=str(self.path), error=str(error))
        self.failing = str(error)


class Writing:
    """A transaction under way."""

    def __init__(self, db: sqlite3.Connection | None) -> None:
        self.done = False
        self._db = db

    def execute(self, query: str, *args: object) -> sqlite3.Cursor:
        if self._db is None:
            raise sqlite3.OperationalError("the spool is not open")
        return self._db.execute(query, args)
