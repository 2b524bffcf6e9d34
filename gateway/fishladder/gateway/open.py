"""Opening a camera for a sender: claim its epoch in the state store, then give its log a new session in the frame
store. The same for agents and WHIP clients; who may do it, and what follows, is decided elsewhere.
"""

import asyncio
import secrets
from dataclasses import dataclass

import msgspec
import structlog
from redis.exceptions import RedisError

from fishladder.gateway.asking import hang_up
from fishladder.gateway.clock import wall_us
from fishladder.gateway.session import LogOwner, LogSession
from fishladder.runtime import frames, state, wanted
from fishladder.runtime.store import Stores
from fishladder.wire.errors import StoreError
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position, partition_of
from fishladder.wire.messages import CameraHello, Policy, Refusal, in_force
from fishladder.wire.open_set import OpenRange

log = structlog.get_logger(__name__)

TIMEOUT_S = 5.0
#: Each try asks for an epoch above the one found in use; a state store that went back may need a few.
_CLAIMS = 4
_RETRY_S = 2.0
_BEHIND_RETRY_S = 0.2
_FULL_RETRY_S = 300.0


@dataclass(frozen=True, slots=True)
class Opened:
    """`kept`: what was logged before stands, the session goes on after it. `open`: what waits for backfill, with the
    live lane at `cursor`.
    """

    session: LogSession
    policy: Policy
    kept: bool
    cursor: Position
    open: tuple[OpenRange, ...]


async def open_camera(
    stores: Stores,
    owner: LogOwner,
    hello: CameraHello,
    *,
    boot: str,
    number: int,
    default_policy: Policy,
    most_cameras: int,
    remote: bool = True,
) -> Opened | Refusal:
    """Open `hello.camera` for the hello `number` of `boot`, if it is among the first `most_cameras` of its site. The
    stores' failures become a refusal too. `remote`: it is numbered, and remembered, on its camera host.
    """
    partition = partition_of(hello.camera, stores.partitions)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            if not await state.name_camera(stores.state, partition, hello.camera, most=most_cameras):
                why = f"its site has {most_cameras} cameras already"
                return _refuse(hello, "limit", why, _FULL_RETRY_S)
            return await _open(stores, owner, hello, boot, number, default_policy, remote=remote)
    except TimeoutError:
        why = f"the stores did not answer within {TIMEOUT_S:g} s"
        await asyncio.gather(hang_up(stores.state), hang_up(stores.frames))
    except (RedisError, OSError, StoreError) as error:
        why = str(error) or repr(error)
    log.warning("camera not opened", camera=hello.camera, error=why)
    return _refuse(hello, "unavailable", "the stores are not available at the moment", _RETRY_S)


async def _open(
    stores: Stores,
    owner: LogOwner,
    hello: CameraHello,
    boot: str,
    number: int,
    default_policy: Policy,
    *,
    remote: bool,
) -> Opened | Refusal:
    partition, floor = partition_of(hello.camera, stores.partitions), 0
    spooled = hello.spooled and hello.backfill
    for _ in range(_CLAIMS):
        claimed = await state.claim(
            stores.state,
            partition,
            hello.camera,
            boot=boot,
            hello=number,
            epoch=hello.epoch,
            position=hello.position,
            now_us=wall_us(),
            floor=floor,
            meta=msgspec.json.encode(hello.meta) if hello.meta else b"",
            default_policy=default_policy,
        )
        if isinstance(claimed, state.StaleClaim):
            return _refuse(hello, "stale", "a later hello of this agent has opened the camera", _RETRY_S)
        if isinstance(claimed, state.Superseded):
            return _superseded(hello, claimed.epoch)
        if isinstance(claimed, state.Beyond):
            why = f"epoch {hello.epoch} cannot be, {claimed.epoch} is the last known here: it needs a new one"
            return _refuse(hello, "superseded", why, _BEHIND_RETRY_S)
        if isinstance(claimed, state.Behind):
            return _behind(hello, claimed.position)
        assert claimed.policy is not None, "the claim has just seen to it"
        cursor = claimed.cursor
        committed = cursor.seq if cursor.epoch == claimed.epoch else 0
        token = f"{number}.{secrets.token_hex(12)}"
        opened = await frames.open_log(
            stores.frames,
            partition,
            hello.camera,
            boot=boot,
            hello=number,
            session=token,
            epoch=claimed.epoch,
            remembers=hello.epoch != 0,
            cursor=cursor,
            rewind_to=rewind_to(hello, committed),
            earlier=claimed.earlier,
            memory_lost=Fate.DEFERRED if spooled else Fate.SPOOL_LOST if remote else Fate.LOG_LOST,
            log_lost=Fate.DEFERRED if spooled else Fate.LOG_LOST,
        )
        if isinstance(opened, frames.Stale):
            return _refuse(hello, "stale", "a later hello of this agent has opened the camera", _RETRY_S)
        if isinstance(opened, frames.EpochInUse):
            if hello.epoch:
                return _superseded(hello, opened.epoch)
            floor = opened.epoch
            continue
        if hello.epoch and opened.kept and opened.next > hello.position + 1:
            return _behind(hello, opened.next - 1)
        [(_, asked)] = await wanted.read_wanted(stores.state, [(partition, hello.camera)])
        session = LogSession(
            camera=hello.camera,
            partition=partition,
            token=token,
            epoch=claimed.epoch,
            next=opened.next,
            committed=committed,
            owner=owner,
            position=hello.position,
            defers=hello.backfill,
            policy=claimed.policy,
            asked=asked,
        )
        return Opened(session, in_force(claimed.policy, asked), opened.kept, cursor, claimed.open)
    return _refuse(hello, "unavailable", "the stores disagree on this camera's epoch", _RETRY_S)


def rewind_to(hello: CameraHello, committed: int) -> int:
    """Where a sender begins again if the log is lost: at its last clean point at or before what is wanted next, so that
    a decoder can start there; what it has forgotten it declares, from the first seq wanted.
    """
    wanted = committed + 1
    if hello.oldest > wanted:
        return wanted
    return max((seq for seq in hello.clean if hello.oldest <= seq <= wanted), default=wanted)


def _superseded(hello: CameraHello, epoch: int) -> Refusal:
    return _refuse(hello, "superseded", f"another sender has taken the camera over, under epoch {epoch}", None)


def _behind(hello: CameraHello, seq: int) -> Refusal:
    why = f"epoch {hello.epoch} is known up to {seq} here and to its sender up to {hello.position}: it needs a new one"
    return _refuse(hello, "superseded", why, _BEHIND_RETRY_S)


def _refuse(hello: CameraHello, code: str, message: str, retry_s: float | None) -> Refusal:
    return msgspec.convert(
        {"channel": hello.channel, "code": code, "message": f"{hello.camera}: {message}", "retry_s": retry_s}, Refusal
    )
