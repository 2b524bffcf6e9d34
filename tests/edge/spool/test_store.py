"""A camera's spool on disk: what was put is there after any end of the process, the oldest goes first when told, and a
damaged or full disk is said and survived.
"""

import sqlite3
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.held import ENTRY_BYTES, Held, HeldRange, HeldUnit
from fishladder.edge.spool.store import Life, Reading, SpoolStore
from fishladder.wire.fates import Fate
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.unit import NO_FLAGS, Codec, Flag

HOST = 4711


def unit(seq: int, size: int = 100, gop: int = 5) -> HeldUnit:
    flags = Flag.CLEAN if seq % gop == 1 else NO_FLAGS
    return HeldUnit(seq, CapturedUnit(Codec.H264, flags, 64, 48, 40_000, seq, seq, bytes(size)), seq, 9)


def store(place: Path, host: int = HOST) -> SpoolStore:
    return SpoolStore(place / "door.sqlite", host)


def life(epoch: int = 3, id: int = 1, position: int = 0) -> Life:
    return Life(id, epoch, position)


def read(it: SpoolStore, at: Position, last: int, most: int = 1 << 20, context: int = 0) -> Reading:
    found = it.read(at, last, most, context)
    assert found is not None
    return found


def shape(it: SpoolStore, epoch: int = 3, last: int = 1000) -> list[tuple[int, int, str]]:
    found = it.read(Position(epoch, 1), last, 1 << 30)
    assert found is not None
    assert found.done
    held: list[Held] = [stored.held for stored in found.entries]
    return [(one.first, one.last, "unit" if isinstance(one, HeldUnit) else one.fate.label) for one in held]


def test_what_was_put_is_there_after_a_crash_with_its_numbering(tmp_path: Path) -> None:
    before = store(tmp_path)
    assert before.put(life(position=9), [unit(seq) for seq in range(1, 6)])
    assert before.put(life(position=12), [unit(4), unit(5), HeldRange(6, 9, Fate.GATED, 1, 2)])  # some once more
    after = store(tmp_path)  # nobody closed it
    assert shape(after) == [(seq, seq, "unit") for seq in range(1, 6)] + [(6, 9, "gated")]
    assert [(it.epoch, it.position) for it in after.lives] == [(3, 12)]
    assert after.bytes == before.bytes == 5 * (ENTRY_BYTES + 100) + ENTRY_BYTES
    assert not after.read(Position(4, 1), 100, 1 << 20).entries


def test_a_range_that_has_grown_since_it_was_put_is_there_as_a_whole(tmp_path: Path) -> None:
    """It is put again after a crash, out of the ring's journal."""
    it = store(tmp_path)
    it.put(life(), [unit(1), HeldRange(2, 2, Fate.SHED, 1, 2)])
    it.put(life(), [HeldRange(2, 4, Fate.SHED, 1, 2)])
    it.put(life(), [unit(1), HeldRange(2, 5, Fate.SHED, 1, 2), unit(6)])
    it.put(life(), [HeldRange(2, 4, Fate.SHED, 1, 2)])
    assert shape(it) == [(1, 1, "unit"), (2, 2, "shed"), (3, 4, "shed"), (5, 5, "shed"), (6, 6, "unit")]
    assert it.bytes == store(tmp_path).bytes == 5 * ENTRY_BYTES + 200


def test_a_numbering_without_an_epoch_gets_it_later(tmp_path: Path) -> None:
    it = store(tmp_path)
    it.put(life(epoch=0, position=3), [unit(1), unit(2)])
    it.granted(life(epoch=8, position=3))
    assert [seq for seq, _, _ in shape(it, epoch=8)] == [1, 2]
    assert [(one.epoch, one.position) for one in store(tmp_path).lives] == [(8, 3)]


