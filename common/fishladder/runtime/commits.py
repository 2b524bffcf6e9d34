"""What workers write to the state store: how far a camera is settled, with its ledger and results, all or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from fishladder.runtime.scripts import run
from fishladder.wire import keys, open_set
from fishladder.wire.errors import StoreError
from fishladder.wire.fates import Run
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.open_set import OpenRange


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
