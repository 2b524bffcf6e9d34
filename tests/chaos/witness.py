"""Looks on at the frame log while faults hit, and notes of every unit that passes whether a decoder can start at it and
whether it is poison. So that what a run lost can be held against what was done to it, unit by unit.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError
from support.crashing.sitecustomize import MARK

from fishladder.wire import keys
from fishladder.wire.entry import LoggedUnit, read_entry
from fishladder.wire.ids import PARTITIONS, Position, partition_of
from fishladder.wire.unit import Flag

_BLOCK_MS = 300


class Seen(NamedTuple):
    entry_point: bool
    poison: bool


class Witness:
    """`seen` by camera and position. What was trimmed before it was read, it has not seen."""

    def __init__(self, frames: Redis, cameras: Sequence[str]) -> None:
        self.seen: dict[str, dict[Position, Seen]] = {camera: {} for camera in cameras}
        self._frames = frames
        self._cameras: dict[str, str] = {}
        for camera in cameras:
            partition = partition_of(camera, PARTITIONS)
            self._cameras |= {keys.log(partition, camera): camera, keys.backfill(partition, camera): camera}

    async def run(self) -> None:
        """Until cancelled; a store that is away is waited for."""
        last = dict.fromkeys(self._cameras, b"0")
        while True:
            try:
                found = await self._frames.xread(dict(last), block=_BLOCK_MS)  # type: ignore[arg-type]
            except (RedisError, OSError):
                await asyncio.sleep(0.1)
                continue
            for key, entries in found:
                name = key.decode()
                for entry_id, fields in entries:
                    self._take(self._cameras[name], entry_id, fields)
                    last[name] = entry_id

    def _take(self, camera: str, entry_id: bytes, fields: dict[bytes, bytes]) -> None:
        entry = read_entry(entry_id, fields)
        if isinstance(entry, LoggedUnit):
            point = bool(entry.header.flags & (Flag.CLEAN | Flag.RECOVERY))
            self.seen[camera][entry.position] = Seen(point, MARK in bytes(entry.data))