def test_reading_begins_at_the_clean_point_and_goes_on_piece_by_piece(tmp_path: Path) -> None:
    it = store(tmp_path)
    it.put(life(), [unit(seq, 1000) for seq in range(1, 21)])
    some = read(it, Position(3, 9), 18, 3000, 1 << 20)
    assert ([one.held.first for one in some.entries], some.done) == ([6, 7, 8], False)
    rest = read(it, Position(3, 9), 12)
    assert ([one.held.first for one in rest.entries], rest.done) == ([9, 10, 11, 12], True)
    far = read(it, Position(3, 9), 12, 1 << 20, 1500)  # the clean point is further back than that
    assert far.entries[0].held.first == 9


def test_a_range_that_reaches_into_what_is_asked_for_is_found(tmp_path: Path) -> None:
    it = store(tmp_path)
    it.put(life(), [HeldRange(1, 10, Fate.GATED, 1, 2), unit(11)])
    assert [one.held.first for one in read(it, Position(3, 5), 11).entries] == [1, 11]


def test_what_is_settled_goes_but_for_what_the_rest_has_to_be_decoded_with(tmp_path: Path) -> None:
    it = store(tmp_path)
    it.put(life(), [unit(seq) for seq in range(1, 21)])
    it.forget(Position(3, 14))
    assert shape(it)[0][0] == 11
    it.forget(Position(3, 21), True)  # the group goes on in what is still to come
    assert shape(it)[0][0] == 16
    it.forget(Position(4, 1))
    assert (it.bytes, it.lives) == (0, [])
    assert store(tmp_path).bytes == 0


def test_the_oldest_whole_group_goes_first_and_is_declared(tmp_path: Path) -> None:
    it = store(tmp_path)
    skipped = {seq: HeldRange(seq, seq, Fate.SAMPLED_OUT, 1, 2) for seq in (3, 8)}
    it.put(life(), [skipped.get(seq) or unit(seq) for seq in range(1, 21)])
    assert it.drop_oldest(ORIGIN) == 4
    assert shape(it)[:4] == [(1, 2, "spool_full"), (3, 3, "sampled_out"), (4, 5, "spool_full"), (6, 6, "unit")]
    assert it.drop_oldest(ORIGIN) == 4
    assert shape(it)[2:5] == [(4, 7, "spool_full"), (8, 8, "sampled_out"), (9, 10, "spool_full")]
    assert it.bytes == sum(ENTRY_BYTES + (100 if what == "unit" else 0) for _, _, what in shape(it))
    assert store(tmp_path).bytes == it.bytes
    assert it.dropped == 8


def test_what_is_on_its_way_is_not_dropped(tmp_path: Path) -> None:
    it = store(tmp_path)
    it.put(life(), [unit(seq) for seq in range(1, 21)])
    assert it.drop_oldest(Position(3, 7)) == 5
    assert [what for _, _, what in shape(it)].count("unit") == 15
    assert (11, 15, "spool_full") in shape(it)
    assert it.drop_oldest(Position(3, 19)) is None


def test_without_units_left_the_ranges_become_one(tmp_path: Path) -> None:
    it = store(tmp_path)
    it.put(life(), [HeldRange(seq, seq, Fate.GATED if seq % 2 else Fate.SHED, 1, 2) for seq in range(1, 100)])
    assert it.drop_oldest(ORIGIN) == 0
    assert shape(it) == [(1, 99, "spool_full")]


