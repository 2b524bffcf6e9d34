"""Units that crash their worker natively: after the second crash they are found, passed over, and never tried again."""

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path

import pytest
from support import clips
from support.logged import Producer
from support.offline import offline
from support.poison import crashing_on_marked, crashing_on_picture
from support.workers import ledger_of, settled, worker_process

from fishladder.inference import alone
from fishladder.inference.config import WorkerSettings
from fishladder.inference.suspects import Past, parse_poison
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position
from fishladder.wire.unit import Codec

CAMERA, INNOCENT = "site/camera", "site/innocent"
POISON = 31  # in the second of three groups of 20
CLIP = clips.marked(clips.b_frames(), every=1000, at=POISON - 1)


async def crashes_until(
    done: Callable[[], Awaitable[bool]],
    stores: Stores,
    model: Path,
    place: Path,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
    env: dict[str, str] | None = None,
) -> int:
    """Start a worker, and another whenever one has crashed; how many did before all was done."""
    armed = place / "armed"
    armed.touch()
    log = place / "worker.log"
    for crashes in range(6):
        async with worker_process(
            stores, model, log, "--lease-ms", "1000", env=env or crashing_on_marked(armed)
        ) as process:
            while process.returncode is None:
                if meanwhile:
                    await meanwhile()
                if await done():
                    return crashes
                await asyncio.sleep(0.02)
            assert process.returncode == -6, log.read_text()
    raise AssertionError(log.read_text()[-3000:])


async def at_end(*producers: Producer) -> bool:
    ledgers = [await ledger_of(producer) for producer in producers]
    return all(
        ledger.cursor == Position(producer.epoch, producer.position) and not ledger.deferred
        for producer, ledger in zip(producers, ledgers, strict=True)
    )


async def test_a_unit_that_crashes_its_worker_twice_is_passed_over(stores: Stores, model: Path, tmp_path: Path) -> None:
    producer, innocent = Producer(stores, CAMERA), Producer(stores, INNOCENT)
    for one, clip in ((producer, CLIP), (innocent, clips.b_frames())):
        one.capture(clip)
        await one.send()
    assert await crashes_until(lambda: at_end(producer, innocent), stores, model, tmp_path) == 2

    account = await settled(producer)
    whole = offline(model, Codec.H264, clips.b_frames())
    without = {seq for (_, seq), fate in account.fates.items() if fate is not Fate.INFERRED}
    assert account.fates[1, POISON] is Fate.UNDECODABLE
    assert all(account.fates[1, seq] is Fate.NO_REFERENCE for seq in without - {POISON})
    assert without <= set(range(POISON - 3, 41)), "what came before in display order, and the groups around, are there"
    assert account.frames() == {(1, seq): found for seq, found in whole.items() if seq not in without}
    assert (await settled(innocent)).frames() == {(1, seq): found for seq, found in whole.items()}

    [(_, sample)] = await stores.state.xrange(keys.POISON)
    assert (sample[b"camera"], sample[b"unit"]) == (CAMERA.encode(), b"1-31")
    kept = list(alone.unpack(BytesIO(sample[b"units"])))
    assert [payload for _, payload in kept] == [unit.payload for unit in CLIP[20:POISON]]


async def test_poison_is_no_context_either(stores: Stores, model: Path, tmp_path: Path) -> None:
    """The next worker begins at the clean point before the cursor, with the poison unit on its way."""
    producer = Producer(stores, CAMERA)
    producer.capture(CLIP[:36])
    await producer.send()
    assert await crashes_until(lambda: at_end(producer), stores, model, tmp_path) == 2
    producer.capture(CLIP[36:])
    await producer.send()
    assert await crashes_until(lambda: at_end(producer), stores, model, tmp_path) == 0
    account = await settled(producer)
    assert [account.fates[1, seq] for seq in (POISON, 40, 41, 60)] == [
        Fate.UNDECODABLE,
        Fate.NO_REFERENCE,
        Fate.INFERRED,
        Fate.INFERRED,
    ]


async def test_a_unit_that_crashes_its_worker_in_backfill(stores: Stores, model: Path, tmp_path: Path) -> None:
    producer = Producer(stores, CAMERA)
    producer.capture(CLIP)
    producer.defer(21, 40)
    await producer.send()
    sent: list[str] = []

    async def fill() -> None:
        await producer.check()
        if sent[-1:] != [producer.session]:
            sent.append(producer.session)
            await producer.fill(*producer.spool)

    assert await crashes_until(lambda: at_end(producer), stores, model, tmp_path, fill) == 2
    account = await settled(producer)
    assert account.fates[1, POISON] is Fate.UNDECODABLE
    assert {account.fates[1, seq] for seq in range(41, 61)} == {Fate.INFERRED}


@pytest.mark.parametrize("b_frames", [0, 3])
async def test_a_picture_that_crashes_the_model_is_passed_over(
    b_frames: int, stores: Stores, model: Path, tmp_path: Path
) -> None:
    """With B-frames its picture comes out when another unit goes in: one more worker dies until it is found."""
    clip = clips.encode(Codec.H264, 60, gop=20, b_frames=b_frames, options={"x264-params": "b-adapt=0:scenecut=0"})
    picture = 33
    seq = 1 + next(index for index, unit in enumerate(clip) if unit.pts_us == picture * unit.duration_us)
    producer = Producer(stores, CAMERA)
    producer.capture(clip)
    await producer.send()
    env = crashing_on_picture(picture, tmp_path / "armed")
    crashes = await crashes_until(lambda: at_end(producer), stores, model, tmp_path, env=env)
    assert crashes <= 3 if b_frames else crashes == 2
    account = await settled(producer)
    assert [at for at, fate in account.fates.items() if fate is Fate.UNDECODABLE] == [(1, seq)]
    lost = {at for (_, at), fate in account.fates.items() if fate is Fate.NO_REFERENCE}
    assert lost <= set(range(seq + 1, 41)), "what follows it in its group"


async def test_units_are_tried_alone(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    armed = tmp_path / "armed"
    for name, value in crashing_on_marked(armed).items():
        monkeypatch.setenv(name, value)
    packed = alone.pack([(Codec.H264, unit.payload) for unit in CLIP])
    settings = WorkerSettings(model=str(model), provider="cpu")
    assert await alone.victim(packed, settings) is None
    armed.touch()
    assert await alone.victim(packed, settings) == POISON
    assert await alone.victim(packed, WorkerSettings(model="no-file")) == POISON, "without a model"
    assert await alone.victim(alone.pack([(Codec.H264, b"rubbish")]), settings) is None


def test_work_is_suspect_that_another_worker_has_not_left() -> None:
    assert not Past().suspect("a")
    assert not Past("a").suspect("a"), "it begins anew itself"
    assert Past("a").suspect("b")
    assert Past.parse(b"a", b"1-25 2") == Past("a", Position(1, 25), 2)


@pytest.mark.parametrize("raw", [b"", b"1-2", b"1-2 x", b"x 1", b"\xff 1", b"1-2 3 4"])
def test_what_is_remembered_and_cannot_be_read_counts_as_nothing(raw: bytes) -> None:
    assert Past.parse(b"a", raw) == Past("a")
    assert parse_poison(b"1-2 nonsense") == set()
    assert parse_poison(b"1-2 1-7") == {Position(1, 2), Position(1, 7)}
