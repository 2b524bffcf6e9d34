"""Keeps the spools of an agent's cameras: writes what has waited too long, reads what is asked for, forgets what is
settled, and makes room. What touches the disk does so in one thread, so that live video never waits for it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

import structlog

from fishladder.edge.clock import Clock
from fishladder.edge.session import Session
from fishladder.edge.spool import spill
from fishladder.edge.spool.journal import Journal
from fishladder.edge.spool.lane import Lane
from fishladder.edge.spool.places import boot_of, host_start, lock_cameras, unclaimed, unlock
from fishladder.edge.spool.settings import Spool
from fishladder.edge.spool.store import Life, SpoolStore
from fishladder.edge.spool.waiting import units_in
from fishladder.wire.ids import ORIGIN

log = structlog.get_logger(__name__)

T = TypeVar("T")

TICK_S = 0.25
#: After the disk (or a full spool) refused something; and for how long, until live goes on without what it refuses.
AGAIN_S, PATIENCE_S = 2.0, 20.0
#: What could not be read for so long, though the disk takes something, is lost: others behind it are not.
UNREAD_S = 60.0
#: How often what is too old is looked for.
AGE_EVERY_S = 10.0
#: Read of one camera at a time, and of that as context at most (a ring holds no more before what is unsent).
READ_BYTES = 256 << 10
CONTEXT_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Filling:
    """How a spool does, for whoever asks. `grows_bytes_s` over about the last minute."""

    bytes: int
    limit_bytes: int
    written_bytes: int
    oldest_s: float | None
    grows_bytes_s: float
    failing: str

    @property
    def left_s(self) -> float | None:
        """Until it is full, if it goes on like this."""
        if self.grows_bytes_s <= 0:
            return None
        return max(self.limit_bytes - self.bytes, 0) / self.grows_bytes_s


class Keeper:
    """`news` is called when there may be something more to send. Raises `ConfigError` when
    another agent has one of the cameras, or the directory cannot be written.
    """

    def __init__(self, settings: Spool, sessions: Sequence[Session], clock: Clock, news: Callable[[], None]) -> None:
        self.settings = settings
        self.limit_bytes = settings.limit_bytes()
        self._clock = clock
        self._news = news
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "spool")
        self._aged_s = 0.0
        self._grown: list[tuple[float, int]] = []
        self._oldest_s: float | None = None
        names = [session.camera.partition("/")[2] for session in sessions]
        with ExitStack() as undo:
            undo.callback(self._thread.shutdown)
            self._locks = lock_cameras(settings.directory, names)
            undo.callback(unlock, self._locks)
            self.boot, self.hellos = boot_of(settings.memory)
            self._host = host_start(self.boot if settings.memory is not None else None)
            self.lanes = {
                session.channel: self._lane(session, name) for session, name in zip(sessions, names, strict=True)
            }
            self._name_left_behind(names)
            undo.pop_all()

    def _name_left_behind(self, cameras: Sequence[str]) -> None:
        """Say what no camera of these settings will ever send."""
        for file in unclaimed(self.settings.directory, cameras):
            if units := units_in(file):
                log.warning(
                    "frames of a camera that is not in the settings wait in its spool: they go when it is put back, "
                    "and are lost if the file is deleted",
                    camera=file.stem,
                    units=units,
                    file=str(file),
                )

    def add(self, session: Session) -> None:
        """Keep a camera that came later. Blocks for as long as opening its spool takes; raises `ConfigError`."""
        name = session.camera.partition("/")[2]
        self._locks += lock_cameras(self.settings.directory, [name])
        self.lanes[session.channel] = self._lane(session, name)

    def _lane(self, session: Session, name: str) -> Lane:
        store = SpoolStore(self.settings.directory / f"{name}.sqlite", self._host)
        journal = Journal(self.settings.memory / name) if self.settings.memory is not None else None
        lane = Lane(session, store, journal, self._wake.set)
        lane.restore()
        if left := session.pending:
            log.info("camera goes on where it was", camera=session.camera, epoch=session.epoch, pending=left)
        return lane

    def filling(self) -> Filling:
        stores = [lane.store for lane in self.lanes.values()]
        now_s, size = time.monotonic(), sum(store.bytes for store in stores)
        self._grown = [it for it in self._grown if now_s - it[0] < 60] or [(now_s, size)]
        if now_s - self._grown[-1][0] >= 1:
            self._grown.append((now_s, size))
        since_s, before = self._grown[0]
        grows = (size - before) / (now_s - since_s) if now_s - since_s >= 1 else 0.0
        failing = next((store.database.failing for store in stores if store.database.failing), "")
        written = sum(store.written_bytes for store in stores)
        return Filling(size, self.limit_bytes, written, self._oldest_s, grows, failing)

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            for lane in list(self.lanes.values()):
                await self._attend(lane)
            await self._age()
            try:
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Put what is not committed where a restart of the host leaves it, and let go."""
        try:
            for lane in self.lanes.values():
                if (left := spill.everything(lane.session.ring)) is not None:
                    await self._put(lane, left)
                await self._in_thread(lane.store.close)
                if lane.journal is not None:
                    lane.journal.close()
        finally:
            self._thread.shutdown()
            unlock(self._locks)

    async def _attend(self, lane: Lane) -> None:
        session, drain = lane.session, lane.drain
        while lane.grants:
            life = lane.grants[0]
            if any(it.id == life.id for it in lane.store.lives) and not await self._in_thread(lane.store.granted, life):
                break
            lane.grants.popleft()
        await self._spill(lane)
        if lane.journal is not None:
            lane.journal.forget(session.ring.oldest_here, session.ring.committed)
        if lane.forget_before > ORIGIN:
            before, leans = lane.forget_before, session.ring.leans_on_spool
            await self._in_thread(lane.store.forget, before, leans)
            if lane.forget_before == before and not leans:
                lane.forget_before = ORIGIN
        while (want := drain.want(time.monotonic())) is not None:
            context = CONTEXT_BYTES if want.context else 0
            now_s = time.monotonic()
            anyway = lane.unread_s is not None and now_s - lane.unread_s >= UNREAD_S
            reading = await self._in_thread(lane.store.read, want.at, want.last, READ_BYTES, context, anyway)
            drain.fed(want, reading)
            if reading is None:
                lane.unread_s = lane.unread_s or now_s
                break
            lane.unread_s = lane.unread_s if anyway else None
            self._news()

    async def _spill(self, lane: Lane) -> None:
        session, ring = lane.session, lane.session.ring
        if time.monotonic() < lane.put_again_s:
            return
        plan = spill.due(ring, self._clock.mono_us(), live=session.is_open, late_us=session.late_us)
        if plan is None:
            return
        kept = await self._put(lane, plan)
        now_s = time.monotonic()
        lane.put_again_s = 0.0 if kept else now_s + AGAIN_S
        lane.refused_s = None if kept else lane.refused_s or now_s
        if session.ring is not ring:
            return
        if lane.refused_s is not None:
            if session.is_open and now_s - lane.refused_s >= PATIENCE_S:
                ring.give_up()
        elif plan.holds_for(ring):
            ring.defer(plan.last)
            lane.deferred_to = max(lane.deferred_to, plan.last)
        self._news()

    async def _put(self, lane: Lane, plan: spill.Spill) -> bool:
        life = Life(lane.life.id, lane.session.epoch, max(plan.last, lane.session.ring.position))
        size = sum(held.cost for held in plan.entries)
        if self.settings.policy == "refuse_new" and self._bytes() + size > self.limit_bytes:
            return False
        kept = await self._in_thread(lane.store.put, life, plan.entries)
        before = self._bytes() + 1
        while before > self._bytes() > self.limit_bytes:  # and as long as that helps
            before = self._bytes()
            fullest = max(self.lanes.values(), key=lambda it: it.store.bytes)
            await self._in_thread(fullest.store.drop_oldest, fullest.drain.sent_to)
        return kept

    async def _age(self) -> None:
        now_s = time.monotonic()
        if now_s - self._aged_s < AGE_EVERY_S:
            return
        self._aged_s = now_s
        self.limit_bytes = await self._in_thread(self.settings.limit_bytes)
        lanes = list(self.lanes.values())  # one may be added while the disk is slow
        for lane in lanes:
            while await self._in_thread(lane.store.drop_oldest, lane.drain.sent_to, self.settings.max_age_s):
                pass
        ages = [await self._in_thread(lane.store.oldest_s) for lane in lanes]
        self._oldest_s = max((age for age in ages if age is not None), default=None)

    def _bytes(self) -> int:
        return sum(lane.store.bytes for lane in self.lanes.values())

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
