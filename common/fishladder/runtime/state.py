"""The state store: claiming a camera, positions, commits, leases. Everything here is small and durable."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.asyncio import Redis

from fishladder.runtime.scripts import run, text
from fishladder.wire import keys, open_set
from fishladder.wire.errors import StoreError
from fishladder.wire.fates import Run
from fishladder.wire.ids import ORIGIN, Position, site_of
from fishladder.wire.messages import Policy
from fishladder.wire.open_set import OpenRange

#: An agent begins a new epoch when it starts without its memory: 65536 are one a minute for 45 days. More are not lost
#: with a state store, so a claim further ahead is not believed: else one hello could use up all epochs of a name.
MOST_EPOCHS_AHEAD = 65_536


@dataclass(frozen=True, slots=True)
class Granted:
    """`cursor` is the live cursor; `earlier` the last captured position of each earlier epoch not yet settled; `open`
    what was deferred and is not settled.
    """

    epoch: int
    cursor: Position
    policy: Policy | None
    earlier: tuple[Position, ...]
    open: tuple[OpenRange, ...] = ()


@dataclass(frozen=True, slots=True)
class Superseded:
    """Another agent has claimed the camera since; its epoch is the later one."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Beyond:
    """The epoch it claims is so far above `epoch`, the last one known, that nobody can have come to it."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Behind:
    """Seqs up to `position` of the epoch it claims are known, more than the agent remembers: it needs a new epoch."""

    position: int


@dataclass(frozen=True, slots=True)
class StaleClaim:
    """A later hello of the same boot was here before."""


@dataclass(frozen=True, slots=True)
class Committed:
    """Durable as far as the store is."""


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """Another worker has the partition; nothing was written."""


@dataclass(frozen=True, slots=True)
class CursorMoved:
    """The cursor stands elsewhere than the commit started from; nothing was written."""

    cursor: Position


@dataclass(frozen=True, slots=True)
class NotOpen:
    """Some of what was to be settled is not open (any more); nothing was written. `open` is the set as it is."""

    open: tuple[OpenRange, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """Durable as far as the store is. `open` is what is left."""

    open: tuple[OpenRange, ...]


def cursor_field(analysis: str = keys.ANALYSIS) -> str:
    return f"{keys.LIVE}/{analysis}"


def open_field(analysis: str = keys.ANALYSIS) -> str:
    return f"open/{analysis}"


async def claim(
    state: Redis,
    partition: int,
    camera: str,
    *,
    boot: str,
    hello: int,
    epoch: int,
    position: int,
    now_us: int,
    floor: int = 0,
    meta: bytes = b"",
    default_policy: Policy | None = None,
) -> Granted | Superseded | Beyond | Behind | StaleClaim:
    """Claim a camera for a session: `epoch` is what the agent remembers, 0 = nothing. A camera for which no policy was
    set gets the default one; the policy in force is returned. See `lua/claim.lua`.

    Raises `StoreError` if the camera's stored policy cannot be read.
    """
    names = [keys.cameras(partition), keys.camera(partition, camera), keys.cursor(partition, camera)]
    default = msgspec.json.encode(default_policy) if default_policy is not None else b""
    args: list[Any] = [camera, boot, hello, epoch, position, now_us, floor, cursor_field(), meta, default]
    args += (open_field(), MOST_EPOCHS_AHEAD)
    reply = await run(state, "claim", names, args)
    match reply[0]:
        case b"stale":
            return StaleClaim()
        case b"superseded":
            return Superseded(int(reply[1]))
        case b"beyond":
            return Beyond(int(reply[1]))
        case b"behind":
            return Behind(int(reply[1]))
    _, granted, cursor, policy, earlier, opened = reply
    return Granted(
        int(granted),
        Position.parse(cursor),
        _policy(camera, policy) if policy else None,
        tuple(Position(int(e), int(seq)) for e, seq in earlier),
        open_set.parse(opened),
    )


async def name_camera(state: Redis, partition: int, camera: str, *, most: int) -> bool:
    """Note that a site has this camera; False if it has `most` others already. Names stay for good, so without a bound
    made-up ones would fill the store.
    """
    older = await state.sismember(keys.cameras(partition), camera)  # from before there was a count
    name = camera.partition("/")[2]
    return bool(await run(state, "name", [keys.site(site_of(camera))], [name, most, int(older)]))


def _policy(camera: str, stored: bytes) -> Policy:
    try:
        return msgspec.json.decode(stored, type=Policy)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise StoreError(f"the policy stored for {camera} cannot be: {error}") from None


async def record_position(state: Redis, partition: int, camera: str, position: Position, now_us: int) -> None:
    """Note how far a camera has captured. Older epochs are ignored; it never goes back."""
    await run(state, "position", [keys.camera(partition, camera)], [position.epoch, position.seq, now_us])


async def read_cursor(state: Redis, partition: int, camera: str, analysis: str = keys.ANALYSIS) -> Position:
    """Where a camera's live lane stands; `ORIGIN` before its first commit."""
    text = await state.hget(keys.cursor(partition, camera), cursor_field(analysis))
    return Position.parse(text) if text else ORIGIN


async def read_open(state: Redis, partition: int, camera: str, analysis: str = keys.ANALYSIS) -> tuple[OpenRange, ...]:
    """What a camera's live lane deferred and its backfill lane has not settled."""
    return open_set.parse(await state.hget(keys.cursor(partition, camera), open_field(analysis)))


