"""Committing many cameras: each gets its turn, whatever becomes of the others' commits."""

import asyncio

from support.stores import wait_until

from fishladder.inference.camera_run import CameraRun
from fishladder.inference.commit import Committer
from fishladder.inference.leases import Lease
from fishladder.inference.pipeline import Lane
from fishladder.inference.progress import Progress
from fishladder.inference.retention import Retention
from fishladder.runtime.commits import cursor_field
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position
from fishladder.wire.messages import Policy
from fishladder.wire.result import ModelId

CAMERAS = 300


async def test_cameras_that_always_have_something_to_commit_leave_the_others_their_turn(stores: Stores) -> None:
    """All but the last are of a partition that another worker took, so that their commits never land."""
    runs: dict[str, CameraRun] = {}
    for number in range(CAMERAS):
        name = f"site/{number}"
        progress = Progress(name, Position(1, 0), Policy())
        progress.slots.add_range(5, Fate.SHED, 0.0)
        lease = Lease(1 if number == CAMERAS - 1 else 0, "ours", until=1e12)
        runs[name] = CameraRun(name, lease, progress, Lane(name))
    await stores.state.set(keys.lease(0), "another's")
    await stores.state.set(keys.lease(1), "ours")
    await stores.state.hset(keys.cursor(1, name), cursor_field(), "1-0")
    committer = Committer(
        stores.state,
        runs,
        worker="worker",
        model=ModelId("model", "0" * 64),
        retention=Retention(1_000_000, 60_000),
        reset=lambda run, why: None,
        lease_lost=lambda run: None,
        deferred=lambda camera: None,
    )
    committing = asyncio.create_task(committer.run())
    try:
        await wait_until(lambda: runs[name].progress.slots.cursor == Position(1, 5), 10, "the last is committed")
    finally:
        committing.cancel()
        await asyncio.wait([committing])
    assert await stores.state.hget(keys.cursor(1, name), cursor_field()) == b"1-5"
