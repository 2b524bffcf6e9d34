"""How much of the results is kept: what the settings say, as far as the state store has room for all cameras."""

import asyncio
from pathlib import Path

import pytest
from support import clips
from support.logged import Producer
from support.stores import wait_until
from support.workers import ledger_of, worker_here

from fishladder.inference import trim
from fishladder.inference.retention import Retention
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position
from fishladder.wire.unit import Codec

MB = 1 << 20


def test_the_settings_hold_where_there_is_room() -> None:
    kept = Retention(16 * MB, 1000)
    for limit_bytes, cameras in ((0, 5000), (256 * MB, 1), (256 * MB, 8), (256 * MB, 0)):
        kept.bound(limit_bytes, cameras)
        assert (kept.keep_bytes, kept.keep_ms) == (16 * MB, 1000)


def test_all_cameras_share_half_of_the_store() -> None:
    kept = Retention(16 * MB, 1000)
    kept.bound(256 * MB, 100)
    assert kept.keep_bytes * 100 <= 128 * MB < (kept.keep_bytes + 1) * 100
    kept.bound(1024 * MB, 10)
    assert kept.keep_bytes == 16 * MB


def test_a_little_is_kept_whatever_the_limit_is_unless_the_settings_say_less() -> None:
    kept = Retention(16 * MB, 1000)
    kept.bound(1, 100)
    assert kept.keep_bytes == 64 << 10
    less = Retention(1000, 1000)
    less.bound(1, 100)
    assert less.keep_bytes == 1000


def test_a_store_that_others_have_filled_keeps_fewer_results_until_there_is_room() -> None:
    kept = Retention(16 * MB, 1000)
    kept.bound(64 * MB, 4, 40 * MB)
    assert kept.keep_bytes == 8 * MB
    for _ in range(3):
        kept.bound(64 * MB, 4, 64 * MB)
    assert kept.keep_bytes == 1 * MB
    kept.bound(64 * MB, 4, 60 * MB)
    assert kept.keep_bytes == 1 * MB, "neither full nor free"
    for _ in range(20):
        kept.bound(64 * MB, 4, 65 * MB)
    assert kept.keep_bytes == 128 << 10
    for _ in range(60):
        kept.bound(64 * MB, 4, 50 * MB)
    assert kept.keep_bytes == 8 * MB


async def test_a_state_store_over_its_limit_takes_commits_and_gives_up_what_is_oldest(
    stores: Stores, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trim, "_MEASURE_S", 0.0)  # nobody waits 5 s here
    clip = clips.encode(Codec.H264, 240, gop=12)
    producers = [Producer(stores, f"site/camera{number}") for number in range(4)]
    for producer in producers:
        producer.capture(clip)
        await producer.send(100)
    await stores.state.config_set("maxmemory", 400_000)  # less than it uses empty

    async def all_kept_within() -> bool:
        for producer in producers:
            await producer.send(min(producer.following, 240))  # the bound is kept at commits
        await asyncio.sleep(0.02)  # a camera has its pace
        sizes = [
            await stores.state.memory_usage(keys.results(producer.partition, producer.camera)) for producer in producers
        ]
        ledgers = [await ledger_of(producer) for producer in producers]
        return all(it.cursor == Position(1, 240) for it in ledgers) and max(sizes) < 100_000

    async with worker_here(stores, model):
        await wait_until(all_kept_within, 30, "all is committed, and of each camera 64 KB are kept")
    for producer in producers:
        ledger = await ledger_of(producer)
        assert ledger.fates == {Fate.INFERRED: 240}
