"""One sink at work: reads results after where it was, delivers them, notes how far it has got, and does so again. What
is not taken is given again, with back-off, for as long as it is kept; meanwhile nothing upstream waits.
"""

import asyncio
import secrets
from collections.abc import Coroutine, Sequence
from fnmatch import fnmatchcase
from typing import Any

import structlog
from redis.exceptions import RedisError

from fishladder.runtime.leases import acquire_lease_of, release_lease_of, renew_lease_of
from fishladder.runtime.lifecycle import Backoff
from fishladder.sinks import metrics
from fishladder.sinks.config import SinkOptions
from fishladder.sinks.place import Place
from fishladder.sinks.target import Delivery, DeliveryFailed, Target
from fishladder.view.commits import Commit, read_after
from fishladder.view.reader import StateReader
from fishladder.wire import keys
from fishladder.wire.errors import StoreUnavailable
from fishladder.wire.reports import SinkReport, encode

log = structlog.get_logger(__name__)

_BLOCK_MS = 1000
_NEW_CAMERAS_S = 2.0
_LEASE_MS = 10_000
_REPORT_S = 1.0
#: Between tries at a target that does not take what it is given.
_FIRST_RETRY_S, _MOST_RETRY_S = 0.5, 30.0


class LeaseLost(StoreUnavailable):
    """Another process delivers for this sink now."""


