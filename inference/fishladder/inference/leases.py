"""Holding partitions: says that this worker lives, takes the leases of the partitions `placement` wants it to hold,
renews them, and gives up what another should have. What is done with a partition is for the `Holder`.
"""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError, ResponseError

from fishladder.inference import metrics
from fishladder.inference.placement import alive, joining, place
from fishladder.runtime.leases import release_lease
from fishladder.runtime.scripts import script, text
from fishladder.wire import keys
from fishladder.wire.errors import StoreError
from fishladder.wire.reports import Heartbeat

log = structlog.get_logger(__name__)
#: A worker not heard of for this part of a lease's time is stood in for: its leases are about to end...
_SILENT = 0.75
#: ...and after so many such times it is out: only then do others get another share. Who let a lease run out gets none
#: before he has been well for so long.
OUT_TTLS = 3
RECOVER_TTLS = 3
#: How often the set of partitions that have cameras is read, in seconds.
_OCCUPIED_S = 1.0
#: Heartbeats of workers silent for so long are deleted, in milliseconds.
_BURY_MS = 60_000


@dataclass(slots=True, eq=False)
class Lease:
    """A partition held under `token`; by our own clock not beyond `until` (monotonic seconds)."""

    partition: int
    token: str
    until: float
    leaving: bool = False

    def valid(self, now: float) -> bool:
        return now < self.until


class Holder(Protocol):
    """Who works on the partitions held."""

    def took(self, lease: Lease) -> None:
        """Begin."""

    async def leave(self, lease: Lease) -> None:
        """Finish what is in hand; the lease is released afterwards."""

    def lost(self, lease: Lease) -> None:
        """Drop everything: another worker may have it already."""


