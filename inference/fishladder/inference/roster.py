"""Which cameras this worker works on: those of the partitions it holds, with what is wanted of each. Begins and ends
their runs, and begins one anew when its cursor turns out to be elsewhere.
"""

import asyncio
import time
from collections.abc import Sequence

import msgspec
import structlog
from redis.asyncio import Redis

from fishladder.inference import metrics
from fishladder.inference.camera_run import CameraRun
from fishladder.inference.feed import Feed
from fishladder.inference.leases import Lease
from fishladder.inference.pipeline import Lane
from fishladder.inference.progress import Progress
from fishladder.inference.suspects import (
    POISON_FIELD,
    Past,
    Suspect,
    Suspects,
    begun_field,
    forget_begun,
    parse_poison,
    remember_begun,
    trying_field,
)
from fishladder.runtime.commits import cursor_field
from fishladder.runtime.scripts import text
from fishladder.wire import keys, reports
from fishladder.wire.errors import WireError
from fishladder.wire.ids import ORIGIN, Position, check_camera
from fishladder.wire.messages import Asked, Policy, in_force

log = structlog.get_logger(__name__)
_LOOK_S = 0.5
_POLICIES_S = 2.0
#: A camera that had to begin anew is left alone for so long first; one whose log or cursor cannot be used, longer.
_RESET_S = 0.5
_UNUSABLE_S = 30.0
_CURSOR_FIELDS = (cursor_field(), begun_field(keys.LIVE), trying_field(keys.LIVE), POISON_FIELD)
#: How long leaving a partition may take, in seconds: what is then not committed, the next worker does again.
LEAVE_S = 5.0


