"""How much a spool may hold where no size is given, and what a camera's memory says of a file it cannot open yet."""

import shutil
import sqlite3
from pathlib import Path
from typing import NamedTuple

import pytest

from fishladder.edge.held import HeldRange
from fishladder.edge.ring import Ring
from fishladder.edge.session import Session
from fishladder.edge.spool.database import Database
from fishladder.edge.spool.lane import Lane
from fishladder.edge.spool.places import DEFAULT_BYTES, default_bytes
from fishladder.edge.spool.store import Life, SpoolStore
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(
    ("held", "free", "limit"),
    [
        (0, 1_000_000, 500_000),
        (400_000, 600_000, 500_000),
        (400_000, 0, 400_000),  # others have filled the disk: what is here stays
        (0, 1 << 50, DEFAULT_BYTES),
    ],
)
def test_a_spool_takes_half_of_what_is_free_and_gives_nothing_up(
    held: int, free: int, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "door.sqlite").write_bytes(bytes(held))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free))
    assert default_bytes(tmp_path) == limit


def test_what_cannot_be_opened_at_the_start_is_not_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full has no room for SQLite's index either."""
    path = tmp_path / "door.sqlite"
    before = SpoolStore(path, 1)
    before.put(Life(77, 3, 9), [HeldRange(1, 9, Fate.GATED, 1, 2)])
    before.close()

    def full(self: Database) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_connect", full)
        store = SpoolStore(path, 1)
        lane = Lane(Session("shop/door", 0, Ring()), store, None, lambda: None)
        lane.restore()
        assert store.read(Position(3, 1), 9, 1 << 20) is None, "nobody knows now"
    assert lane.session.hello(0.0).spooled
    reading = store.read(Position(3, 1), 9, 1 << 20)
    assert reading is not None
    assert [it.held.last for it in reading.entries] == [9]
