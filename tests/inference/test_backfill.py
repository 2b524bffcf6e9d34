"""The backfill lane against real stores, with real streams and a real model: what was deferred ends as an uninterrupted
loop would have it, each seq once, whatever happens on the way.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support import clips
from support.clips import Clip
from support.logged import Producer
from support.offline import offline
from support.stores import wait_until
from support.workers import ledger_of, settled, worker_here, worker_process

from fishladder.runtime import commits
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec, Range, Unit

CAMERA = "site/camera"


def units(producer: Producer, first: int, last: int) -> list[Unit]:
    return [it for it in producer.spool if isinstance(it, Unit) and first <= it.seq <= last]


async def open_now(producer: Producer) -> bool:
    return bool(await commits.read_open(producer.stores.state, producer.partition, CAMERA))


async def deferring(stores: Stores, codec: Codec, clip: Clip, first: int, last: int) -> Producer:
    """A camera that has sent all of a clip but `first..last`."""
    producer = Producer(stores, CAMERA, codec)
    producer.capture(clip)
    producer.defer(first, last)
    await producer.send()
    return producer


def whole(producer: Producer) -> Callable[[], Awaitable[None]]:
    """What an agent does: whatever is open it sends, again if need be."""
    sent: list[str] = []

    async def again() -> None:
        await producer.check()
        if await open_now(producer) and sent[-1:] != [producer.session]:
            sent.append(producer.session)
            await producer.fill(*producer.spool)

    return again


CLIPS: list[tuple[str, Codec, Callable[[], Clip], int, int]] = [
    ("plain", Codec.H264, clips.plain, 21, 40),
    ("b-frames", Codec.H264, clips.b_frames, 21, 40),
    ("h265 open gop", Codec.H265, clips.h265_open_gop, 1, 60),
    ("vp8", Codec.VP8, clips.vp8, 1, 60),
]


@pytest.mark.parametrize(("codec", "make", "first", "last"), [it[1:] for it in CLIPS], ids=[it[0] for it in CLIPS])
async def test_what_was_deferred_is_inferred_as_offline(
    stores: Stores, model: Path, codec: Codec, make: Callable[[], Clip], first: int, last: int
) -> None:
    clip = make()
    async with worker_here(stores, model):
        producer = await deferring(stores, codec, clip, first, min(last, len(clip)))
        account = await settled(producer, meanwhile=whole(producer))
        assert await stores.frames.xlen(keys.backfill(producer.partition, CAMERA)) == 0, "nothing is left behind"
    assert account.fates == {(1, seq): Fate.INFERRED for seq in range(1, len(clip) + 1)}
    assert account.frames() == {(1, seq): found for seq, found in offline(model, codec, clip).items()}


async def test_context_is_decoded_and_not_counted(stores: Stores, model: Path) -> None:
    """A segment that begins in the middle of a group: what comes before it was settled live."""
    clip = clips.plain()
    producer = Producer(stores, CAMERA)
    producer.capture(clip)
    before = list(producer.items)
    producer.defer(30, 40)
    await producer.send()
    async with worker_here(stores, model):
        await wait_until(lambda: open_now(producer))
        await producer.fill(*before[20:29], context=True)
        await producer.fill(*producer.spool)
        account = await settled(producer)
    assert account.fates == {(1, seq): Fate.INFERRED for seq in range(1, 61)}
    assert account.frames() == {(1, seq): found for seq, found in offline(model, Codec.H264, clip).items()}


async def test_what_the_agent_has_not_got_is_settled_as_it_says(stores: Stores, model: Path) -> None:
    clip = clips.plain()
    async with worker_here(stores, model):
        producer = await deferring(stores, Codec.H264, clip, 1, 40)
        await wait_until(lambda: open_now(producer))
        await producer.fill(Range(epoch=1, first=1, last=20, fate=Fate.SPOOL_FULL), *units(producer, 21, 25))
        await producer.fill(Range(epoch=1, first=26, last=28, fate=Fate.SPOOL_LOST), *units(producer, 29, 40))
        account = await settled(producer)
    fates = [account.fates[1, seq] for seq in range(1, 61)]
    assert fates[:25] == [Fate.SPOOL_FULL] * 20 + [Fate.INFERRED] * 5
    assert fates[25:40] == [Fate.SPOOL_LOST] * 3 + [Fate.NO_REFERENCE] * 12
    assert fates[40:] == [Fate.INFERRED] * 20


async def test_a_segment_sent_twice_or_never_asked_for_counts_once(stores: Stores, model: Path) -> None:
    clip = clips.plain()
    async with worker_here(stores, model):
        producer = await deferring(stores, Codec.H264, clip, 21, 40)
        await wait_until(lambda: open_now(producer))
        for _ in range(2):
            await producer.fill(*[it for it in producer.items if isinstance(it, Unit) and it.seq <= 20])
            await producer.fill(*units(producer, 21, 33))
        await producer.fill(*units(producer, 21, 40))
        account = await settled(producer)
    assert account.fates == {(1, seq): Fate.INFERRED for seq in range(1, 61)}
    assert account.frames() == {(1, seq): found for seq, found in offline(model, Codec.H264, clip).items()}


async def test_a_killed_worker_is_followed_by_another(stores: Stores, model: Path, tmp_path: Path) -> None:
    clip = clips.b_frames()
    producer = await deferring(stores, Codec.H264, clip, 1, 60)
    async with worker_process(stores, model, tmp_path / "log", "--lease-ms", "500") as process:
        await wait_until(lambda: open_now(producer), timeout=30)
        await producer.fill(*producer.spool[:30])

        async def some() -> bool:
            return (await ledger_of(producer)).group("inferred") > 0

        await wait_until(some, timeout=30)
        process.kill()
    await producer.fill(*producer.spool[30:])
    async with worker_here(stores, model):
        account = await settled(producer)
    assert account.fates == {(1, seq): Fate.INFERRED for seq in range(1, 61)}
    assert account.frames() == {(1, seq): found for seq, found in offline(model, Codec.H264, clip).items()}


async def test_a_lost_frame_store_or_another_session_costs_nothing(stores: Stores, model: Path) -> None:
    clip = clips.plain()
    async with worker_here(stores, model):
        producer = await deferring(stores, Codec.H264, clip, 1, 40)
        await wait_until(lambda: open_now(producer))
        await producer.fill(*units(producer, 1, 10))
        await stores.frames.flushall()
        again = whole(producer)
        account = await settled(producer, meanwhile=again)
    assert account.fates == {(1, seq): Fate.INFERRED for seq in range(1, 61)}
    assert account.frames() == {(1, seq): found for seq, found in offline(model, Codec.H264, clip).items()}


async def test_an_earlier_epoch_is_drained_under_its_own_numbers(stores: Stores, model: Path) -> None:
    clip = clips.plain()
    async with worker_here(stores, model):
        producer = await deferring(stores, Codec.H264, clip, 21, 60)
        await wait_until(lambda: open_now(producer))
        rest = [it.at(it.position) for it in units(producer, 21, 60)]
        producer.forget()
        producer.session = ""
        producer.capture(clip)
        await producer.send()
        producer.epoch = 1  # for those entries' numbers
        await producer.fill(*rest)
        producer.epoch = 2
        account = await settled(producer)
    expected = offline(model, Codec.H264, clip)
    assert account.fates == {(epoch, seq): Fate.INFERRED for epoch in (1, 2) for seq in range(1, 61)}
    assert account.frames() == {(epoch, seq): found for epoch in (1, 2) for seq, found in expected.items()}
