"""Looks on while faults hit: of every unit that passes in the frame log, whether a decoder can start at it and whether
it is poison; of every result, what it says became of frames. So that what a run lost can be held against what was done
to it, unit by unit, whatever the stores keep.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError
from support.crashing.sitecustomize import MARK

from fishladder.wire import keys
from fishladder.wire.entry import LoggedUnit, read_entry
from fishladder.wire.fates import Fate
from fishladder.wire.ids import PARTITIONS, Position, partition_of
from fishladder.wire.result import Result, decode
from fishladder.wire.unit import Flag

_BLOCK_MS = 300


class Seen(NamedTuple):
    entry_point: bool
    poison: bool


class Settled(NamedTuple):
    """What a result says of one frame. `at_ms` is when it was committed."""

    fate: Fate
    lane: str
    worker: str
    at_ms: int


class Witness:
    """`seen` and `settled` by camera and position. What was trimmed before it was read, it has not seen. Of what was
    settled twice (a store went back to what it had written) the last word holds.
    """

    def __init__(self, frames: Redis, state: Redis, cameras: Sequence[str]) -> None:
        self.seen: dict[str, dict[Position, Seen]] = {camera: {} for camera in cameras}
        self.settled: dict[str, dict[Position, Settled]] = {camera: {} for camera in cameras}
        self._frames, self._state = frames, state
        self._logs: dict[str, str] = {}
        self._results: dict[str, str] = {}
        for camera in cameras:
            partition = partition_of(camera, PARTITIONS)
            self._logs |= {keys.log(partition, camera): camera, keys.backfill(partition, camera): camera}
            self._results[keys.results(partition, camera)] = camera

    async def run(self) -> None:
        """Until cancelled; a store that is away is waited for."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_follow(self._frames, self._logs, self._unit))
            group.create_task(_follow(self._state, self._results, self._result))

    async def look(self) -> None:
        """Once more at what results there are."""
        for key, camera in self._results.items():
            for entry_id, fields in await self._state.xrange(key):
                self._result(camera, entry_id, fields)

    def _unit(self, camera: str, entry_id: bytes, fields: dict[bytes, bytes]) -> None:
        entry = read_entry(entry_id, fields)
        if isinstance(entry, LoggedUnit):
            point = bool(entry.header.flags & (Flag.CLEAN | Flag.RECOVERY))
            self.seen[camera][entry.position] = Seen(point, MARK in bytes(entry.data))

    def _result(self, camera: str, entry_id: bytes, fields: dict[bytes, bytes]) -> None:
        one: Result = decode(fields[b"r"])
        at_ms = int(entry_id.split(b"-")[0])
        for code, first, last in one.runs:
            settled = Settled(Fate(code), one.lane, one.worker, at_ms)
            self.settled[camera] |= {Position(one.epoch, seq): settled for seq in range(first, last + 1)}


async def _follow(
    store: Redis, streams: dict[str, str], take: Callable[[str, bytes, dict[bytes, bytes]], None]
) -> None:
    """Hand on what comes in `streams` (key -> camera)."""
    last = dict.fromkeys(streams, b"0")
    while True:
        try:
            found = await store.xread(dict(last), block=_BLOCK_MS)  # type: ignore[arg-type]
        except (RedisError, OSError):
            await asyncio.sleep(0.1)
            continue
        for key, entries in found:
            name = key.decode()
            for entry_id, fields in entries:
                take(streams[name], entry_id, fields)
                last[name] = entry_id
