"""The frame log (frame store): opening a camera's log for a session, appending, reading, trimming. The gateway's
hot path sends the same append script by hand; this is the plain way, and the one others use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from redis.asyncio import Redis

from fishladder.runtime.scripts import run, text
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position


class Status(IntEnum):
    """What became of one camera's entries in an append."""

    ACCEPTED = 0
    DUPLICATE = 1
    GAP = 2
    FENCED = 3


class Appended(NamedTuple):
    """`next` is the seq the log wants next; everything before it is logged."""

    status: Status
    next: int


class Entry(NamedTuple):
    """One entry to append: seqs `first..last`, a field of `wire.entry`, its value."""

    first: int
    last: int
    field: bytes
    value: bytes


class Batch(NamedTuple):
    """Entries of one camera, in order."""

    camera: str
    session: str
    epoch: int
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Opened:
    """`kept`: what was logged stands; else the log was lost and begins anew at `next`."""

    kept: bool
    next: int


@dataclass(frozen=True, slots=True)
class Stale:
    """A later hello of the same boot was here before."""


@dataclass(frozen=True, slots=True)
class EpochInUse:
    """The log already holds this or a later epoch of somebody else: claim again above `epoch`."""

    epoch: int


async def open_log(
    frames: Redis,
    partition: int,
    camera: str,
    *,
    boot: str,
    hello: int,
    session: str,
    epoch: int,
    remembers: bool,
    cursor: Position,
    rewind_to: int,
    earlier: Sequence[Position] = (),
    memory_lost: Fate = Fate.SPOOL_LOST,
    log_lost: Fate = Fate.LOG_LOST,
) -> Opened | Stale | EpochInUse:
    """Fence the log's former session and open it for `session`.

    `cursor` is the live cursor, `rewind_to` the seq at which this agent would begin again if the log is lost (its
    clean point at or before cursor + 1), `earlier` the last captured position of each earlier epoch from the
    cursor's on: what nobody can send of those is logged with `memory_lost` (log intact) or `log_lost`.
    """
    args: list[Any] = [boot, hello, session, epoch, int(remembers), cursor.epoch, cursor.seq, rewind_to]
    args += (int(memory_lost), int(log_lost))
    for position in earlier:
        args += position
    names = [keys.owner(partition, camera), keys.log(partition, camera), keys.backfill(partition, camera)]
    reply = await run(frames, "open", names, args)
    match reply[0]:
        case b"stale":
            return Stale()
        case b"epoch":
            return EpochInUse(int(reply[1]))
        case what:
            return Opened(what == b"kept", int(reply[1]))


def append_keys_args(partition: int, batches: Sequence[Batch]) -> tuple[list[str], list[Any]]:
    """The append script's KEYS and ARGV for some cameras of one partition."""
    names: list[str] = []
    args: list[Any] = []
    for batch in batches:
        names += (keys.owner(partition, batch.camera), keys.log(partition, batch.camera))
        args += (batch.session, batch.epoch, len(batch.entries))
        for entry in batch.entries:
            args += entry
    return names, args


async def append(frames: Redis, partition: int, batches: Sequence[Batch]) -> list[Appended]:
    """Append some cameras' entries, all of one partition, in one call; the reply is in the batches' order.

    Raises redis' `OutOfMemoryError` with nothing written when the store is at its limit.
    """
    names, args = append_keys_args(partition, batches)
    reply = await run(frames, "append", names, args)
    return [Appended(Status(status), int(seq)) for status, seq in reply]


async def fill(
    frames: Redis, partition: int, camera: str, session: str, number: int, entries: Sequence[tuple[bytes, bytes]]
) -> Appended:
    """Append entries (a field of `wire.entry`, its value) to a camera's backfill lane, the first of them the session's
    `number`-th. `next` of the reply is the number wanted next.

    Raises redis' `OutOfMemoryError` with nothing written when the store is at its limit.
    """
    names = [keys.owner(partition, camera), keys.backfill(partition, camera)]
    args: list[Any] = [session, number]
    for entry in entries:
        args += entry
    status, following = await run(frames, "fill", names, args)
    return Appended(Status(status), int(following))


async def owner_session(frames: Redis, partition: int, camera: str) -> str:
    """The session that may append now, '' for none."""
    session = await frames.hget(keys.owner(partition, camera), "session")
    return text(session) if session else ""


async def forget(frames: Redis, partition: int, camera: str, session: str) -> bool:
    """Delete a log that does not reach back to the cursor, unless another session has opened it since."""
    names = [keys.owner(partition, camera), keys.log(partition, camera)]
    return bool(await run(frames, "forget", names, [session]))


async def trim_backfill(frames: Redis, partition: int, camera: str, keep_from: str) -> None:
    """Drop the backfill lane's entries before the one with the id `keep_from`. Idempotent."""
    await frames.xtrim(keys.backfill(partition, camera), minid=keep_from, approximate=False)


async def trim(frames: Redis, partition: int, camera: str, keep_from: Position) -> None:
    """Drop the entries before `keep_from`. Idempotent; call it only after the commit is durable."""
    await frames.xtrim(keys.log(partition, camera), minid=str(keep_from), approximate=False)
