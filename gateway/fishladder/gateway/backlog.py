"""The backfill lane's way through a gateway: agents are told what of their cameras is open, and what they send of it
goes into the frame store's backfill streams. Beside the live lane's path and apart from it: nothing here is urgent.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog
from redis.exceptions import OutOfMemoryError

from fishladder.gateway.asking import asking
from fishladder.gateway.clock import wall_us
from fishladder.gateway.session import LogSession
from fishladder.runtime import frames
from fishladder.runtime.commits import cursor_field, open_field
from fishladder.runtime.frames import Status
from fishladder.runtime.store import Stores
from fishladder.wire import keys, open_set
from fishladder.wire.entry import RANGE_FIELD, UNIT_FIELD
from fishladder.wire.errors import StoreUnavailable, WireError
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.messages import MAX_OPEN
from fishladder.wire.open_set import OpenRange
from fishladder.wire.unit import Range

log = structlog.get_logger(__name__)

#: How soon after it may have changed an open set is read, how often while something is open, and how often at least.
TICK_S = 0.1
OPEN_EVERY_S = 1.0
IDLE_EVERY_S = 10.0
_LOOK_AT_ONCE = 256
_WRITE_BYTES = 1024 * 1024
#: How long a store that is full is left alone.
_FULL_S = 0.5


@dataclass(frozen=True, slots=True)
class Told:
    """What an agent is told of a camera: the lowest open ranges, with the live lane at `cursor`."""

    cursor: Position
    ranges: tuple[OpenRange, ...]
    more: bool


@dataclass(slots=True, eq=False)
class _Lane:
    session: LogSession
    tell: Callable[[Told], None]
    told: Told | None = None
    look_at: float = 0.0
    queue: deque[tuple[bytes, bytes]] = field(default_factory=deque)
    number: int = 1  # of the queue's first entry within the session


class Backlog:
    """All backfill lanes of one process. `fence` ends a session whose stream is another's now."""

    def __init__(self, stores: Stores, fence: Callable[[LogSession, str], None]) -> None:
        self.queued_bytes = 0
        self._stores = stores
        self._fence = fence
        self._lanes: dict[str, _Lane] = {}
        self._dirty: dict[_Lane, None] = {}
        self._wake = asyncio.Event()

    def open(
        self, session: LogSession, cursor: Position, ranges: tuple[OpenRange, ...], tell: Callable[[Told], None]
    ) -> None:
        """Begin for a session whose sender has a backfill lane: `tell` is called now and with each news."""
        self._drop(self._lanes.get(session.camera))
        lane = self._lanes[session.camera] = _Lane(session, tell)
        self._news(lane, cursor, ranges)

    def close(self, session: LogSession) -> None:
        """Write and tell nothing more. Idempotent."""
        lane = self._lanes.get(session.camera)
        if lane is not None and lane.session is session:
            self._drop(lane)

    def settled(self, camera: str) -> None:
        """A worker has changed a camera's open set."""
        if lane := self._lanes.get(camera):
            lane.look_at = 0.0

    def take_unit(self, session: LogSession, data: bytes) -> None:
        """Queue a packed unit. Raises `WireError`."""
        stamp = session.take_backfill(data, wall_us())
        self._add(session, UNIT_FIELD, stamp.pack() + data)

    def take_range(self, session: LogSession, declared: Range) -> None:
        """Queue a declared range. Raises `WireError`."""
        self._add(session, RANGE_FIELD, session.take_backfill_range(declared))

    def _add(self, session: LogSession, name: bytes, value: bytes) -> None:
        lane = self._lanes.get(session.camera)
        if lane is None or lane.session is not session:
            raise WireError(f"{session.camera}: backfill came from a sender whose hello names none")
        lane.queue.append((name, value))
        self.queued_bytes += len(value)
        self._dirty[lane] = None
        self._wake.set()

    def _drop(self, lane: _Lane | None) -> None:
        if lane is not None:
            self.queued_bytes -= sum(len(value) for _, value in lane.queue)
            lane.queue.clear()
            self._dirty.pop(lane, None)
            if self._lanes.get(lane.session.camera) is lane:
                del self._lanes[lane.session.camera]

    # -- what is open

    async def look(self) -> None:
        """Read the open sets that may have changed, until the store fails: raises `StoreUnavailable`."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(TICK_S)
            now = clock()
            due = [lane for lane in self._lanes.values() if now >= lane.look_at or _deferred_came_through(lane.session)]
            for first in range(0, len(due), _LOOK_AT_ONCE):
                await self._read(due[first : first + _LOOK_AT_ONCE], now)

    async def _read(self, lanes: Iterable[_Lane], now: float) -> None:
        lanes = list(lanes)
        for lane in lanes:
            if _deferred_came_through(lane.session):
                lane.session.deferred = 0
            lane.look_at = now + IDLE_EVERY_S  # unless something comes up while we ask
        pipe = self._stores.state.pipeline(transaction=False)
        for lane in lanes:
            name = keys.cursor(lane.session.partition, lane.session.camera)
            pipe.hmget(name, cursor_field(), open_field())
        async with asking(self._stores.state, "state store, reading open sets"):
            replies = await pipe.execute()
        for lane, (cursor, ranges) in zip(lanes, replies, strict=True):
            if self._lanes.get(lane.session.camera) is not lane:
                continue
            try:
                at = Position.parse(cursor) if cursor else ORIGIN
                self._news(lane, at, open_set.parse(ranges))
            except WireError as error:
                raise StoreUnavailable(f"state store, {lane.session.camera}: {error}") from None
            # What a reboot left of earlier epochs is deferred by the opening of the log, which no session counts.
            if ranges or lane.session.deferred or at.epoch < lane.session.epoch:
                lane.look_at = min(lane.look_at, now + OPEN_EVERY_S)

    def _news(self, lane: _Lane, cursor: Position, ranges: tuple[OpenRange, ...]) -> None:
        lane.session.open_ranges = len(ranges)
        news = Told(cursor, ranges[:MAX_OPEN], len(ranges) > MAX_OPEN)
        if news != lane.told:
            lane.told = news
            lane.tell(news)

    # -- what is sent of it

    async def write(self) -> None:
        """Write what is queued until the store fails: raises `StoreUnavailable`. What is not answered stays queued."""
        while True:
            await self._wake.wait()
            while self._dirty:
                if not await self._write(next(iter(self._dirty))):
                    await asyncio.sleep(_FULL_S)
            self._wake.clear()

    async def _write(self, lane: _Lane) -> bool:
        """Write of one lane what goes in one call; False if the store has no room."""
        session, number = lane.session, lane.number
        if session.closed:
            self._drop(lane)
            return True
        entries: list[tuple[bytes, bytes]] = []
        size = 0
        for entry in lane.queue:
            if size >= _WRITE_BYTES:
                break
            entries.append(entry)
            size += len(entry[1])
        async with asking(self._stores.frames, "frame store, backfill"):
            try:
                done = await frames.fill(
                    self._stores.frames, session.partition, session.camera, session.token, number, entries
                )
            except OutOfMemoryError:  # who gives credit says so
                return False
        if self._lanes.get(session.camera) is not lane:
            return True
        if done.status in (Status.FENCED, Status.GAP):
            self._drop(lane)
            self._fence(session, "the backfill stream has another session, or was lost")
            return True
        for _ in entries:
            lane.queue.popleft()
        lane.number += len(entries)
        self.queued_bytes -= size
        if not lane.queue:
            self._dirty.pop(lane, None)
        else:  # the others come first
            self._dirty[lane] = self._dirty.pop(lane)
        return True


def _deferred_came_through(session: LogSession) -> bool:
    """What was deferred in this session is committed, so it is open now."""
    return 0 < session.deferred <= session.committed
