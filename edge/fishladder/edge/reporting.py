"""What an agent tells of itself while it runs: metrics each second, what was dropped as it happens, and each minute, as
long as the uplink is down or the spool drains, the line an operator wants to read at night.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import structlog

from fishladder.edge import metrics
from fishladder.edge.feed import Feed
from fishladder.edge.session import Session
from fishladder.edge.spool.keeper import Keeper
from fishladder.wire.fates import Fate

log = structlog.get_logger(__name__)

_REPORT_S = 1.0
_STANDING_S = 60.0


class _Uplink(Protocol):
    @property
    def connected(self) -> bool: ...


class Reporter:
    """`sessions` are those of the `stream` uplink, in the order of `feeds`, or none. Both may grow."""

    def __init__(
        self, feeds: Sequence[Feed], sessions: Sequence[Session], uplink: _Uplink, keeper: Keeper | None
    ) -> None:
        self._feeds = feeds
        self._sessions = sessions
        self._uplink = uplink
        self._keeper = keeper
        self._dropped = Counter[int]()
        self._spool_dropped = Counter[int]()
        self._oversized = Counter[int]()
        self._written = Counter[int]()
        self._changed_s = time.monotonic()
        self._connected = False
        self._said_s = self._changed_s

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_REPORT_S)
            for index, feed in enumerate(self._feeds):
                self._feed(index, feed)
            for index, session in enumerate(self._sessions):
                self._too_large(index, session)
            if self._keeper is not None:
                for index in list(self._keeper.lanes):
                    self._spool(index, self._keeper)
            self._stand(time.monotonic())

    def standing(self) -> str:
        """How the uplink and the spool do, for a sentence; '' where all is as it should be."""
        parts = []
        if not self._uplink.connected:
            parts.append(f"uplink down for {_span(time.monotonic() - self._changed_s)}")
        if self._keeper is not None:
            filling = self._keeper.filling()
            if filling.failing:
                parts.append(f"the spool takes nothing ({filling.failing})")
            elif filling.bytes and (not self._uplink.connected or self._backlog):
                parts.append(f"spool {100 * filling.bytes / filling.limit_bytes:.0f}% full")
                if not self._uplink.connected and filling.left_s is not None:
                    parts.append(f"{_span(filling.left_s)} left")
        return ", ".join(parts)

    @property
    def _backlog(self) -> int:
        return sum(session.backlog for session in self._sessions)

    def _stand(self, now_s: float) -> None:
        connected = self._uplink.connected
        if connected is not self._connected:
            self._connected, self._changed_s, self._said_s = connected, now_s, now_s
        if self._keeper is not None:
            filling = self._keeper.filling()
            metrics.SPOOL_LIMIT.set(filling.limit_bytes)
            metrics.SPOOL_OLDEST.set(filling.oldest_s or 0.0)
            metrics.SPOOL_FAILING.set(bool(filling.failing))
        if now_s - self._said_s < _STANDING_S or not (standing := self.standing()):
            return
        self._said_s = now_s
        pending = sum(session.pending for session in self._sessions)
        if connected:
            log.info(f"backfill goes on: {standing}", pending=pending)
        else:
            log.warning(standing, pending=pending)

    def _feed(self, index: int, feed: Feed) -> None:
        feed.counts.ring.set(feed.sink.held_bytes)
        backlog = self._sessions[index].backlog if self._sessions else 0
        feed.counts.pending.set(feed.sink.pending - backlog)
        feed.counts.backlog.set(backlog)
        self._dropped[index] = self._say_dropped(feed, self._dropped[index], feed.sink.dropped)

    def _spool(self, index: int, keeper: Keeper) -> None:
        feed, store = self._feeds[index], keeper.lanes[index].store
        feed.counts.spool.set(store.bytes)
        feed.counts.spool_written.inc(store.written_bytes - self._written[index])
        self._written[index] = store.written_bytes
        self._spool_dropped[index] = self._say_dropped(feed, self._spool_dropped[index], store.dropped)

    def _say_dropped(self, feed: Feed, before: int, now: int) -> int:
        if now > before:
            feed.counts.not_sent[feed.sink.dropped_as].inc(now - before)
            log.warning("frames dropped", camera=feed.name, reason=feed.sink.dropped_as.label, count=now - before)
        return now

    def _too_large(self, index: int, session: Session) -> None:
        if new := session.oversized - self._oversized[index]:
            self._oversized[index] += new
            self._feeds[index].counts.not_sent[Fate.ENCODER].inc(new)
            log.warning(
                "frames too large for the gateway: lower bitrate_kbps or width",
                camera=session.camera,
                count=new,
                largest_bytes=session.largest_bytes,
                limit_bytes=session.max_unit_bytes,
            )


def _span(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 100 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} days"
