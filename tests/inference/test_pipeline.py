"""What the compute thread says of a camera: busy until everything was delivered."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from support.stores import wait_until

from fishladder.inference.decode import CameraDecoder, Outcome
from fishladder.inference.model import load_detector
from fishladder.inference.pipeline import Lane, Pipeline, Report
from fishladder.inference.progress import Lose


class WatchedDecoder(CameraDecoder):
    """Calls `watch` in the compute thread while a job is in hand."""

    def __init__(self, watch: Callable[[], None]) -> None:
        super().__init__()
        self._watch = watch

    def lose(self) -> list[Outcome]:
        self._watch()
        return super().lose()


async def test_a_camera_is_busy_until_its_reports_are_delivered(model: Path) -> None:
    """Whichever of two cameras comes first: while the other is at work, the first is busy or was reported."""
    reports: list[tuple[Lane, Report]] = []
    pipeline = Pipeline(load_detector(model, provider="cpu"), batch=1, batch_wait_s=0, deliver=reports.extend)
    lanes: list[Lane] = []
    lost: list[str] = []

    def watch() -> None:
        told = {lane for lane, _ in reports}
        lost.extend(lane.camera for lane in lanes if not pipeline.busy(lane) and lane not in told)

    lanes += [Lane(f"site/{number}", decoder=WatchedDecoder(watch)) for number in range(2)]
    for lane in lanes:
        pipeline.submit(lane, [Lose()])
    work = asyncio.get_running_loop().run_in_executor(None, pipeline.run)
    try:
        await wait_until(lambda: not any(map(pipeline.busy, lanes)), 10, "all is done")
        assert {lane for lane, _ in reports} == set(lanes)
    finally:
        pipeline.stop()
        await work
    assert not lost
