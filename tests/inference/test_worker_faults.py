"""The worker when stores, logs, leases and agents do not do as hoped: every seq still has one fate, and no picture is
given that an uninterrupted decode would not have shown.
"""

import asyncio
import random
from pathlib import Path

import pytest
from support import clips
from support.logged import Producer
from support.offline import offline
from support.stores import short_tmp, wait_until
from support.workers import ledger_of, settled, worker_here

from fishladder.inference import replay
from fishladder.runtime import commits, frames
from fishladder.runtime.embedded import frames_options, state_options
from fishladder.runtime.server import find_server, run_server
from fishladder.runtime.store import Stores, StoreUrls, open_stores
from fishladder.wire import keys
from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import Position
from fishladder.wire.result import Detection
from fishladder.wire.unit import Codec

Found = dict[tuple[int, int], list[Detection]]


def expected(model: Path, clip: clips.Clip, epoch: int = 1) -> Found:
    return {(epoch, seq): found for seq, found in offline(model, Codec.H264, clip).items()}


async def committed(producer: Producer, seq: int) -> None:
    async def reached() -> bool:
        return (await ledger_of(producer)).cursor >= Position(producer.epoch, seq)

    await wait_until(reached, 20, f"{producer.camera} is committed up to {seq}")


async def trickle(producer: Producer, upto: int, rng: random.Random) -> None:
    """Send in small pieces, so that the worker is in the middle of things at any time."""
    while producer.following <= upto:
        await producer.send(min(upto, producer.following + rng.randrange(1, 6)))
        await asyncio.sleep(rng.uniform(0, 0.02))


@pytest.mark.parametrize("seed", range(3))
async def test_the_frame_store_is_wiped_midway(stores: Stores, model: Path, seed: int) -> None:
    rng = random.Random(seed)
    clip = clips.b_frames()
    producer = Producer(stores, "site/camera")
    producer.capture(clip)
    async with worker_here(stores, model):
        for _ in range(3):
            await trickle(producer, min(producer.following + rng.randrange(5, 25), len(clip)), rng)
            await stores.frames.flushall()
            await stores.frames.hset(keys.META, mapping={"schema": 1, "partitions": stores.partitions})
        await producer.send()
        account = await settled(producer, meanwhile=producer.check)
    assert account.frames() == expected(model, clip)


async def test_a_log_that_vanished_under_its_owner_is_sent_again(stores: Stores, model: Path) -> None:
    """Nothing is there to show a gap: only the owner's word that there was more."""
    clip = clips.b_frames()
    producer = Producer(stores, "site/camera")
    producer.capture(clip)
    async with worker_here(stores, model):
        await producer.send(31)
        await committed(producer, 25)
    await producer.send(45)
    await stores.frames.delete(keys.log(producer.partition, producer.camera))
    async with worker_here(stores, model):
        await wait_until(lambda: fenced(producer), 20, "the log is opened anew")
        await producer.send()
        account = await settled(producer, meanwhile=producer.check)
    assert account.frames() == expected(model, clip)


async def fenced(producer: Producer) -> bool:
    await producer.check()
    return producer.hello > 1


async def test_entries_missing_in_the_log_are_sent_again(stores: Stores, model: Path) -> None:
    """A hole that nobody should make is seen, and the agent fills it."""
    clip = clips.plain()
    producer = Producer(stores, "site/camera")
    producer.capture(clip)
    await producer.send()
    key = keys.log(producer.partition, producer.camera)
    await stores.frames.xdel(key, "1-30", "1-31")
    async with worker_here(stores, model):
        account = await settled(producer, meanwhile=producer.check)
    assert producer.hello > 1
    assert account.frames() == expected(model, clip)


async def test_an_agent_that_forgot_begins_another_epoch(stores: Stores, model: Path) -> None:
    """What it had captured and never sent is counted; both epochs add up."""
    first, second = clips.b_frames()[:33], clips.plain()
    producer = Producer(stores, "site/camera")
    producer.capture(first)
    async with worker_here(stores, model):
        await producer.send()
        await committed(producer, 20)
        producer.position += 9
        await producer.report()
        producer.forget()
        producer.capture(second)
        producer.session = ""
        await producer.send()
        account = await settled(producer)
    assert producer.epoch == 2
    assert account.frames() == expected(model, first) | expected(model, second, epoch=2)
    assert [seq for (_, seq), fate in account.fates.items() if fate is Fate.SPOOL_LOST] == list(range(34, 43))


