"""What cannot be read of one camera sets that camera aside: the loops that met it go on for the others."""

import asyncio
from pathlib import Path

from support.stores import wait_until

from fishladder.inference.camera_run import CameraRun
from fishladder.inference.config import WorkerSettings
from fishladder.inference.feed import Feed
from fishladder.inference.leases import Lease
from fishladder.inference.mend import Mender
from fishladder.inference.model import load_detector
from fishladder.inference.pipeline import Lane, Pipeline
from fishladder.inference.progress import Progress
from fishladder.inference.roster import Roster
from fishladder.inference.suspects import Suspects
from fishladder.runtime.commits import cursor_field
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.messages import Policy

LEASE = Lease(0, "token", until=1e12)


def idle_pipeline(model: Path) -> Pipeline:
    return Pipeline(load_detector(model, provider="cpu"), batch=1, batch_wait_s=0, deliver=lambda _: None)


async def test_an_entry_met_while_looking_after_a_log(stores: Stores, model: Path) -> None:
    runs = {
        name: CameraRun(name, LEASE, Progress(name, ORIGIN, Policy()), Lane(name)) for name in ("site/bad", "site/good")
    }
    for run in runs.values():
        run.progress.lost = True
    await stores.frames.xadd(runs["site/bad"].log_key, {"x": "of a later version"}, id="1-1")
    feed = Feed(stores.frames, idle_pipeline(model), runs)
    mending = asyncio.create_task(Mender(stores.frames, feed, runs).run())
    try:
        run, why = await asyncio.wait_for(feed.unusable.get(), 10)
        await wait_until(lambda: mending.done() or not runs["site/good"].progress.lost, 10, "the other is looked after")
        assert not mending.done()
    finally:
        mending.cancel()
        await asyncio.wait([mending])
    assert run is runs["site/bad"]
    assert run.leaving
    assert "b'x' is not known" in why


async def test_a_cursor_met_while_beginning(stores: Stores, model: Path) -> None:
    names = ["site/bad", "site/good"]
    await stores.state.sadd(keys.cameras(0), *names)
    await stores.state.hset(keys.cursor(0, "site/bad"), cursor_field(), "rubbish")
    await stores.state.hset(keys.cursor(0, "site/good"), cursor_field(), "3-7")
    runs: dict[str, CameraRun] = {}
    suspects = Suspects(idle_pipeline(model), stores.state, lambda _: None, WorkerSettings())
    roster = Roster(stores.state, suspects, Feed(stores.frames, suspects, runs), runs, {})
    roster.took(LEASE)
    keeping = asyncio.create_task(roster.run())
    try:
        await wait_until(lambda: keeping.done() or "site/good" in runs, 10, "the other begins")
        assert not keeping.done()
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
    assert runs.keys() == {"site/good"}
    assert runs["site/good"].progress.slots.cursor == Position(3, 7)
