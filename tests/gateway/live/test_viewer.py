"""One viewer's queue: bounded, dropped whole up to the next picture a decoder can begin with."""

import asyncio

from support.agent_client import unit

from fishladder.gateway.live.viewer import Viewer
from fishladder.wire.entry import LoggedUnit, Stamp
from fishladder.wire.unit import UNIT_HEADER_BYTES, Header


def offer(viewer: Viewer, seq: int, *, clean: bool, size: int = 100, index: int = 0) -> None:
    packed = memoryview(unit(1, seq, size=size, clean=clean).pack())
    viewer.offer_unit(index, LoggedUnit(Header.peek(packed), Stamp(1, 2, 3), packed[UNIT_HEADER_BYTES:]), packed)


async def seqs(viewer: Viewer) -> list[int]:
    taken = await asyncio.wait_for(viewer.take(), 1)
    return [Header.peek(memoryview(it)[19:]).seq for it in taken if isinstance(it, bytes)]


async def test_it_begins_with_a_clean_picture() -> None:
    viewer = Viewer()
    viewer.begins(0)
    for seq in range(1, 5):
        offer(viewer, seq, clean=seq == 3)
    assert await seqs(viewer) == [3, 4]


async def test_who_is_slow_loses_up_to_the_next_clean_picture_and_is_told() -> None:
    viewer = Viewer(max_bytes=1000)
    for seq in range(1, 12):
        offer(viewer, seq, clean=seq in (1, 9), size=200)
    taken = await asyncio.wait_for(viewer.take(), 1)
    assert [it for it in taken if isinstance(it, str)] == ['{"type":"skipped","units":6}']
    assert [Header.peek(memoryview(it)[19:]).seq for it in taken if isinstance(it, bytes)] == [9, 10, 11]
    assert viewer.skipped == 8


async def test_a_wall_of_cameras_gets_clean_pictures_only() -> None:
    viewer = Viewer(clean_only=True)
    for seq in range(1, 21):
        offer(viewer, seq, clean=seq % 10 == 1)
    viewer.offer_text("a result")
    assert await seqs(viewer) == [1, 11]
