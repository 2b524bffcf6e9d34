"""The pipeline sees what an offline loop sees: for each frame of a clip in passthrough, exactly the same detections,
and each sequence number has exactly one fate.
"""

import os
import signal
from pathlib import Path

import pytest
from support import clips
from support.files import read_units, write_ts
from support.fleet import fleet, until
from support.models import strips_model
from support.offline import offline

from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec

CLIPS = {
    "plain": (Codec.H264, clips.plain),
    "b_frames": (Codec.H264, clips.b_frames),
    "h264_open_gop": (Codec.H264, clips.h264_open_gop),
    "h265_open_gop": (Codec.H265, clips.h265_open_gop),
    "intra_refresh": (Codec.H264, clips.intra_refresh),
    "long_gop": (Codec.H264, clips.long_gop),
    "changing": (Codec.H264, clips.changing),
}


@pytest.mark.parametrize("name", CLIPS)
async def test_detections_equal_an_offline_loop(name: str, tmp_path: Path) -> None:
    codec, make = CLIPS[name]
    clip = write_ts(tmp_path / "clip.ts", codec, make())
    model = strips_model(tmp_path / "strips.onnx")
    units = read_units(clip)
    expected = offline(model, codec, units)
    assert len(expected) == len(units)

    async with fleet(tmp_path) as (system, stores):
        await system.worker(model)
        edge = await system.edge("shop", {"door": f"file:{clip}"}, "--mode", "passthrough", "--once")
        assert await edge.ended() == 0, edge.said
        ledger = await system.settled(stores, "shop/door", len(units))
        account = await system.account(stores, "shop/door")

    assert ledger.fates == {Fate.INFERRED: len(units)}
    assert account.fates == {(1, seq): Fate.INFERRED for seq in range(1, len(units) + 1)}
    assert account.frames() == {(1, seq): found for seq, found in expected.items()}


async def test_a_worker_killed_is_taken_over_without_a_trace(tmp_path: Path) -> None:
    """kill -9 of one of two workers, again and again: the other goes on from the clean point."""
    clip = write_ts(tmp_path / "clip.ts", Codec.H264, clips.b_frames(), fps=10)
    model = strips_model(tmp_path / "strips.onnx")
    units = read_units(clip)
    expected = offline(model, Codec.H264, units)
    cameras = [f"cam{index}" for index in range(3)]

    async with fleet(tmp_path) as (system, stores):
        workers = [await system.worker(model, "--lease-ms", "1000") for _ in range(2)]
        edge = await system.edge("shop", dict.fromkeys(cameras, f"file:{clip}"), "--mode", "passthrough", "--once")

        for kill in range(3):

            async def moved(least: int = 10 * (kill + 1)) -> bool:
                ledgers = [await system.ledger(stores, f"shop/{name}") for name in cameras]
                return all(ledger.settled >= least for ledger in ledgers)

            await until(moved, 60, f"every camera goes on before kill {kill}")
            os.kill(workers[kill % 2].process.pid, signal.SIGKILL)
            await workers[kill % 2].ended()
            workers[kill % 2] = await system.worker(model, "--lease-ms", "1000")

        assert await edge.ended(90) == 0, edge.said
        for name in cameras:
            await system.settled(stores, f"shop/{name}", len(units))
            account = await system.account(stores, f"shop/{name}")
            assert account.frames() == {(1, seq): found for seq, found in expected.items()}


async def test_a_wiped_frame_log_is_sent_again(tmp_path: Path) -> None:
    clip = write_ts(tmp_path / "clip.ts", Codec.H264, clips.plain(), fps=15)
    model = strips_model(tmp_path / "strips.onnx")
    units = read_units(clip)
    expected = offline(model, Codec.H264, units)

    async with fleet(tmp_path) as (system, stores):
        await system.worker(model)
        edge = await system.edge("shop", {"door": f"file:{clip}"}, "--mode", "passthrough", "--once")
        for wipe in range(3):

            async def moved(least: int = 12 * (wipe + 1)) -> bool:
                return (await system.ledger(stores, "shop/door")).settled >= least

            await until(moved, 60, f"frames are settled before wipe {wipe}")
            await stores.frames.flushall()
            await stores.frames.hset("fl:meta", mapping={"schema": "1", "partitions": str(stores.partitions)})

        assert await edge.ended(90) == 0, edge.said
        await system.settled(stores, "shop/door", len(units))
        account = await system.account(stores, "shop/door")
    assert account.frames() == {(1, seq): found for seq, found in expected.items()}


async def test_a_log_lost_after_its_camera_has_ended_is_sent_again(tmp_path: Path) -> None:
    """No append tells the agent then: the gateway has to notice by itself."""
    clip = write_ts(tmp_path / "clip.ts", Codec.H264, clips.plain(), fps=60)
    model = strips_model(tmp_path / "strips.onnx")
    units = read_units(clip)

    async with fleet(tmp_path) as (system, stores):
        edge = await system.edge("shop", {"door": f"file:{clip}"}, "--mode", "passthrough", "--once")

        async def all_captured() -> bool:
            return (await system.ledger(stores, "shop/door")).captured == len(units)

        await until(all_captured, 60, "the whole clip is logged, and nothing of it is read")
        await stores.frames.flushall()
        await system.worker(model)
        assert await edge.ended(60) == 0, edge.said
        ledger = await system.settled(stores, "shop/door", len(units))
    assert ledger.fates == {Fate.INFERRED: len(units)}


@pytest.mark.timeout(240)
async def test_past_the_replay_bound_the_missing_frames_are_those_counted(tmp_path: Path) -> None:
    """One keyframe in 36 s: a worker killed after the bound, which is 30 s where memory is no matter, cannot show what
    follows, and says so exactly.
    """
    clip = write_ts(tmp_path / "clip.ts", Codec.H264, clips.encode(Codec.H264, 400, gop=360), fps=10)
    model = strips_model(tmp_path / "strips.onnx")
    units = read_units(clip)
    expected = offline(model, Codec.H264, units)

    async with fleet(tmp_path) as (system, stores):
        worker = await system.worker(model, "--lease-ms", "1000")
        edge = await system.edge("shop", {"door": f"file:{clip}"}, "--mode", "passthrough", "--once")

        async def past() -> bool:
            return (await system.ledger(stores, "shop/door")).settled >= 320

        await until(past, 120, "32 s are settled")
        worker.kill()
        await worker.ended()
        await system.worker(model, "--lease-ms", "1000")
        assert await edge.ended(90) == 0, edge.said
        await system.settled(stores, "shop/door", len(units))
        account = await system.account(stores, "shop/door")

    lost = {position for position, fate in account.fates.items() if fate is not Fate.INFERRED}
    assert all(account.fates[position] is Fate.NO_REFERENCE for position in lost)
    assert lost
    assert min(lost)[1] > 320
    assert max(lost)[1] == 360  # the next keyframe is unit 361
    assert account.frames() == {(1, seq): found for seq, found in expected.items() if (1, seq) not in lost}