class Roster:
    def __init__(
        self, state: Redis, pipeline: Suspects, feed: Feed, runs: dict[str, CameraRun], lanes: dict[Lane, CameraRun]
    ) -> None:
        self.worker = ""  #: by whom runs are begun
        self._state = state
        self._pipeline = pipeline
        self._feed = feed
        self._runs = runs
        self._lanes = lanes
        self._held: dict[int, Lease] = {}
        self._not_before: dict[str, float] = {}
        self._refused_names: set[str] = set()
        self._policies_at = 0.0
        self._changed = asyncio.Event()

    # What `Leases` says.

    def took(self, lease: Lease) -> None:
        self._held[lease.partition] = lease
        self._changed.set()

    def lost(self, lease: Lease) -> None:
        self._drop(lease, self._of(lease))

    async def leave(self, lease: Lease) -> None:
        """Finish and commit what is in hand of a partition's cameras; nothing more is read."""
        runs = self._of(lease)
        for run in runs:
            run.leaving = True
            self._pipeline.clear(run.lane)
        deadline = time.monotonic() + LEAVE_S
        while any(map(self._in_hand, runs)):
            now = time.monotonic()
            if now >= deadline or not lease.valid(now):
                break
            await asyncio.sleep(0.01)
        self._drop(lease, runs)
        await forget_begun(self._state, [keys.cursor(run.partition, run.camera) for run in runs])

    def _drop(self, lease: Lease, runs: list[CameraRun]) -> None:
        if self._held.get(lease.partition) is lease:
            del self._held[lease.partition]
            metrics.forget_partition(lease.partition)
        for run in runs:
            self.end(run)

    def _in_hand(self, run: CameraRun) -> bool:
        if self._runs.get(run.camera) is not run:
            return False
        slots = run.progress.slots
        return self._pipeline.busy(run.lane) or slots.flying is not None or slots.due(time.monotonic()) is not None

    # What others find out.

    def reset(self, run: CameraRun, why: str, wait_s: float = _RESET_S) -> None:
        """Begin a camera anew at its cursor, a little later."""
        if self._runs.get(run.camera) is run:
            log.warning("camera begins anew at its cursor", camera=run.camera, why=why, wait_s=wait_s)
            metrics.resets.inc()
            self.end(run)
            self._not_before[run.camera] = time.monotonic() + wait_s

    def end(self, run: CameraRun) -> None:
        """Drop a camera's run with what it holds."""
        run.leaving = True
        if self._runs.get(run.camera) is run:
            del self._runs[run.camera]
        self._lanes.pop(run.lane, None)
        self._pipeline.clear(run.lane)
        metrics.cameras.set(len(self._runs))

    async def run(self) -> None:
        """Keep the runs until cancelled. Raises redis' errors when the store is away."""
        while True:
            self._changed.clear()
            await self._look()
            if time.monotonic() >= self._policies_at:
                await self._refresh_policies()
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def watch_unusable(self) -> None:
        """Set cameras aside whose log cannot be used."""
        while True:
            run, why = await self._feed.unusable.get()
            self.reset(run, f"its frame log cannot be used: {why}", _UNUSABLE_S)

    def _of(self, lease: Lease) -> list[CameraRun]:
        return [run for run in self._runs.values() if run.lease is lease]

    async def _look(self) -> None:
        """Begin the runs of new cameras, end those of cameras that are no more."""
        leases = [lease for lease in self._held.values() if not lease.leaving]
        if not leases:
            return
        async with self._state.pipeline(transaction=False) as pipe:
            for lease in leases:
                pipe.smembers(keys.cameras(lease.partition))
            members = await pipe.execute()
        now = time.monotonic()
        new: list[tuple[str, Lease]] = []
        for lease, names in zip(leases, members, strict=True):
            listed = {text(name) for name in names}
            new += [(name, lease) for name in sorted(listed - self._runs.keys()) if self._may_begin(name, now)]
            for run in self._of(lease):
                if run.camera not in listed:
                    self.end(run)
        if new:
            await self._begin(new)

    def _may_begin(self, name: str, now: float) -> bool:
        if name in self._refused_names or now < self._not_before.get(name, 0.0):
            return False
        try:
            check_camera(name)
        except WireError as error:
            self._refused_names.add(name)
            log.error("a camera in the state store is passed over", error=str(error))
            return False
        self._not_before.pop(name, None)
        return True

    async def _begin(self, new: Sequence[tuple[str, Lease]]) -> None:
        async with self._state.pipeline(transaction=False) as pipe:
            for name, lease in new:
                pipe.hmget(keys.cursor(lease.partition, name), _CURSOR_FIELDS)
                pipe.hmget(keys.camera(lease.partition, name), "policy", "asked")
            replies = await pipe.execute()
        begun: list[str] = []
        for (name, lease), (cursor, *crashes), (policy, asked) in zip(new, replies[::2], replies[1::2], strict=True):
            if self._held.get(lease.partition) is not lease or lease.leaving:
                continue
            try:
                at = Position.parse(cursor) if cursor else ORIGIN
            except WireError as error:
                log.error("a camera's cursor cannot be used", camera=name, error=str(error), wait_s=_UNUSABLE_S)
                self._not_before[name] = time.monotonic() + _UNUSABLE_S
                continue
            wanted = _policy(name, policy) or Policy()
            before = reports.read(Asked, asked) or Asked()
            progress = Progress(name, at, in_force(wanted, before), parse_poison(crashes[2]))
            run = CameraRun(
                name,
                lease,
                progress,
                Lane(name, weight=wanted.weight),
                read_at=time.monotonic(),
                policy=wanted,
                asked=before,
            )
            self._runs[name] = run
            self._lanes[run.lane] = run
            key = keys.cursor(lease.partition, name)
            past = Past.parse(crashes[0], crashes[1])
            self._pipeline.begin(run.lane, Suspect(key, keys.LIVE, name, past, progress.poison), self.worker)
            begun.append(key)
            self._feed.submit(run, progress.begin())
            log.debug("camera begins", camera=name, cursor=str(progress.slots.cursor))
        metrics.cameras.set(len(self._runs))
        await remember_begun(self._state, keys.LIVE, begun, self.worker)

    async def _refresh_policies(self) -> None:
        runs = list(self._runs.values())
        self._policies_at = time.monotonic() + _POLICIES_S
        if not runs:
            return
        async with self._state.pipeline(transaction=False) as pipe:
            for run in runs:
                pipe.hget(keys.camera(run.partition, run.camera), "policy")
            policies = await pipe.execute()
        for run, raw in zip(runs, policies, strict=True):
            policy = _policy(run.camera, raw)
            if policy is not None and policy != run.policy and self._runs.get(run.camera) is run:
                run.policy, run.lane.weight = policy, policy.weight
                self._feed.submit(run, run.progress.set_policy(in_force(policy, run.asked)))


def _policy(camera: str, raw: bytes | None) -> Policy | None:
    """A camera's policy; None if it has none, or one that cannot be read: then what held before holds on."""
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw, type=Policy)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        log.warning("a camera's policy cannot be read", camera=camera, error=str(error))
        return None