class Leases:
    def __init__(
        self,
        state: Redis,
        partitions: int,
        holder: Holder,
        *,
        ttl_ms: int,
        weight: float = 1.0,
        heartbeat: Callable[[Heartbeat], Heartbeat] = lambda beat: beat,
    ) -> None:
        self.name = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(3)}"
        self.held: dict[int, Lease] = {}
        self._state = state
        self._partitions = partitions
        self._holder = holder
        self._ttl_ms = ttl_ms
        self._weight = weight
        self._heartbeat = heartbeat
        self._since_ms = 0
        self._lapsed = False
        self._closing = False
        self.cameras = 0  #: in all partitions, at the last look
        self.looked_at = 0.0  #: when the store was last heard, monotonic seconds
        self._renew_at = 0.0
        self._occupied_at = 0.0
        self._occupied: set[int] = set()
        self._known: object = None  # what `_placed` follows from
        self._placed: dict[int, str] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Hold what should be held; returns once `close` was called and everything is released. Raises redis' errors
        when the store is away.
        """
        tick_s = self._ttl_ms / 20_000
        while not (self._closing and not self.held):
            now_ms, heartbeats = await self._look()
            if time.monotonic() >= self._renew_at:
                await self._renew(now_ms, heartbeats)
            wanted = set() if self._closing else self._wanted(heartbeats, now_ms)
            await self._acquire(wanted - self.held.keys())
            for partition in self.held.keys() - wanted:
                self._give_up(self.held[partition])
            self.looked_at = time.monotonic()
            await asyncio.sleep(tick_s)

    async def close(self) -> None:
        """Sign off, and make `run` leave and release everything."""
        self._closing = True
        await self._state.hdel(keys.WORKERS, self.name)

    def drop(self, lease: Lease) -> None:
        """The store says that a lease is no longer ours. Whoever lets all run out, for want of a core or a connection,
        may do so again: he gets nothing back before he has been well for a while.
        """
        if self.held.get(lease.partition) is lease:
            del self.held[lease.partition]
            metrics.leases.set(len(self.held))
            self._lapsed = not self.held
            metrics.lease_moves.labels("lost").inc()
            log.warning("lease lost", partition=lease.partition)
            self._holder.lost(lease)

    async def _look(self) -> tuple[int, dict[str, Heartbeat]]:
        now = time.monotonic()
        look_at_cameras = now >= self._occupied_at
        async with self._state.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(keys.WORKERS)
            if look_at_cameras:
                for partition in range(self._partitions):
                    pipe.scard(keys.cameras(partition))
            (seconds, micros), beats, *counts = await pipe.execute()
        if look_at_cameras:
            self._occupied = {partition for partition, count in enumerate(counts) if count}
            self.cameras = sum(counts)
            self._occupied_at = now + _OCCUPIED_S
        heartbeats = {}
        for name, beat in beats.items():
            try:
                heartbeats[text(name)] = msgspec.json.decode(beat, type=Heartbeat)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                log.warning("a heartbeat cannot be read", worker=text(name))
        return seconds * 1000 + micros // 1000, heartbeats

    async def _renew(self, now_ms: int, heartbeats: dict[str, Heartbeat]) -> None:
        """Keep what we have, and say that we live."""
        asked = time.monotonic()
        held = list(self.held.values())
        for lease, ok in zip(held, await self._ask("renew", held), strict=True):
            if ok:
                lease.until = asked + self._ttl_ms / 1000
            else:
                self.drop(lease)
        self._renew_at = asked + self._ttl_ms / 4000
        if self._closing:
            return
        self._since_ms = self._since_ms or now_ms
        if self._lapsed:
            self._since_ms, self._lapsed = now_ms + RECOVER_TTLS * self._ttl_ms, False
        mine = Heartbeat(
            now_ms,
            self._since_ms,
            socket.gethostname(),
            os.getpid(),
            weight=self._weight,
            partitions=len(self.held),
            holds=tuple(self.held),
        )
        ours = self._heartbeat(mine)
        dead = [name for name, beat in heartbeats.items() if now_ms - beat.at_ms > _BURY_MS]
        async with self._state.pipeline(transaction=False) as pipe:
            if dead:
                pipe.hdel(keys.WORKERS, *dead)
            pipe.hset(keys.WORKERS, self.name, msgspec.json.encode(ours))
            *_, said = await pipe.execute(raise_on_error=False)
        if isinstance(said, OutOfMemoryError):  # commits make room, and they need the leases
            log.warning("the state store is full: other workers cannot see this one", error=str(said))
        elif isinstance(said, RedisError):
            raise said

    def _wanted(self, heartbeats: dict[str, Heartbeat], now_ms: int) -> set[int]:
        heartbeats[self.name] = Heartbeat(now_ms, self._since_ms, weight=self._weight)
        workers = tuple(alive(heartbeats, now_ms, OUT_TTLS * self._ttl_ms))
        heard = frozenset(alive(heartbeats, now_ms, int(self._ttl_ms * _SILENT)))
        new = tuple(joining(heartbeats, now_ms, int(self._ttl_ms * _SILENT)))
        weights = {name: beat.weight for name, beat in heartbeats.items() if beat.weight > 0}
        # What others say they hold is a moment old: what we hold they do not.
        holds = {
            name: tuple(self.held) if name == self.name else tuple(it for it in beat.holds if it not in self.held)
            for name, beat in heartbeats.items()
        }
        known = (workers, heard, new, frozenset(self._occupied), weights, holds)
        if known != self._known:
            self._known = known
            self._placed = place(self._partitions, workers, self._occupied, heard, weights, holds=holds, joining=new)
        return {partition for partition, worker in self._placed.items() if worker == self.name}

    async def _acquire(self, partitions: Iterable[int]) -> None:
        asked = time.monotonic()
        until = asked + self._ttl_ms / 1000
        leases = [Lease(partition, secrets.token_hex(16), until) for partition in sorted(partitions)]
        for lease, ok in zip(leases, await self._ask("acquire", leases), strict=True):
            if ok:
                self.held[lease.partition] = lease
                metrics.leases.set(len(self.held))
                metrics.lease_moves.labels("took").inc()
                self._holder.took(lease)

    async def _ask(self, what: str, leases: list[Lease]) -> list[bool]:
        """The lease script for some partitions in one round trip."""
        if not leases:
            return []
        it = script("lease")
        for _ in range(2):
            async with self._state.pipeline(transaction=False) as pipe:
                for lease in leases:
                    pipe.evalsha(it.sha, 1, keys.lease(lease.partition), what, lease.token, str(self._ttl_ms))
                replies: list[Any] = await pipe.execute(raise_on_error=False)
            if not any(isinstance(reply, NoScriptError) for reply in replies):
                break
            await self._state.script_load(it.source)
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise StoreError(f"the state store refuses a lease: {reply}")
        return [bool(reply) for reply in replies]

    def _give_up(self, lease: Lease) -> None:
        if lease.leaving:
            return
        lease.leaving = True
        task = asyncio.create_task(self._leave(lease), name=f"leave partition {lease.partition}")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, lease: Lease) -> None:
        try:
            await self._holder.leave(lease)
            if self.held.get(lease.partition) is lease:
                await release_lease(self._state, lease.partition, lease.token)
                if self.held.get(lease.partition) is lease:  # it may have run out meanwhile
                    del self.held[lease.partition]
                    metrics.leases.set(len(self.held))
                    metrics.lease_moves.labels("left").inc()
        except (RedisError, OSError) as error:  # it expires by itself
            log.warning("a lease could not be released", partition=lease.partition, error=str(error))
            self.held.pop(lease.partition, None)