def commit_keys_args(
    partition: int,
    camera: str,
    *,
    token: str,
    start: Position,
    to: Position,
    runs: Sequence[Run],
    result: bytes,
    keep_bytes: int,
    keep_ms: int,
    analysis: str = keys.ANALYSIS,
) -> tuple[list[str], list[Any]]:
    """The commit script's KEYS and ARGV. `runs` follow on `start` and end at `to`."""
    names = [
        keys.lease(partition),
        keys.cursor(partition, camera),
        keys.ledger(partition, camera),
        keys.results(partition, camera),
        keys.checkpoint(partition, camera),
        keys.camera(partition, camera),
    ]
    args: list[Any] = [
        token,
        cursor_field(analysis),
        str(start),
        str(to),
        analysis,
        result,
        keep_bytes,
        keep_ms,
        open_field(analysis),
        _runs_text(runs),
    ]
    return names, args


def _runs_text(runs: Sequence[Run]) -> str:
    return " ".join(f"{run.fate.label}:{run.first}-{run.last}" for run in runs)


def commit_outcome(reply: Any) -> Committed | LeaseLost | CursorMoved:
    """Read the commit script's reply."""
    match reply[0]:
        case b"ok":
            return Committed()
        case b"lease":
            return LeaseLost()
        case b"cursor":
            return CursorMoved(Position.parse(reply[1]))
    raise StoreError(f"the commit script answered {reply!r}")


async def commit(
    state: Redis,
    partition: int,
    camera: str,
    *,
    token: str,
    start: Position,
    to: Position,
    runs: Sequence[Run],
    result: bytes = b"",
    keep_bytes: int,
    keep_ms: int,
) -> Committed | LeaseLost | CursorMoved:
    """Settle the seqs after `start` up to `to`: all of it happens, or nothing. See `lua/commit.lua`."""
    names, args = commit_keys_args(
        partition,
        camera,
        token=token,
        start=start,
        to=to,
        runs=runs,
        result=result,
        keep_bytes=keep_bytes,
        keep_ms=keep_ms,
    )
    return commit_outcome(await run(state, "commit", names, args))


def settle_keys_args(
    partition: int,
    camera: str,
    *,
    token: str,
    epoch: int,
    runs: Sequence[Run],
    result: bytes,
    keep_bytes: int,
    keep_ms: int,
    analysis: str = keys.ANALYSIS,
) -> tuple[list[str], list[Any]]:
    """The settle script's KEYS and ARGV. `runs` ascend and do not overlap."""
    names = [
        keys.lease(partition),
        keys.cursor(partition, camera),
        keys.ledger(partition, camera),
        keys.results(partition, camera),
        keys.checkpoint(partition, camera),
    ]
    args: list[Any] = [token, open_field(analysis), epoch, analysis, result, keep_bytes, keep_ms, _runs_text(runs)]
    return names, args


def settle_outcome(reply: Any) -> Settled | LeaseLost | NotOpen:
    """Read the settle script's reply."""
    match reply[0]:
        case b"ok":
            return Settled(open_set.parse(reply[1]))
        case b"lease":
            return LeaseLost()
        case b"open":
            return NotOpen(open_set.parse(reply[1]))
    raise StoreError(f"the settle script answered {reply!r}")


async def settle(
    state: Redis,
    partition: int,
    camera: str,
    *,
    token: str,
    epoch: int,
    runs: Sequence[Run],
    result: bytes = b"",
    keep_bytes: int,
    keep_ms: int,
) -> Settled | LeaseLost | NotOpen:
    """Settle seqs of one epoch that were deferred: all of it happens, or nothing. See `lua/settle.lua`."""
    names, args = settle_keys_args(
        partition,
        camera,
        token=token,
        epoch=epoch,
        runs=runs,
        result=result,
        keep_bytes=keep_bytes,
        keep_ms=keep_ms,
    )
    return settle_outcome(await run(state, "settle", names, args))


async def acquire_lease(state: Redis, partition: int, token: str, ttl_ms: int) -> bool:
    """Take a partition's lease if it is free."""
    return await acquire_lease_of(state, keys.lease(partition), token, ttl_ms)


async def renew_lease(state: Redis, partition: int, token: str, ttl_ms: int) -> bool:
    """Keep a lease; False if it is no longer ours."""
    return await renew_lease_of(state, keys.lease(partition), token, ttl_ms)


async def release_lease(state: Redis, partition: int, token: str) -> bool:
    """Give a lease up, so that another worker need not wait for it to expire."""
    return await release_lease_of(state, keys.lease(partition), token)


async def acquire_lease_of(state: Redis, key: str, token: str, ttl_ms: int) -> bool:
    """The same of any lease, by its key."""
    return bool(await run(state, "lease", [key], ["acquire", token, ttl_ms]))


async def renew_lease_of(state: Redis, key: str, token: str, ttl_ms: int) -> bool:
    return bool(await run(state, "lease", [key], ["renew", token, ttl_ms]))


async def release_lease_of(state: Redis, key: str, token: str) -> bool:
    return bool(await run(state, "lease", [key], ["release", token, 0]))


async def cameras(state: Redis, partition: int) -> list[str]:
    """The cameras of a partition, sorted."""
    return sorted(text(name) for name in await state.smembers(keys.cameras(partition)))
