"""The worker against real stores, with real streams and a real model: what an uninterrupted, plain loop would give."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support import clips
from support.clips import Clip, Encoded
from support.logged import Producer
from support.offline import offline
from support.stores import wait_until
from support.workers import ledger_of, settled, worker_here

from fishladder.runtime.store import Stores
from fishladder.runtime.wanted import set_policy
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position
from fishladder.wire.messages import Policy
from fishladder.wire.sampling import chosen
from fishladder.wire.unit import Codec, Flag

PLAIN = Codec.H264
CLIPS: list[tuple[str, Codec, Callable[[], Clip]]] = [
    ("plain", Codec.H264, clips.plain),
    ("b-frames", Codec.H264, clips.b_frames),
    ("open gop", Codec.H264, clips.h264_open_gop),
    ("h265 open gop", Codec.H265, clips.h265_open_gop),
    ("intra refresh", Codec.H264, clips.intra_refresh),
    ("long gop", Codec.H264, clips.long_gop),
    ("changing", Codec.H264, clips.changing),
    ("vp8", Codec.VP8, clips.vp8),
    ("jpeg", Codec.JPEG, clips.jpeg),
]


@pytest.mark.parametrize(("codec", "make"), [it[1:] for it in CLIPS], ids=[it[0] for it in CLIPS])
async def test_every_frame_is_inferred_once_as_offline(
    stores: Stores, model: Path, codec: Codec, make: Callable[[], Clip]
) -> None:
    clip = make()
    producer = Producer(stores, "site/camera", codec)
    producer.capture(clip)
    async with worker_here(stores, model):
        await producer.send()
        account = await settled(producer)
    expected = offline(model, codec, clip)
    assert account.fates == {(1, seq): Fate.INFERRED for seq in range(1, len(clip) + 1)}
    assert account.frames() == {(1, seq): found for seq, found in expected.items()}
    assert len({str(found) for found in expected.values()}) > len(clip) / 2, "the model tells pictures apart"


async def test_many_cameras_share_batches(stores: Stores, model: Path) -> None:
    """Batching across cameras changes nothing in what each one gets."""
    producers = [Producer(stores, f"site/camera{index}") for index in range(6)]
    for index, producer in enumerate(producers):
        producer.capture([clips.plain, clips.b_frames][index % 2]())
        await producer.send()
    async with worker_here(stores, model, batch=4, batch_wait_ms=20):
        for index, producer in enumerate(producers):
            account = await settled(producer)
            expected = offline(model, PLAIN, [clips.plain, clips.b_frames][index % 2]())
            assert account.frames() == {(1, seq): found for seq, found in expected.items()}


async def test_fps_chooses_pictures_and_the_rest_is_sampled_out(stores: Stores, model: Path) -> None:
    clip = clips.b_frames()
    producer = Producer(stores, "site/camera")
    await set_policy(stores.state, producer.partition, producer.camera, Policy(fps=6))
    producer.capture(clip)
    async with worker_here(stores, model):
        await producer.send()
        account = await settled(producer)
    expected = offline(model, PLAIN, clip)
    wanted = {seq for seq, unit in enumerate(clip, 1) if chosen(unit.pts_us, unit.duration_us, 6)}
    assert 0 < len(wanted) < len(clip)
    assert account.frames() == {(1, seq): expected[seq] for seq in wanted}
    assert {seq for (_, seq), fate in account.fates.items() if fate is Fate.SAMPLED_OUT} == set(expected) - wanted


async def test_what_the_agent_has_thinned_is_all_analysed(stores: Stores, model: Path) -> None:
    producer = Producer(stores, "site/camera", flags=Flag.SAMPLED)
    await set_policy(stores.state, producer.partition, producer.camera, Policy(fps=1))
    producer.capture(clips.plain())
    async with worker_here(stores, model):
        await producer.send()
        account = await settled(producer)
    assert set(account.fates.values()) == {Fate.INFERRED}


async def test_keyframes_only_until_the_policy_changes(stores: Stores, model: Path) -> None:
    clip = clips.plain()  # a keyframe each 20
    producer = Producer(stores, "site/camera")
    await set_policy(stores.state, producer.partition, producer.camera, Policy(analyse="keyframes"))
    producer.capture(clip[:30])
    async with worker_here(stores, model):
        await producer.send()
        account = await settled(producer)
        assert {seq for (_, seq), fate in account.fates.items() if fate is Fate.INFERRED} == {1, 21}
        await set_policy(stores.state, producer.partition, producer.camera, Policy(fps=1000))
        await wait_until(lambda: _policy_arrived(producer, clip), 20, "the worker analyses all pictures")
        account = await settled(producer)
    expected = offline(model, PLAIN, clip)
    assert account.frames() == {
        (1, seq): expected[(seq - 1) % 60 + 1] for (_, seq), fate in account.fates.items() if fate is Fate.INFERRED
    }


async def _policy_arrived(producer: Producer, clip: Clip) -> bool:
    """Send one more picture, in the middle of a group; whether it was inferred."""
    producer.capture([clip[producer.position % 60]])
    await producer.send()
    account = await settled(producer)
    return account.fates[1, producer.position] is Fate.INFERRED and producer.position % 20 != 1


async def test_held_back_pictures_settle_when_a_camera_falls_silent(stores: Stores, model: Path) -> None:
    """And what follows the silence, in the middle of a group of pictures, is as exact as without it."""
    clip = clips.b_frames()
    producer = Producer(stores, "site/camera")
    async with worker_here(stores, model):
        for end in (27, 46, 60):
            producer.capture(clip[producer.position : end])
            await producer.send()
            account = await settled(producer)
    expected = offline(model, PLAIN, clip)
    assert account.frames() == {(1, seq): found for seq, found in expected.items()}


async def test_declared_ranges_are_settled_as_declared(stores: Stores, model: Path) -> None:
    """A range the agent left out before encoding hurts no reference; one it lost afterwards does."""
    clip = clips.plain()
    producer = Producer(stores, "site/camera", flags=Flag.SAMPLED)
    producer.capture(clip[:5])
    producer.declare(1000, Fate.GATED)
    producer.declare(3, Fate.SHED)
    producer.capture(clip[5:25])
    producer.declare(2, Fate.SPOOL_FULL)
    producer.capture(clip[27:])
    producer.declare(7, Fate.SHED)
    async with worker_here(stores, model):
        await producer.send()
        account = await settled(producer)
    expected = offline(model, PLAIN, clip)
    got = account.frames()
    assert [got[1, seq] for seq in range(1, 6)] == [expected[seq] for seq in range(1, 6)]
    assert [got[1, seq + 1003] for seq in range(6, 26)] == [expected[seq] for seq in range(6, 26)]
    assert [got[1, seq + 1003] for seq in range(41, 61)] == [expected[seq] for seq in range(41, 61)]
    lost = {seq for (_, seq), fate in account.fates.items() if fate is Fate.NO_REFERENCE}
    assert lost == {seq + 1003 for seq in range(28, 41)}
    assert {account.fates[1, seq] for seq in range(6, 1006)} == {Fate.GATED}


async def test_stale_frames_expire_under_policy_fresh(stores: Stores, model: Path) -> None:
    producer = Producer(stores, "site/camera")
    fresh = Policy(policy="fresh", deadline_ms=60_000)
    await set_policy(stores.state, producer.partition, producer.camera, fresh)
    producer.began_us -= 61_000_000
    producer.capture(clips.plain())  # of which the last 1.4 s are within the deadline
    async with worker_here(stores, model):
        await producer.send()
        account = await settled(producer)
    fates = list(account.fates.values())
    expired = fates.count(Fate.EXPIRED)
    assert 20 < expired < 60
    assert fates == [Fate.EXPIRED] * expired + [Fate.INFERRED] * (60 - expired)


@pytest.mark.parametrize("seed", range(4))
async def test_rubbish_is_counted_and_the_rest_is_exact(stores: Stores, model: Path, seed: int) -> None:
    """Damaged units never give a made-up picture and never disturb another camera."""
    rng = random.Random(seed)
    clip = list(clips.plain() if seed % 2 else clips.b_frames())
    for index in rng.sample(range(1, len(clip)), 4):
        clip[index] = _damaged(clip[index], rng)
    bad, good = Producer(stores, "site/bad"), Producer(stores, "site/good")
    bad.capture(clip)
    good.capture(clips.plain())
    async with worker_here(stores, model):
        await bad.send()
        await good.send()
        account = await settled(bad)
        assert (await settled(good)).frames() == _all(offline(model, PLAIN, clips.plain()))
    whole = offline(model, PLAIN, clips.plain() if seed % 2 else clips.b_frames())
    assert account.frames().items() <= _all(whole).items()
    assert set(account.fates.values()) <= {Fate.INFERRED, Fate.UNDECODABLE, Fate.NO_REFERENCE, Fate.NO_PICTURE}
    assert len(account.fates) == len(clip)


def _damaged(unit: Encoded, rng: random.Random) -> Encoded:
    kinds: Sequence[Callable[[], bytes]] = (
        lambda: rng.randbytes(len(unit.payload)),
        lambda: unit.payload[: max(1, len(unit.payload) // 3)],
        lambda: b"\x00",
    )
    return unit._replace(payload=rng.choice(kinds)())


def _all(found: dict[int, list[object]]) -> dict[tuple[int, int], list[object]]:
    return {(1, seq): detections for seq, detections in found.items()}


async def test_the_log_is_trimmed_to_the_clean_point(stores: Stores, model: Path) -> None:
    """What a take-over needs stays, what it does not goes."""
    producer = Producer(stores, "site/camera")
    producer.capture(clips.plain()[:50])  # clean points at 1, 21, 41
    async with worker_here(stores, model):
        await producer.send()
        await settled(producer)
        key = f"fl:{{{producer.partition}}}:log:{producer.camera}"

        async def first() -> str:
            entries = await stores.frames.xrange(key, count=1)
            return str(entries[0][0].decode())

        await wait_until(lambda: _equals(first, "1-41"), 5, "the log begins at 1-41")
    assert (await ledger_of(producer)).cursor == Position(1, 50)


async def _equals(get: Callable[[], object], value: str) -> bool:
    return await get() == value  # type: ignore[misc]


async def test_a_busy_camera_starves_nobody(stores: Stores, model: Path) -> None:
    """One with much in its log and one with little: the little is done before much of the much."""
    busy, calm = Producer(stores, "site/busy"), Producer(stores, "site/calm")
    for lap in range(15):
        busy.capture(clips.plain(), from_us=lap * 2_400_000)
    await busy.send()
    calm.capture(clips.plain()[:30])
    await calm.send()
    async with worker_here(stores, model):
        await settled(calm)
        assert (await ledger_of(busy)).cursor.seq < busy.position / 2
        await settled(busy)
