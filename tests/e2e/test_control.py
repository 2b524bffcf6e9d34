"""Control from above: what is wanted of a camera reaches its running agent at once, and a worker that cannot keep up
makes agents send less before anything expires.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from support.fleet import Fleet, fleet, until
from support.models import strips_model

from fishladder.inference.config import WorkerSettings
from fishladder.inference.model import Detector, Prepared, load_detector
from fishladder.inference.worker import run_worker
from fishladder.runtime.store import Stores
from fishladder.view.models import CameraView
from fishladder.view.reader import StateReader
from fishladder.view.snapshot import read_snapshot
from fishladder.wire.fates import Fate
from fishladder.wire.ids import partition_of
from fishladder.wire.result import Detection, ModelId


class Slow:
    """A real detector on an accelerator that takes its time: what cannot be had here is the accelerator."""

    def __init__(self, detector: Detector, takes_s: float) -> None:
        self._detector = detector
        self._takes_s = takes_s

    @property
    def model(self) -> ModelId:
        return self._detector.model

    @property
    def provider(self) -> str:
        return self._detector.provider

    @property
    def input_size(self) -> tuple[int, int]:
        return self._detector.input_size

    def prepare(self, frame: object) -> Prepared:
        return self._detector.prepare(frame)  # type: ignore[arg-type]

    def infer(self, batch: Sequence[Prepared]) -> list[list[Detection]]:
        time.sleep(self._takes_s * len(batch))
        return self._detector.infer(batch)


@asynccontextmanager
async def slow_worker(stores: Stores, model: Path, takes_s: float) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    settings = WorkerSettings(metrics_port=0, provider="cpu")
    detector = Slow(load_detector(model, provider="cpu"), takes_s)
    urls = stores.urls
    task = asyncio.create_task(run_worker(settings, detector, redis=urls.state, frames=urls.frames, stopping=stopping))
    try:
        yield
    finally:
        stopping.set()
        await asyncio.wait_for(task, 30)


async def views(stores: Stores, names: Sequence[str]) -> list[CameraView]:
    reader = StateReader(stores.state, stores.partitions, stores.urls.state)
    return list((await read_snapshot(reader, names=names)).cameras)


def names_apart(stores: Stores, count: int) -> list[str]:
    """Cameras of as many partitions, so that workers can share them."""
    found: dict[int, str] = {}
    for number in range(1000):
        name = f"c{number}"
        found.setdefault(partition_of(f"shop/{name}", stores.partitions), name)
        if len(found) == count:
            break
    return list(found.values())


async def test_a_worker_that_is_too_slow_has_less_sent_before_anything_expires(tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    wanted = tmp_path / "gateway.toml"
    wanted.write_text('[gateway]\nfps = 5.0\npolicy = "fresh"\ndeadline_ms = 5000\n')
    async with fleet(tmp_path, ("--config", str(wanted))) as (system, stores), slow_worker(stores, model, 0.06):
        cameras = names_apart(stores, 4)
        names = [f"shop/{name}" for name in cameras]
        edge = await system.edge("shop", dict.fromkeys(cameras, "test:128x64@10"), "--mode", "encode")

        async def lowered() -> bool:
            found = await views(stores, names)
            return len(found) == 4 and all(
                it.asked is not None
                and it.asked.why == "workers"
                and it.reported is not None
                and it.reported.does.fps == it.asked.fps
                for it in found
            )

        await until(lowered, 60, "agents send fewer pictures, and say so")

        # 20 pictures a second were wanted, and 16 are done at best: without less being sent, pictures would expire now.
        async def done(frames: int) -> bool:
            ledgers = [await system.ledger(stores, name) for name in names]
            return sum(ledger.fates.get(Fate.INFERRED, 0) for ledger in ledgers) > frames

        await until(lambda: done(200), 60, "so much is done that what was too much would have expired")
        shown = await views(stores, names)
        assert any("workers are behind" in it.finding.what for it in shown), [it.finding for it in shown]
        assert sum(it.reported.does.fps or 5 for it in shown if it.reported) < 17

        async with slow_worker(stores, model, 0.02):

            async def all_of_it() -> bool:
                found = await views(stores, names)
                return all(it.reported is not None and it.reported.does.fps == 5.0 for it in found)

            await until(all_of_it, 90, "with a second worker the rates return")
        assert await edge.stop() == 0, edge.said[-3000:]
        for name in names:
            ledger = await system.settled(stores, name)
            lost = {fate.label: count for fate, count in ledger.fates.items() if fate.group == "dropped"}
            assert not lost
            assert not ledger.fates.get(Fate.EXPIRED)
            assert ledger.fates[Fate.INFERRED] > 30


async def asked(system: Fleet, token: str, method: str, path: str, **more: object) -> object:
    url = f"{system.url}/v1/cameras/shop/door{path}"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
        http.request(method, url, **more) as reply,  # type: ignore[arg-type]
    ):
        assert reply.status in (200, 204), await reply.text()
        return json.loads(await reply.text() or "null")


async def test_what_is_wanted_reaches_a_running_agent_and_what_it_does_is_seen(tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    async with fleet(tmp_path) as (system, stores):
        data = ("--data-dir", str(tmp_path / "data"))
        await system.worker(model)
        edge = await system.edge("shop", {"door": "test:320x192@10"}, "--bitrate-kbps", "800")
        token = await system.token("*", "--scope", "view", "--scope", "admin")

        async def does(**wanted: object) -> bool:
            [it] = await views(stores, ["shop/door"])
            told = it.reported.does if it.reported is not None else None
            return told is not None and all(getattr(told, name) == value for name, value in wanted.items())

        await until(lambda: does(fps=None), 60, "the camera delivers")
        status, shown, err = await system.run("control", "shop/door", "--fps", "2", "--cap", "100 kbit/s", *data)
        assert status == 0, err
        assert "desired   2 fps, at most 100 kbit/s" in shown
        await until(lambda: does(fps=2.0, cap_bps=100_000, mode="encode"), 20, "the agent does what it is told")
        assert "reported  2 fps" in (await system.run("control", "shop/door", *data))[1]

        changed = await asked(system, token, "PATCH", "/policy", json={"pause": True})
        assert changed == {"fps": 2.0, "pause": True, "cap_bps": 100_000}
        await until(lambda: does(paused=True), 20, "the agent pauses")
        before = await system.ledger(stores, "shop/door")

        async def goes_on_counting() -> bool:
            """20 pictures on, and no other was analysed."""
            nonlocal before
            ledger = await system.ledger(stores, "shop/door")
            if ledger.fates.get(Fate.INFERRED) != before.fates.get(Fate.INFERRED):
                before = ledger  # some were on their way
            return ledger.captured > before.captured + 20 and ledger.closes

        await until(goes_on_counting, 30, "what a paused camera captures is counted and not sent")
        await asked(system, token, "PATCH", "/policy", json={"pause": False, "fps": None})
        await until(lambda: does(paused=False, fps=None), 20, "the agent goes on")

        async def inferred_again() -> bool:
            ledger = await system.ledger(stores, "shop/door")
            return ledger.fates[Fate.INFERRED] > before.fates[Fate.INFERRED] + 5

        await until(inferred_again, 20, "pictures come again")
        await asked(system, token, "POST", "/keyframe")
        camera = await asked(system, token, "GET", "")
        assert isinstance(camera, dict)
        assert camera["reported"]["does"]["mode"] == "encode"
        assert camera["policy_ms"] > 0
        assert await edge.stop() == 0, edge.said[-3000:]
        ledger = await system.settled(stores, "shop/door")
        assert all(fate.group != "dropped" for fate, count in ledger.fates.items() if count)
