"""Reading logs: bounded, fair among cameras, and going on where it stopped."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as StoreGone
from support import clips
from support.logged import Producer
from support.stores import short_tmp, wait_until

from fishladder.inference.camera_run import CameraRun
from fishladder.inference.feed import CAMERA_BYTES, Feed
from fishladder.inference.leases import Lease
from fishladder.inference.model import load_detector
from fishladder.inference.pipeline import Lane, Pipeline, Report, Worked
from fishladder.inference.progress import Progress
from fishladder.runtime.store import Stores
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.messages import Policy
from fishladder.wire.unit import Codec


async def test_read_ahead_is_bounded_for_each_camera(stores: Stores, model: Path) -> None:
    """While nothing is decoded, a camera with much in its log is read up to the bound, and others are read all the
    same; once it was decoded, reading goes on to the end.
    """
    busy, calm = Producer(stores, "site/busy", Codec.JPEG), Producer(stores, "site/calm", Codec.JPEG)
    picture = clips.jpeg()[0]
    large = picture._replace(payload=picture.payload + bytes(100_000))
    busy.capture([large] * 150)
    await busy.send()
    runs: dict[str, CameraRun] = {}
    for producer in (busy, calm):
        lease = Lease(producer.partition, "token", until=1e12)
        progress = Progress(producer.camera, ORIGIN, Policy())
        runs[producer.camera] = CameraRun(producer.camera, lease, progress, Lane(producer.camera))
    reports: list[tuple[Lane, Report]] = []
    pipeline = Pipeline(load_detector(model, provider="cpu"), batch=1, batch_wait_s=0, deliver=reports.extend)
    feed = Feed(stores.frames, pipeline, runs)
    reading = asyncio.create_task(feed.run())
    work: asyncio.Future[None] | None = None
    try:
        run = runs[busy.camera]
        await wait_until(lambda: run.paused, 10, "reading pauses")
        assert CAMERA_BYTES < run.backlog_bytes < 2 * CAMERA_BYTES
        calm.capture(clips.jpeg())
        await calm.send()
        tail = runs[calm.camera].progress.slots
        await wait_until(lambda: tail.tail == Position(1, calm.position), 10, "the other camera is read")
        assert run.progress.slots.tail < Position(1, 100)

        def work_off() -> bool:
            for lane, report in reports:
                if lane is run.lane and isinstance(report, Worked):
                    run.report(report, 0.0)
            reports.clear()
            return run.progress.slots.tail == Position(1, 150)

        work = asyncio.get_running_loop().run_in_executor(None, pipeline.run)
        await wait_until(work_off, 20, "all is read")
    finally:
        pipeline.stop()
        if work:
            await work
        reading.cancel()
        await asyncio.wait([reading])


@pytest.mark.parametrize("cameras", [0, 1])
async def test_a_store_that_is_away_is_not_heard(model: Path, cameras: int) -> None:
    """Reading fails, and the time the store was last heard, which readiness goes by, does not go on."""
    runs: dict[str, CameraRun] = {}
    for number in range(cameras):
        name = f"site/{number}"
        runs[name] = CameraRun(name, Lease(0, "token", until=1e12), Progress(name, ORIGIN, Policy()), Lane(name))
    pipeline = Pipeline(load_detector(model, provider="cpu"), batch=1, batch_wait_s=0, deliver=lambda _: None)
    nowhere = short_tmp()
    try:
        async with Redis(unix_socket_path=str(nowhere / "socket")) as away:
            feed = Feed(away, pipeline, runs)
            with pytest.raises(StoreGone):
                await asyncio.wait_for(feed.run(), 10)
    finally:
        nowhere.rmdir()
    assert feed.read_at == 0.0


async def test_an_idle_worker_hears_its_store(stores: Stores, model: Path) -> None:
    """A worker without cameras is ready for some."""
    pipeline = Pipeline(load_detector(model, provider="cpu"), batch=1, batch_wait_s=0, deliver=lambda _: None)
    feed = Feed(stores.frames, pipeline, {})
    reading = asyncio.create_task(feed.run())
    try:
        await wait_until(lambda: feed.read_at > 0, 10, "the store is heard")
        first = feed.read_at
        await wait_until(lambda: feed.read_at > first, 10, "the store is heard again")
    finally:
        reading.cancel()
        await asyncio.wait([reading])