async def test_an_agent_that_forgot_while_the_log_was_lost(stores: Stores, model: Path) -> None:
    first, second = clips.plain()[:33], clips.plain()
    producer = Producer(stores, "site/camera")
    producer.capture(first)
    async with worker_here(stores, model):
        await producer.send(20)
        await committed(producer, 20)
        await producer.report()
    await producer.send()
    await stores.frames.delete(
        keys.log(producer.partition, producer.camera), keys.owner(producer.partition, producer.camera)
    )
    producer.forget()
    producer.capture(second)
    producer.session = ""
    await producer.send()
    async with worker_here(stores, model):
        account = await settled(producer)
    assert account.frames() == expected(model, first[:20]) | expected(model, second, epoch=2)
    assert [seq for (_, seq), fate in account.fates.items() if fate is Fate.LOG_LOST] == list(range(21, 34))


async def test_a_stolen_lease_stops_commits_until_it_is_free(stores: Stores, model: Path) -> None:
    """Another worker settles some seqs with the lease in its hands; ours goes on behind them."""
    clip = clips.b_frames()
    producer = Producer(stores, "site/camera")
    producer.capture(clip)
    lease = keys.lease(producer.partition)
    async with worker_here(stores, model):
        await producer.send(25)
        await committed(producer, 20)
        await stores.state.set(lease, "thief")
        await producer.send(40)
        cursor = (await ledger_of(producer)).cursor
        outcome = await commits.commit(
            stores.state,
            producer.partition,
            producer.camera,
            token="thief",
            start=cursor,
            to=Position(1, 30),
            runs=[Run(Fate.SAMPLED_OUT, cursor.seq + 1, 30)],
            result=f'{{"camera":"site/camera","epoch":1,"first":{cursor.seq + 1},"last":30,'
            f'"runs":[[16,{cursor.seq + 1},30]]}}'.encode(),
            keep_bytes=1 << 24,
            keep_ms=1 << 40,
        )
        assert outcome == commits.Committed()
        await stores.state.delete(lease)
        await producer.send()
        account = await settled(producer)
    assert {seq for (_, seq), fate in account.fates.items() if fate is Fate.SAMPLED_OUT} == set(
        range(cursor.seq + 1, 31)
    )
    whole = expected(model, clip)
    assert account.frames() == {at: whole[at] for at, fate in account.fates.items() if fate is Fate.INFERRED}


async def test_connections_cut_at_random(stores: Stores, model: Path) -> None:
    """Commits whose reply was lost are neither lost nor made twice."""
    rng = random.Random(5)
    clip = clips.b_frames()
    producers = [Producer(stores, f"site/camera{index}") for index in range(3)]
    async with worker_here(stores, model):
        for producer in producers:
            producer.capture(clip)
        for upto in range(6, len(clip) + 1, 6):
            for producer in producers:
                await trickle(producer, upto, rng)
            for client in (stores.state, stores.frames):
                if rng.random() < 0.6:
                    await client.client_kill_filter(_type="normal", skipme=True)
        for producer in producers:
            assert (await settled(producer)).frames() == expected(model, clip)


async def test_a_full_state_store_takes_commits_still(stores: Stores, model: Path) -> None:
    """Even of a worker that comes only then."""
    clip = clips.plain()
    producer = Producer(stores, "site/camera")
    producer.capture(clip)
    await producer.send(20)
    async with worker_here(stores, model):
        await committed(producer, 20)
    await producer.send()
    await stores.state.config_set("maxmemory", 1)
    try:
        async with worker_here(stores, model, lease_ms=500):
            await committed(producer, len(clip))
    finally:
        await stores.state.config_set("maxmemory", 0)
    account = await settled(producer)
    assert account.frames() == expected(model, clip)


