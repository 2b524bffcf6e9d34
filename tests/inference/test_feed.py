"""Reading logs: bounded, fair among cameras, and going on where it stopped."""

import asyncio
from pathlib import Path

from support import clips
from support.logged import Producer
from support.stores import wait_until

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
