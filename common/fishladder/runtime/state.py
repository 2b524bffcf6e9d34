"""The state store: cameras, who has claimed them, and how far they have captured. All of it is small and durable."""

from dataclasses import dataclass
from typing import Any

import msgspec
from redis.asyncio import Redis

from fishladder.runtime.commits import cursor_field, open_field
from fishladder.runtime.scripts import run, text
from fishladder.wire import keys, open_set
from fishladder.wire.errors import StoreError
from fishladder.wire.ids import Position, site_of
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


async def cameras(state: Redis, partition: int) -> list[str]:
    """The cameras of a partition, sorted."""
    return sorted(text(name) for name in await state.smembers(keys.cameras(partition)))
