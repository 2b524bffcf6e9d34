"""The count of what was carried outlives the agent, its crash, a damaged file and a full disk."""

import asyncio
from pathlib import Path

import pytest

from fishladder.edge.limits.month import SLOT_S
from fishladder.edge.limits.usage import FILE, Usage, counted

NOW = 1_800_000_000.0
SLOT = int(NOW // SLOT_S) * SLOT_S


async def test_a_restart_goes_on_counting(tmp_path: Path) -> None:
    first = Usage(tmp_path)
    first.count(1000, None)  # before anybody knew the time
    first.count(500, NOW)
    first.count(7, NOW + SLOT_S)
    await first.save()
    first.count(3, NOW)
    again = Usage(tmp_path)  # the first was killed: what it had not written is lost, no more
    assert again.slots == {SLOT: 1500, SLOT + SLOT_S: 7}
    again.count(100, NOW)
    again.close()
    assert Usage(tmp_path).slots == {SLOT: 1600, SLOT + SLOT_S: 7}


async def test_agents_of_one_uplink_share_one_count(tmp_path: Path) -> None:
    one, two = Usage(tmp_path), Usage(tmp_path)
    one.count(10, NOW)
    two.count(5, NOW)
    await one.save()
    await two.save()
    assert two.slots == {SLOT: 15}
    await one.save()
    assert one.slots == {SLOT: 15}
    for it in (one, two):
        it.close()


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    it = Usage(tmp_path)
    it.count(10, NOW)
    it.close()
    assert Usage(tmp_path).slots == {SLOT: 10}
    assert list(tmp_path.glob(f"{FILE}.damaged-*"))


async def test_what_cannot_be_written_is_counted_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    it = Usage(tmp_path / "file")
    it.count(10, NOW)
    await it.save()
    it.count(5, NOW)
    assert it.slots == {SLOT: 15}
    assert it.failing
    (tmp_path / "file").unlink()
    await it.save()
    assert not it.failing
    assert Usage(tmp_path / "file").slots == {SLOT: 15}


def test_who_only_looks_reads_it_while_it_is_written_and_leaves_nothing(tmp_path: Path) -> None:
    assert counted(tmp_path) == {}
    assert not list(tmp_path.iterdir())
    it = Usage(tmp_path)
    it.count(10, SLOT)
    asyncio.run(it.save())
    it.count(5, SLOT)
    asyncio.run(it.save())
    assert counted(tmp_path) == {SLOT: 15}
    it.close()
    before = sorted(tmp_path.iterdir())
    assert counted(tmp_path) == {SLOT: 15}
    assert sorted(tmp_path.iterdir()) == before
