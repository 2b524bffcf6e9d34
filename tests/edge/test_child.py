"""Real capture processes: what they deliver, and what becomes of them when they die, hang, or their agent goes."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from support.gateway_double import until

from fishladder.edge.cameras.kinds import CameraSettings
from fishladder.edge.capture import CaptureSettings, Command
from fishladder.edge.capture_records import Captured, CapturedUnit, Opened, Record, Sampled
from fishladder.edge.child import Child
from fishladder.runtime.lifecycle import Backoff
from fishladder.wire.unit import Flag


class Recorder:
    def __init__(self, source: str = "test:128x64@30", fps: float | None = None, **options: object) -> None:
        self.records: list[Record] = []
        self.deaths = 0
        settings = CaptureSettings(CameraSettings(source, timeout_s=0.5), fps=fps)
        self.child = Child("s/c", settings, self.records.append, self.gone, backoff=Backoff(0.01, 0.02), **options)  # type: ignore[arg-type]

    def gone(self) -> None:
        self.deaths += 1

    @property
    def units(self) -> list[CapturedUnit]:
        return [record for record in self.records if isinstance(record, CapturedUnit)]


async def test_pictures_become_units_and_the_rest_is_told_of() -> None:
    it = Recorder(fps=10)
    running = asyncio.create_task(it.child.run())
    await until(lambda: len(it.units) >= 5)
    it.child.stop()
    await running
    assert isinstance(it.records[0], Opened)
    sampled = sum(record.count for record in it.records if isinstance(record, Sampled))
    assert sampled in range(2 * len(it.units) - 2, 2 * len(it.units) + 3)
    for before, record in zip(it.records, it.records[1:], strict=False):
        if isinstance(record, CapturedUnit):
            assert isinstance(before, Captured)
            assert before.mono_us == record.mono_us


async def test_it_obeys_while_it_runs() -> None:
    it = Recorder()
    running = asyncio.create_task(it.child.run())
    await until(lambda: len(it.units) >= 5)
    it.child.command(Command(fps=2))
    await until(lambda: sum(isinstance(record, Sampled) for record in it.records) >= 20)
    before = len(it.units)
    it.child.command(Command(fps=0, keyframe=True))
    await until(lambda: any(unit.flags & Flag.CLEAN for unit in it.units[before:]))
    it.child.stop()
    await running


@pytest.mark.parametrize("signal_number", [signal.SIGSEGV, signal.SIGKILL])
async def test_one_that_dies_is_started_again(signal_number: int) -> None:
    it = Recorder()
    running = asyncio.create_task(it.child.run())
    await until(lambda: it.units)
    assert it.child.pid is not None
    os.kill(it.child.pid, signal_number)
    await until(lambda: it.deaths == 1)
    seen = len(it.units)
    await until(lambda: len(it.units) > seen)
    assert sum(isinstance(record, Opened) for record in it.records) == 2
    assert it.units[seen].flags & Flag.CLEAN
    it.child.stop()
    await running


async def test_one_that_dies_while_its_camera_is_paused_is_so_when_it_is_back() -> None:
    it = Recorder()
    running = asyncio.create_task(it.child.run())
    await until(lambda: it.units)
    it.child.command(Command(pause=True))
    await until(lambda: any(isinstance(record, Sampled) for record in it.records))
    seen = len(it.units)
    assert it.child.pid is not None
    os.kill(it.child.pid, signal.SIGKILL)
    await until(lambda: it.deaths == 1)
    counted = len(it.records)
    await until(lambda: sum(isinstance(record, Sampled) for record in it.records[counted:]) >= 10)
    assert len(it.units) == seen
    it.child.stop()
    await running


async def test_one_that_hangs_is_ended_and_started_again() -> None:
    it = Recorder()
    it.child._stall_s = 3.0  # less than any user may set
    running = asyncio.create_task(it.child.run())
    await until(lambda: it.units)
    assert it.child.pid is not None
    deaths = it.deaths  # a busy machine may have hung before
    os.kill(it.child.pid, signal.SIGSTOP)
    seen = len(it.units)
    await until(lambda: it.deaths > deaths)
    await until(lambda: len(it.units) > seen + 1)
    it.child.stop()
    await running


async def test_it_ends_when_its_agent_is_gone() -> None:
    it = Recorder()
    running = asyncio.create_task(it.child.run())
    await until(lambda: it.units)
    pid = it.child.pid
    assert pid is not None
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not Path(f"/proc/{pid}").exists() or "Z (zombie)" in Path(f"/proc/{pid}/status").read_text())


async def test_a_file_that_is_not_there_is_tried_again() -> None:
    it = Recorder("file:/nonexistent/clip.mp4")
    running = asyncio.create_task(it.child.run())
    await until(lambda: it.child.restarts >= 2)
    it.child.stop()
    await running
    assert it.records == []


async def test_once_gives_up_after_the_first_failure() -> None:
    it = Recorder("file:/nonexistent/clip.mp4", once=True)
    await it.child.run()
    assert (it.deaths, it.child.restarts) == (1, 0)
