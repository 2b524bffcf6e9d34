"""Follows one camera for all who watch it in this process: its units out of the frame log, its results out of the state
store. It reads what workers read, so watching costs ingest nothing, and any gateway can show any camera.
"""

import asyncio
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fishladder.gateway.asking import asking, hang_up
from fishladder.gateway.live.viewer import Viewer
from fishladder.runtime.lifecycle import Backoff, supervise
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.entry import STAMP_BYTES, UNIT_FIELD, LoggedUnit, read_entry
from fishladder.wire.errors import StoreUnavailable, WireError
from fishladder.wire.ids import Position, partition_of
from fishladder.wire.unit import Flag, Range

log = structlog.get_logger(__name__)

_BLOCK_MS = 2000
_PAGE = 64
#: How far back the last clean point is looked for, in entries.
_BACK = 1024
#: Of the pictures since the last clean point so much is kept for who comes next.
_KEEP_BYTES = 8 * 1024 * 1024
_Kept = tuple[LoggedUnit, memoryview]


class CameraTail:
    """One camera's; `run` it while somebody watches."""

    def __init__(self, stores: Stores, camera: str) -> None:
        self.camera = camera
        self._stores = stores
        partition = partition_of(camera, stores.partitions)
        self._log, self._results = keys.log(partition, camera), keys.results(partition, camera)
        self._viewers: dict[Viewer, int] = {}
        self._since_clean: list[_Kept] = []
        self._kept_bytes = 0
        self._last: Position | None = None
        self._after = b""

    @property
    def watched(self) -> bool:
        return bool(self._viewers)

    def join(self, viewer: Viewer, index: int) -> None:
        """`index` is the camera's place in what this viewer asked for. It begins with the last clean point."""
        self._viewers[viewer] = index
        viewer.begins(index)
        for unit, packed in self._since_clean:
            viewer.offer_unit(index, unit, packed)

    def leave(self, viewer: Viewer) -> None:
        self._viewers.pop(viewer, None)

    async def run(self) -> None:
        """Until cancelled; stores that fail are asked again."""
        async with asyncio.TaskGroup() as group:
            for name, loop in (("units", self._units), ("results", self._read_results)):
                watching = f"watching {self.camera}, {name}"
                group.create_task(supervise(watching, loop, backoff=Backoff(0.2, 5.0)), name=watching)

    async def _units(self) -> None:
        """Raises `StoreUnavailable`."""
        frames = self._stores.frames
        if not self._after:
            await self._begin(frames)
        while True:
            reply = await _wait(frames, self._log, self._after, "frame store")
            for entry_id, fields in reply:
                self._after = entry_id
                self._take(entry_id, fields)

    async def _begin(self, frames: Redis) -> None:
        """Find the last clean point in the log, and take what follows."""
        found: list[Any] = []
        bound = "+"
        while len(found) < _BACK:
            async with asking(frames, f"frame store, looking for {self.camera}"):
                page: Any = await frames.xrevrange(self._log, max=bound, count=_PAGE)
            found += page
            if len(page) < _PAGE or any(_is_clean(fields) for _, fields in page):
                break
            bound = f"({page[-1][0].decode()}"
        self._after = found[0][0] if found else b"0-0"
        begin = next((place for place, (_, fields) in enumerate(found) if _is_clean(fields)), 0)
        for entry_id, fields in reversed(found[: begin + 1]):
            self._take(entry_id, fields)

    def _take(self, entry_id: bytes, fields: dict[bytes, bytes]) -> None:
        try:
            entry = read_entry(entry_id, fields)
        except WireError as error:
            log.warning("an entry cannot be shown", camera=self.camera, error=str(error))
            self._missing()
            return
        first = Position(entry.epoch, entry.first) if isinstance(entry, Range) else entry.position
        if self._last is not None and not _follows(self._last, first):
            self._missing()  # trimmed before it was read, or the log was lost
        self._last = entry.position
        if not isinstance(entry, LoggedUnit):
            return
        packed = memoryview(fields[UNIT_FIELD])[STAMP_BYTES:]
        if entry.header.flags & Flag.CLEAN:
            self._since_clean.clear()
            self._kept_bytes = 0
        if entry.header.flags & Flag.CLEAN or self._since_clean:
            self._since_clean.append((entry, packed))
            self._kept_bytes += len(packed)
            if self._kept_bytes > _KEEP_BYTES:  # who comes next waits for the next clean point
                self._since_clean.clear()
        for viewer, index in self._viewers.items():
            viewer.offer_unit(index, entry, packed)

    def _missing(self) -> None:
        self._since_clean.clear()
        for viewer, index in self._viewers.items():
            viewer.begins(index)

    async def _read_results(self) -> None:
        """Raises `StoreUnavailable`."""
        state = self._stores.state
        async with asking(state, f"state store, looking for {self.camera}"):
            newest: Any = await state.xrevrange(self._results, count=1)
        after = newest[0][0] if newest else b"0-0"
        while True:
            reply = await _wait(state, self._results, after, "state store")
            for entry_id, fields in reply:
                after = entry_id
                at_ms, raw = entry_id.partition(b"-")[0].decode(), fields[b"r"].decode()
                for viewer, index in self._viewers.items():
                    viewer.offer_text(f'{{"type":"result","index":{index},"committed_ms":{at_ms},"result":{raw}}}')


def _follows(last: Position, first: Position) -> bool:
    """Whether nothing is missing in between; a later epoch begins with a clean point by itself."""
    return first.epoch > last.epoch or first.seq <= last.seq + 1


def _is_clean(fields: dict[bytes, bytes]) -> bool:
    packed = fields.get(UNIT_FIELD, b"")[STAMP_BYTES:]
    return len(packed) > 2 and bool(packed[2] & Flag.CLEAN)


async def _wait(store: Redis, key: str, after: bytes, what: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Entries of a stream after `after`, as soon as there are some; none where that takes too long. Raises
    `StoreUnavailable`.
    """
    try:
        async with asyncio.timeout(_BLOCK_MS / 1000 + 5.0):
            reply: Any = await store.xread({key: after}, count=_PAGE, block=_BLOCK_MS)
    except TimeoutError:
        await hang_up(store)
        raise StoreUnavailable(f"{what}, reading {key}: no answer") from None
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"{what}, reading {key}: {error}") from None
    return reply[0][1] if reply else []
