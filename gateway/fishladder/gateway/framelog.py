"""Group commit into the frame log: what arrived since the last write goes out in one, a call of the append script for
each partition, and the next write waits for its replies. What is not answered is kept and sent again as it was.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import hiredis
import structlog

from fishladder.gateway import metrics
from fishladder.gateway.clock import wall_us
from fishladder.gateway.framelink import FrameLink
from fishladder.gateway.resp import AppendWriter
from fishladder.gateway.session import LogSession, Queued
from fishladder.runtime.frames import Status
from fishladder.runtime.lifecycle import Backoff
from fishladder.wire.errors import StoreError
from fishladder.wire.unit import UNIT_HEADER_BYTES

log = structlog.get_logger(__name__)

#: Writes follow one another no closer than this, so that units gather; one that finds the log idle does not wait.
TICK_S = 0.005
MAX_WRITE_BYTES = 4 * 1024 * 1024
#: How long a store that is full or loading is left alone.
RETRY_S = 0.2
#: What is kept of the last unit: its header, and a byte, since a unit without payload is none.
_PEEK_BYTES = UNIT_HEADER_BYTES + 1
#: Errors that say nothing about what was sent: the same will do later.
_PASSING = ("LOADING", "BUSY", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "MISCONF")

_WHY = {
    Status.GAP: "the log misses something before what came",
    Status.FENCED: "the log has another session, or was lost",
}
_Batch = tuple[LogSession, Sequence[Queued]]


class FrameLog:
    """Everybody's way into the log. `run` does the writing; `add` never waits."""

    def __init__(self, link: FrameLink, *, tick_s: float = TICK_S, clock_us: Callable[[], int] = wall_us) -> None:
        self.link = link
        self.queued_bytes = 0
        self.full = False  #: the store is at its memory limit
        self._tick_s = tick_s
        self._clock_us = clock_us
        self._writer = AppendWriter()
        self._dirty: dict[LogSession, None] = {}
        self._taken: list[LogSession] = []  # by the write that is under way
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        link.lost = self._wake.set  # whoever waits for credit sends nothing that would find out

    @property
    def taking(self) -> bool:
        """Whether what is added now has a way into the store."""
        return self.link.connected and not self.full

    def add(self, session: LogSession, entry: Queued) -> None:
        session.queue.append(entry)
        self.queued_bytes += len(entry.data)
        self._dirty[session] = None
        self._idle.clear()
        self._wake.set()

    def drop(self, session: LogSession) -> None:
        """Write nothing more for a session. What is being written may still arrive."""
        session.closed = True
        self.queued_bytes -= sum(len(entry.data) for entry in session.queue)
        session.queue.clear()
        self._dirty.pop(session, None)

    async def flushed(self, timeout_s: float) -> bool:
        """Wait until everything added has been answered; False if that takes too long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Write for ever; connects, and connects again."""
        clock = asyncio.get_running_loop().time
        backoff = Backoff(0.05, 2.0)
        written = 0.0
        while True:
            try:
                if not self.link.connected:
                    await self.link.connect()
                    await self.link.exchange([self._writer.load()], 1)
                    backoff.reset()
                if not self._dirty:
                    self.full = False
                    self._wake.clear()
                    self._idle.set()
                    await self._wake.wait()
                    continue
                # Even an idle log gives the units that came in with this one the rest of the loop's round.
                await asyncio.sleep(max(0.0, written + self._tick_s - clock()))
                written = clock()
                if delay := await self._write():
                    await asyncio.sleep(delay)
            except StoreError as error:
                self._keep(self._taken)
                delay = backoff.next()
                log.warning("frame store away, keeping what came", error=str(error), retry_s=round(delay, 2))
                await asyncio.sleep(delay)

    async def _write(self) -> float:
        """One group commit. Returns how long to wait before the next, in seconds."""
        groups = self._take()
        self._taken = [session for group in groups for session, _ in group]
        if not groups:
            return 0.0
        now_us = self._clock_us()
        parts: list[bytes] = []
        for group in groups:
            parts += self._writer.call(group, now_us)
        began = time.perf_counter()
        replies = await self.link.exchange(parts, len(groups))
        metrics.append_seconds.observe(time.perf_counter() - began)
        delay, refused = 0.0, ""
        for group, reply in zip(groups, replies, strict=True):
            if not isinstance(reply, hiredis.ReplyError):
                self._settle(group, reply)
                continue
            again = self._refused(group, str(reply))
            delay, refused = max(delay, again), refused or str(reply)
            if str(reply).startswith("NOSCRIPT"):
                await self.link.exchange([self._writer.load()], 1)
        self._say_full(refused)
        metrics.queued_bytes.set(self.queued_bytes)
        return delay

    def _take(self) -> list[list[_Batch]]:
        """What the next write takes: per partition, sessions with their entries. At most `MAX_WRITE_BYTES` or so."""
        groups: dict[int, list[_Batch]] = {}
        room = MAX_WRITE_BYTES
        for session in list(self._dirty):
            if room <= 0:
                break
            entries: list[Queued] = []
            for entry in session.queue:
                if room <= 0:
                    break
                entries.append(entry)
                room -= len(entry.data)
            del self._dirty[session]
            if entries:
                groups.setdefault(session.partition, []).append((session, entries))
        return list(groups.values())

    def _settle(self, group: Sequence[_Batch], reply: Any) -> None:
        for (session, entries), (code, next_seq) in zip(group, reply, strict=True):
            if session.closed:
                continue
            status = Status(code)
            if status in (Status.GAP, Status.FENCED):
                self.fence(session, _WHY[status])
                continue
            self._forget_written(session, entries)
            session.logged = max(session.logged, int(next_seq) - 1)
            session.position = max(session.position, session.logged)
            session.owner.logged(session)

    def _forget_written(self, session: LogSession, entries: Sequence[Queued]) -> None:
        units, size = 0, 0
        for entry in entries:
            session.queue.popleft()
            size += len(entry.data)
            if entry.captured_us is not None:
                units += 1
                session.header = entry.data[:_PEEK_BYTES]
        self.queued_bytes -= size
        session.units += units
        session.unit_bytes += size
        if session.queue:
            self._dirty[session] = None
        metrics.logged(session.camera, units, size, session.restamped)
        session.restamped = 0

    def _refused(self, group: Sequence[_Batch], why: str) -> float:
        """The store did not do one partition's part. Returns how long to leave it alone."""
        if why.startswith(("OOM", "NOSCRIPT", *_PASSING)):
            self._keep(session for session, _ in group)
            if why.startswith("READONLY"):
                self.link.close()  # it is a master no more: whoever is will be found by connecting anew
            return 0.0 if why.startswith("NOSCRIPT") else RETRY_S
        log.error("append failed", error=why, cameras=[session.camera for session, _ in group][:8])
        for session, _ in group:
            if not session.closed:
                self.fence(session, f"the frame store answered: {why}")
        return 0.0

    def _say_full(self, refused: str) -> None:
        full = refused.startswith("OOM")
        if full != self.full:
            log.warning("frame store is full, giving no credit" if full else "frame store has room again")
        elif refused and not full:
            log.warning("frame store refuses for now", error=refused)
        self.full = full

    def fence(self, session: LogSession, reason: str) -> None:
        self.drop(session)
        metrics.fenced.inc()
        session.owner.fenced(session, reason)

    def _keep(self, sessions: Iterable[LogSession]) -> None:
        """What these have queued goes (again) with the next write."""
        for session in sessions:
            if session.queue:
                self._dirty[session] = None