def test_age_is_by_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    it = store(tmp_path)
    it.put(life(), [unit(seq) for seq in range(1, 11)])  # whose wall clock says 1970
    assert it.drop_oldest(ORIGIN, 3600) is None
    assert it.drop_oldest(ORIGIN, 0) == 5
    later = store(tmp_path, host=HOST + 1)  # the host was started anew, whenever that was
    age_s = later.oldest_s()
    assert age_s is not None
    assert age_s < 3600
    assert later.drop_oldest(ORIGIN, 3600) is None
    assert [one.same_host for one in read(later, Position(3, 6), 10).entries] == [False] * 5


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    first = store(tmp_path)
    first.put(life(), [unit(seq, 3000) for seq in range(1, 200)])
    first.close()
    file = tmp_path / "door.sqlite"
    for damage in (lambda: file.write_bytes(b"no database at all" * 1000), lambda: _scramble(file)):
        damage()
        with capture_logs() as logs:
            it = store(tmp_path)
            read(it, Position(3, 1), 1000)
            it.put(life(), [unit(seq, 3000) for seq in range(200, 210)])
            read(it, Position(3, 1), 1000)
        assert [one for one in logs if "set aside" in one["event"]], logs
        assert it.put(life(), [unit(seq, 3000) for seq in range(200, 210)])
        assert read(it, Position(3, 200), 1000).entries
        it.close()
    assert len([one for one in tmp_path.glob("door.sqlite.damaged-*") if one.suffix != "-wal"]) >= 1


def _scramble(file: Path) -> None:
    """Overwrite all pages but the first."""
    size = file.stat().st_size
    with file.open("r+b") as out:
        out.seek(4096)
        out.write(b"\xa5" * (size - 4096))


def test_a_file_of_a_later_version_is_set_aside(tmp_path: Path) -> None:
    store(tmp_path).close()
    with sqlite3.connect(tmp_path / "door.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    with capture_logs() as logs:
        it = store(tmp_path)
    assert "its schema is 99" in logs[0]["error"]
    assert it.put(life(), [unit(1)])


def test_a_full_disk_is_said_once_and_what_is_there_stays(tmp_path: Path) -> None:
    it = store(tmp_path)
    assert it.put(life(), [unit(seq, 1000) for seq in range(1, 11)])
    db = it.database._db
    assert db is not None
    [(pages,)] = db.execute("PRAGMA page_count").fetchall()
    db.execute(f"PRAGMA max_page_count = {pages + 3}")  # SQLITE_FULL, as when the disk has no room
    with capture_logs() as logs:
        assert not it.put(life(), [unit(seq, 10_000) for seq in range(11, 20)])
        assert not it.put(life(), [unit(seq, 10_000) for seq in range(11, 20)])
        assert len(shape(it)) == 10
        assert "full" in it.database.failing
        db.execute(f"PRAGMA max_page_count = {pages + 1000}")
        assert it.put(life(), [unit(11)])
        assert not it.database.failing
    assert [one["log_level"] for one in logs] == ["error", "info"]
    assert it.bytes == 10 * (ENTRY_BYTES + 1000) + ENTRY_BYTES + 100


def test_a_place_that_cannot_be_written_holds_nothing_and_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with capture_logs() as logs:
        it = SpoolStore(tmp_path / "file" / "door.sqlite", HOST)
        assert not it.put(life(), [unit(1)])
        assert (it.lives, it.bytes, it.oldest_s(), it.drop_oldest(ORIGIN)) == ([], 0, None, None)
        it.forget(Position(9, 9))
        assert it.read(Position(3, 1), 9, 100) is None  # which does not say that it is lost
    assert len(logs) == 1


def test_what_the_disk_cannot_read_any_more_does_not_hold_up_what_it_can(tmp_path: Path) -> None:
    """No disk here has a bad sector, so the answer of one stands for it."""
    it = store(tmp_path)
    it.put(life(), [unit(seq) for seq in range(1, 11)])
    ask = it.database.ask

    def bad_at_4(query: str, *args: object) -> list[Any]:
        rows = ask(query, *args)
        if "body" in query and any(4 in (row[0], row[-4]) for row in rows):
            it.database.errors += 1
            return []
        return rows

    it.database.ask = bad_at_4  # type: ignore[method-assign]
    assert it.read(Position(3, 1), 10, 1 << 20) is None
    found = it.read(Position(3, 1), 10, 1 << 20, anyway=True)
    assert found is not None
    assert found.done
    assert [one.held.first for one in found.entries] == [1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert it.drop_oldest(ORIGIN) is None