async def test_both_stores_restart(model: Path) -> None:
    """The frame store comes back empty, the state store as it was: the worker and the agent go on by themselves."""
    clip = clips.plain()
    place = short_tmp()
    binary = await find_server()

    def server(name: str):  # type: ignore[no-untyped-def]
        options = frames_options(1 << 26) if name == "f" else state_options(1 << 26)
        return run_server(name, binary=binary, socket=place / name, directory=place / f"{name}.d", options=options)

    urls = StoreUrls(f"unix://{place}/f", f"unix://{place}/s")
    async with server("s") as first, server("f"), open_stores(urls, partitions=4) as stores:
        producer = Producer(stores, "site/camera")
        producer.capture(clip)
        async with worker_here(stores, model):
            await producer.send(30)
            await committed(producer, 25)
            await first.stop()
            async with server("s"):
                await stores.frames.flushall()
                await stores.frames.hset(keys.META, mapping={"schema": 1, "partitions": 4})
                await wait_until(lambda: fenced(producer), 20, "the agent was heard again")
                await producer.send()
                account = await settled(producer, meanwhile=producer.check)
                assert account.frames() == expected(model, clip)


async def test_a_log_nobody_can_read_stops_one_camera(stores: Stores, model: Path) -> None:
    """Its cameras' neighbours in the partition go on."""
    bad, good = Producer(stores, "site/bad"), Producer(stores, "site/good")
    for producer in (bad, good):
        producer.capture(clips.plain())
    await bad.send(10)
    await stores.frames.xadd(keys.log(bad.partition, bad.camera), {b"x": b"what"}, id="1-11")
    async with worker_here(stores, model):
        await good.send()
        assert (await settled(good)).frames() == expected(model, clips.plain())
        assert (await ledger_of(bad)).cursor <= Position(1, 10)
    ledger = await ledger_of(bad)
    assert ledger.pending >= 0


async def test_beyond_the_replay_bound_what_is_missing_is_no_reference(
    stores: Stores, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera with one keyframe in 20 s: a keyframe is asked for, the log is cut all the same, and the next worker
    counts exactly what it cannot show.
    """
    monkeypatch.setattr(replay, "PATIENCE_S", 1.0)  # nobody waits 20 s here
    clip = clips.encode(Codec.H264, 160, fps=5, gop=1000, options={"preset": "veryfast", "x264-params": "scenecut=0"})
    producer = Producer(stores, "site/camera")
    producer.capture(clip)
    producer.capture(clips.plain(), from_us=40_000_000)
    control = stores.state.pubsub()
    await control.subscribe(keys.control(producer.partition))
    async with worker_here(stores, model):
        await producer.send(100)
        await committed(producer, 100)

        async def asked() -> bool:
            message = await control.get_message(ignore_subscribe_messages=True, timeout=0.1)
            return message is not None and b'"keyframe":true' in message["data"]

        await wait_until(asked, 10, "a keyframe is asked for")

        async def cut() -> bool:
            await producer.send(min(producer.following, 140))  # commits go on
            await asyncio.sleep(0.1)  # a camera has its pace
            [(first, _)] = await stores.frames.xrange(keys.log(producer.partition, producer.camera), count=1)
            return bool(Position.parse(first).seq > 40)

        await wait_until(cut, 10, "the log is cut")
    await control.aclose()  # type: ignore[no-untyped-call]
    at = (await ledger_of(producer)).cursor.seq
    assert at <= 140
    async with worker_here(stores, model):
        await producer.send()
        account = await settled(producer)
    missing = [seq for (_, seq), fate in account.fates.items() if fate is Fate.NO_REFERENCE]
    assert missing == list(range(at + 1, 161))
    whole = expected(model, clip) | {(1, seq + 160): one for (_, seq), one in expected(model, clips.plain()).items()}
    assert account.frames() == {place: found for place, found in whole.items() if place[1] not in missing}


async def test_a_log_with_a_hole_is_mended_though_the_frame_store_is_full(stores: Stores, model: Path) -> None:
    producer = Producer(stores, "site/camera")
    producer.capture(clips.plain())
    await producer.send(20)
    await stores.frames.xtrim(keys.log(producer.partition, producer.camera), minid="1-10", approximate=False)
    await stores.frames.config_set("maxmemory", 1)

    async def forgotten() -> bool:
        return not await frames.owner_session(stores.frames, producer.partition, producer.camera)

    async with worker_here(stores, model):
        await wait_until(forgotten, 20, "the log is deleted, which makes room")
        await stores.frames.config_set("maxmemory", 0)
        await producer.greet()
        await producer.send()
        account = await settled(producer)
    assert set(account.fates.values()) == {Fate.INFERRED}
