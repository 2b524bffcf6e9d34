"""A worker's part without a model: commits what is logged of a camera, with something seen in every unit."""

import secrets
import time

import msgspec
from support.gateways import logged

from fishladder.runtime import state
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.entry import EpochStart, LoggedUnit
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position, partition_of
from fishladder.wire.result import Detection, FrameResult, Hops, Result, encode
from fishladder.wire.unit import Range

HOPS = Hops(capture=1, uplink=20, log=2, wait=3, decode=4, batch=5, infer=30)


async def analyse(stores: Stores, camera: str, *, keep_ms: int = 3_600_000) -> Position:
    """Commit everything logged and not yet committed, one commit an entry; returns the cursor."""
    partition, token = partition_of(camera, stores.partitions), secrets.token_hex(8)
    assert await state.acquire_lease(stores.state, partition, token, 60_000)
    cursor = await state.read_cursor(stores.state, partition, camera)
    for entry in await logged(stores, camera):
        if entry.position <= cursor:
            continue
        counts, result = _settles(camera, entry, cursor)
        done = await state.commit(
            stores.state, partition, camera, token=token, start=cursor, to=entry.position, counts=counts,
            result=result, keep_bytes=1 << 24, keep_ms=keep_ms, deferred=[],
        )  # fmt: skip
        assert done == state.Committed(), (done, entry)
        cursor = entry.position
    await stores.state.publish(keys.committed(partition), msgspec.json.encode([(camera, *cursor)]))
    await state.release_lease(stores.state, partition, token)
    return cursor


def _settles(
    camera: str, entry: LoggedUnit | Range | EpochStart, cursor: Position
) -> tuple[list[tuple[Fate, int]], bytes]:
    if isinstance(entry, EpochStart):
        return [], b""
    first, last = cursor.seq + 1, entry.position.seq
    if isinstance(entry, Range):
        fate, frames = entry.fate, []
    else:
        seen = [Detection("person", 0.9, 0.1, 0.2, 0.3, 0.6)]
        fate, frames = Fate.INFERRED, [FrameResult(last, entry.header.pts_us, entry.stamp.captured_us, seen, HOPS)]
    epoch = entry.position.epoch
    return [(fate, last - first + 1)], encode(
        Result(camera, epoch, first, last, [(int(fate), first, last)], frames=frames, worker="w-1")
    )


def ago_us(seconds: float) -> int:
    return time.time_ns() // 1000 - int(seconds * 1e6)
