"""The ring's journal: what was captured is there after a crash, whatever the crash or the disk did to its end."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.held import Held, HeldRange, HeldUnit
from fishladder.edge.spool.journal import SEGMENT_BYTES, Journal
from fishladder.edge.spool.records import pack, unpack
from fishladder.wire.errors import WireError
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec, Flag


def unit(seq: int, size: int = 100, flags: Flag = Flag.CLEAN) -> HeldUnit:
    return HeldUnit(
        seq, CapturedUnit(Codec.H264, flags, 64, 48, 40_000, -seq, seq * 7, bytes([seq % 256]) * size), -5, 9
    )


def skipped(first: int, last: int, fate: Fate = Fate.SAMPLED_OUT) -> HeldRange:
    return HeldRange(first, last, fate, first, -first)


def begun(place: Path, life: int = 7, *, segment_bytes: int = SEGMENT_BYTES) -> Journal:
    journal = Journal(place, segment_bytes=segment_bytes)
    journal.begin(life, 0)
    return journal


def recovered(place: Path) -> list[Held]:
    found = Journal(place).recover()
    return [] if found is None else found.entries


@given(
    st.integers(1, 1 << 40), st.binary(min_size=1, max_size=200), st.sampled_from([*Flag]), st.integers(-(1 << 60), 0)
)
def test_records_come_back_as_they_were(seq: int, payload: bytes, flags: Flag, time_us: int) -> None:
    one = HeldUnit(seq, CapturedUnit(Codec.H265, flags, 1, 2, 3, time_us, time_us, payload), time_us, 4)
    assert unpack(seq, seq, pack(one)) == one
    two = HeldRange(seq, seq + 9, Fate.GATED, time_us, time_us)
    assert unpack(seq, seq + 9, pack(two)) == two


@given(st.binary(max_size=60))
def test_damaged_records_are_refused_and_nothing_else(data: bytes) -> None:
    try:
        unpack(1, 1, data)
    except WireError:
        return


def test_everything_appended_comes_back_with_its_numbering(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    for held in (unit(1), skipped(2, 3), skipped(4, 4), unit(5)):
        journal.append(held)
    journal.granted(3)
    journal.append(unit(6))
    found = Journal(tmp_path).recover()  # nothing was closed
    assert found is not None
    assert (found.life, found.epoch) == (7, 3)
    assert found.entries == [unit(1), skipped(2, 4), unit(5), unit(6)]


def test_what_is_committed_goes_and_is_remembered_as_such(tmp_path: Path) -> None:
    journal = begun(tmp_path, segment_bytes=1000)
    for seq in range(1, 101):
        journal.append(unit(seq))
        journal.forget(max(seq - 10, 1), max(seq - 12, 0))
    assert sum(it.stat().st_size for it in tmp_path.iterdir()) < 6000
    found = Journal(tmp_path).recover()
    assert found is not None
    assert found.entries[-1] == unit(100)
    assert found.entries[0].first <= 90
    assert 70 < found.committed <= 88


@settings(max_examples=30)
@given(st.integers(0, 3000), st.booleans())
def test_a_torn_or_damaged_end_loses_no_more_than_itself(
    tmp_path_factory: pytest.TempPathFactory, at: int, flip: bool
) -> None:
    place = tmp_path_factory.mktemp("journal")
    journal = begun(place)
    for seq in range(1, 11):
        journal.append(unit(seq, 200))
    journal.close()
    [file] = place.iterdir()
    data = bytearray(file.read_bytes())
    at %= len(data)
    if flip:
        data[at] ^= 0x55
    file.write_bytes(data if flip else data[:at])
    found = recovered(place)
    assert found == [unit(seq, 200) for seq in range(1, len(found) + 1)]


def test_going_on_after_a_torn_end_keeps_what_follows_the_hole(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    for seq in range(1, 6):
        journal.append(unit(seq))
    [file] = tmp_path.iterdir()
    os.truncate(file, file.stat().st_size - 10)
    journal = Journal(tmp_path)
    assert journal.recover() is not None
    journal.append(unit(6))
    journal.append(unit(7))
    assert recovered(tmp_path) == [unit(6), unit(7)]


def test_another_numbering_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    journal.append(unit(1))
    journal.begin(8, 0)
    journal.append(unit(1, 50))
    found = Journal(tmp_path).recover()
    assert found is not None
    assert (found.life, found.entries) == (8, [unit(1, 50)])


def test_where_there_is_no_room_it_is_said_once_and_nothing_stops(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    journal.append(unit(1))
    journal.close()
    full = tmp_path / "full"
    with capture_logs() as logs:
        journal.directory = full
        full.write_text("not a directory")
        for seq in range(2, 5):
            journal.append(unit(seq))
        journal.directory = tmp_path
        journal.append(unit(5))
    assert [it["log_level"] for it in logs] == ["error", "info"]
    assert recovered(tmp_path) == [unit(5)]