class Sink:
    """Run `deliver` and `report` side by side; each raises `StoreUnavailable` when the store fails, and may be run
    again.
    """

    def __init__(self, reader: StateReader, options: SinkOptions, target: Target) -> None:
        self.name = options.name
        self._reader = reader
        self._options = options
        self._target = target
        self._token = secrets.token_hex(16)
        self._delivered = 0
        self._missed = 0
        self._error = ""
        self._failing_since_ms = 0
        self._oldest_ms: int | None = None  # of what is in hand and not delivered
        self._held = False
        for counter in (metrics.delivered, metrics.missed, metrics.failures):
            counter.labels(self.name)  # from 0 on: an alert goes by what it has grown

    async def deliver(self) -> None:
        """Deliver for ever, as long as this process holds the sink's lease."""
        try:
            await self._hold()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._renew(), name=f"sink {self.name}, lease")
                group.create_task(self._go_on(), name=f"sink {self.name}")
        except* (RedisError, OSError, StoreUnavailable) as errors:
            raise _as_unavailable(errors) from None
        finally:
            self._held = False
            metrics.active.labels(self.name).set(0)

    async def release(self) -> None:
        """Let another process go on at once. Raises redis' errors."""
        await release_lease_of(self._reader.state, keys.sink_lease(self.name), self._token)

    async def _hold(self) -> None:
        """Wait until the sink is ours."""
        said = False
        while not await acquire_lease_of(self._reader.state, keys.sink_lease(self.name), self._token, _LEASE_MS):
            if await renew_lease_of(self._reader.state, keys.sink_lease(self.name), self._token, _LEASE_MS):
                break  # from a try before
            if not said:
                log.info("another process delivers, standing by", sink=self.name)
                said = True
            await asyncio.sleep(_LEASE_MS / 4000)
        self._held = True
        metrics.active.labels(self.name).set(1)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_LEASE_MS / 4000)
            if not await renew_lease_of(self._reader.state, keys.sink_lease(self.name), self._token, _LEASE_MS):
                self._held = False
                raise LeaseLost(f"sink {self.name}: another process delivers now")

    async def _go_on(self) -> None:
        place = Place(self._reader.state, self.name)
        await place.load(from_oldest=self._options.begin == "oldest")
        log.info("delivering", sink=self.name, to=self._target.to, cameras=len(place.delivered))
        backoff = Backoff(_FIRST_RETRY_S, _MOST_RETRY_S)
        while True:
            try:
                async with self._target.open() as deliver:
                    await self._until_failure(place, deliver, backoff)
            except DeliveryFailed as error:
                if self._oldest_ms is None:
                    self._oldest_ms = await self._first_waiting(place)
                await self._failed(str(error), backoff.next())

    async def _until_failure(self, place: Place, deliver: Delivery, backoff: Backoff) -> None:
        clock = asyncio.get_running_loop().time
        look_at, names = 0.0, list[str]()
        reading: dict[str, tuple[int, int]] = {}
        while True:
            if clock() >= look_at:
                names = await self._names()
                reading |= {name: place.seen(name) for name in names if name not in reading}
                look_at = clock() + _NEW_CAMERAS_S
            commits = await read_after(self._reader, names, reading, block_ms=_BLOCK_MS)
            if not names:
                await asyncio.sleep(_BLOCK_MS / 1000)
            for first in range(0, len(commits), self._options.batch):
                batch = commits[first : first + self._options.batch]
                self._oldest_ms = batch[0].at[0]
                await _to_its_end(self._hand_over(batch, place, deliver))
                backoff.reset()
                reading |= {commit.camera: commit.at for commit in batch}
            self._oldest_ms = None

    async def _hand_over(self, batch: Sequence[Commit], place: Place, deliver: Delivery) -> None:
        if wanted := self._wanted(batch):
            await deliver(wanted)
        self._error, self._failing_since_ms = "", 0
        if self._held:  # else whoever has the lease now says how far it is
            self._count(len(wanted), await place.advance(batch))

    async def _names(self) -> list[str]:
        known = await self._reader.known_cameras(None)
        return [name for name in known if any(fnmatchcase(name, it) for it in self._options.cameras)]

    async def _first_waiting(self, place: Place) -> int | None:
        """When the oldest result that waits was committed."""
        names = await self._names()
        waiting = await read_after(self._reader, names, {name: place.seen(name) for name in names})
        return waiting[0].at[0] if waiting else None

    def _wanted(self, batch: Sequence[Commit]) -> Sequence[Commit]:
        if self._options.only == "all":
            return batch
        return [commit for commit in batch if any(frame.detections for frame in commit.result.frames)]

    def _count(self, delivered: int, missed: int) -> None:
        self._delivered += delivered
        self._missed += missed
        metrics.delivered.labels(self.name).inc(delivered)
        if missed:
            metrics.missed.labels(self.name).inc(missed)
            log.error("results were past retention before they could be delivered", sink=self.name, frames=missed)

    async def _failed(self, why: str, retry_s: float) -> None:
        metrics.failures.labels(self.name).inc()
        if why != self._error:
            log.warning("not delivered, will retry", sink=self.name, error=why, retry_s=round(retry_s, 1))
        self._error = why
        if not self._failing_since_ms:
            self._failing_since_ms = await self._now_ms()
        await asyncio.sleep(retry_s)

    async def report(self) -> None:
        """Say how it does, each second."""
        try:
            while True:
                if self._held:
                    now_ms = await self._now_ms()
                    lag_ms = max(now_ms - self._oldest_ms, 0) if self._oldest_ms is not None else 0
                    metrics.lag.labels(self.name).set(lag_ms / 1000)
                    report = SinkReport(
                        at_ms=now_ms,
                        kind=self._target.kind,
                        to=self._target.to,
                        delivered=self._delivered,
                        missed=self._missed,
                        lag_ms=lag_ms,
                        error=self._error[:200],
                        since_ms=self._failing_since_ms,
                    )
                    await self._reader.state.hset(keys.SINKS, self.name, encode(report))
                else:  # whoever delivers says how far it is behind; what we knew of it is over
                    metrics.lag.labels(self.name).set(0)
                await asyncio.sleep(_REPORT_S)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"state store: {error}") from None

    async def _now_ms(self) -> int:
        seconds, micros = await self._reader.state.time()
        return seconds * 1000 + micros // 1000


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Also when told to stop meanwhile: what was taken is noted, so that whoever goes on does not give it again."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


def _as_unavailable(errors: BaseExceptionGroup[BaseException]) -> StoreUnavailable:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, StoreUnavailable) else StoreUnavailable(f"state store: {first}")
