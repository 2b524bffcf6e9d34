"""What waits in the spools of a directory, beside an agent that may be at work on them. It only reads."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from fishladder.wire.errors import ConfigError
from fishladder.wire.open_set import OpenRange

_ASKED = (
    "SELECT life.epoch, entry.first, entry.last, entry.size, entry.unit"
    " FROM entry JOIN life ON life.number = entry.life ORDER BY life.number, entry.first"
)


class Waiting(NamedTuple):
    """One camera's. `ranges` ascend; epoch 0 = no gateway has granted one yet, so nobody can ask for it."""

    camera: str
    ranges: tuple[OpenRange, ...]
    units: int
    bytes: int


def waiting(directory: Path, site: str) -> list[Waiting]:
    """Of each camera with a spool. Raises `ConfigError` for what cannot be read."""
    return [_of(file, f"{site}/{file.stem}") for file in sorted(directory.glob("*.sqlite"))]


def units_in(file: Path) -> int:
    """How many units wait in a spool that nobody works with; 0 if it cannot be read."""
    try:
        with _reading(file) as db:
            return int(db.execute("SELECT count(*) FROM entry WHERE unit").fetchone()[0])
    except sqlite3.Error:
        return 0


def _of(file: Path, camera: str) -> Waiting:
    try:
        with _reading(file) as db:
            rows = db.execute(_ASKED).fetchall()
    except sqlite3.Error as error:
        raise ConfigError(f"{file}: {error}") from None
    ranges: list[OpenRange] = []
    for epoch, first, last, _, _ in rows:
        if ranges and ranges[-1].epoch == epoch and ranges[-1].last >= first - 1:
            ranges[-1] = OpenRange(epoch, ranges[-1].first, max(ranges[-1].last, last))
        else:
            ranges.append(OpenRange(epoch, first, last))
    return Waiting(camera, tuple(ranges), sum(row[4] for row in rows), sum(row[3] for row in rows))


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    """Where nothing can be written, as on the disk of a dead host that was put into another one, nobody else is at work
    either, and SQLite needs no file to share its index of the log by: it can keep that in memory.
    """
    alone = not os.access(file.parent, os.W_OK)
    how = "mode=ro&vfs=unix-none" if alone else "mode=ro"
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True)) as db:
        if alone:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
        yield db
