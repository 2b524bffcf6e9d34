"""A worker's part without a model: commits what is logged of a camera, with something seen in every unit."""

import secrets

import msgspec
from support.gateways import logged

from fishladder.runtime import commits, leases
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.entry import EpochStart, LogEntry
from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import Position, partition_of
from fishladder.wire.result import Detection, FrameResult, Hops, Result, encode
from fishladder.wire.unit import Range

HOPS = Hops(capture=1, uplink=20, log=2, wait=3, decode=4, batch=5, infer=30)


async def analyse(stores: Stores, camera: str, *, keep_ms: int = 3_600_000) -> Position:
    """Commit everything logged and not yet committed, one commit an entry; returns the cursor."""
    partition, token = partition_of(camera, stores.partitions), secrets.token_hex(8)
    assert await leases.acquire_lease(stores.state, partition, token, 60_000)
    cursor = await commits.read_cursor(stores.state, partition, camera)
    for entry in await logged(stores, camera):
        if entry.position <= cursor:
            continue
        runs, result = _settles(camera, entry, cursor)
        done = await commits.commit(
            stores.state, partition, camera, token=token, start=cursor, to=entry.position, runs=runs,
            result=result, keep_bytes=1 << 24, keep_ms=keep_ms,
        )  # fmt: skip
        assert done == commits.Committed(), (done, entry)
        cursor = entry.position
    await stores.state.publish(keys.committed(partition), msgspec.json.encode([(camera, *cursor)]))
    await leases.release_lease(stores.state, partition, token)
    return cursor


def _settles(camera: str, entry: LogEntry, cursor: Position) -> tuple[list[Run], bytes]:
    if isinstance(entry, EpochStart):
        return [], b""
    epoch, last = entry.position
    if isinstance(entry, Range):
        run, frames = Run(entry.fate, cursor.seq + 1, last), []
    else:
        seen = [Detection("person", 0.9, 0.1, 0.2, 0.3, 0.6)]
        frames = [FrameResult(last, entry.header.pts_us, entry.stamp.captured_us, seen, HOPS)]
        run = Run(Fate.INFERRED, cursor.seq + 1, last)
    told = [(int(run.fate), run.first, run.last)]
    return [run], encode(Result(camera, epoch, run.first, last, told, frames=frames, worker="w-1"))
