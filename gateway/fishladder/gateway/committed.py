"""What gateways are told through the state store's publish/subscribe: which seqs have their fate now, which camera
needs a keyframe or has another policy. A message may be lost, so cameras with something uncommitted are asked after.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fishladder.gateway.asking import asking
from fishladder.gateway.session import LogSession
from fishladder.runtime.commits import cursor_field
from fishladder.runtime.wanted import read_wanted
from fishladder.wire import keys
from fishladder.wire.errors import StoreUnavailable, WireError
from fishladder.wire.ids import Position
from fishladder.wire.messages import Asked, Policy, in_force

log = structlog.get_logger(__name__)

POLL_S = 1.0
#: So often what is wanted is read again, in case nobody heard of a change.
WANTED_S = 10.0
#: How often a subscription that hears nothing looks whether its connection still stands.
PING_S = 5.0
_POLL_AT_ONCE = 256
_COMMITTED = ":committed"


class _Wanted(msgspec.Struct, frozen=True):
    """What is wanted of a camera, or new about it."""

    camera: str
    keyframe: bool = False
    settled: bool = False  #: its open set has changed
    policy: Policy | None = None
    asked: Asked | None = None


_committed: msgspec.json.Decoder[list[tuple[str, int, int]]] = msgspec.json.Decoder(list[tuple[str, int, int]])
_wanted: msgspec.json.Decoder[_Wanted] = msgspec.json.Decoder(_Wanted)


class CommittedFeed:
    """Keeps `committed` of the `sessions` (by camera) up to date and tells their owners; calls `settled` with a camera
    whose open set has changed.
    """

    def __init__(self, state: Redis, sessions: Mapping[str, LogSession], settled: Callable[[str], None]) -> None:
        self._state = state
        self._sessions = sessions
        self._settled = settled

    async def listen(self) -> None:
        """Hear what workers say, until the connection breaks: raises `StoreUnavailable`."""
        what = "state store, publish/subscribe"
        async with self._state.pubsub() as channel:
            async with asking(self._state, what):
                await channel.psubscribe("fl:{*}" + _COMMITTED, "fl:{*}:control")
            asked = False
            while True:
                try:
                    message = await channel.get_message(timeout=PING_S)
                except (RedisError, OSError) as error:
                    raise StoreUnavailable(f"{what}: {error}") from None
                if message is not None:
                    asked = False
                    if message["type"] == "pmessage":
                        self.heard(message["channel"].decode(), message["data"])
                elif asked:
                    raise StoreUnavailable(f"{what}: a ping had no answer within {PING_S:g} s")
                else:
                    async with asking(self._state, what):
                        await channel.ping()
                    asked = True

    def heard(self, channel: str, data: bytes) -> None:
        """Take in one message. What is not understood is logged and left."""
        try:
            if channel.endswith(_COMMITTED):
                for camera, epoch, seq in _committed.decode(data):
                    self._moved(camera, Position(epoch, seq))
                return
            wanted = _wanted.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            log.warning("message not understood", channel=channel, error=str(error))
            return
        if wanted.settled:
            self._settled(wanted.camera)
        session = self._sessions.get(wanted.camera)
        if session is None:
            return
        if wanted.keyframe:
            session.owner.keyframe_wanted(session)
        if wanted.policy is not None or wanted.asked is not None:
            _want(session, wanted.policy or session.policy, wanted.asked or session.asked)

    async def poll(self) -> None:
        """Ask after uncommitted seqs, each second, and now and then after what is wanted, until the store fails: raises
        `StoreUnavailable`.
        """
        looked_s = time.monotonic()
        while True:
            await asyncio.sleep(POLL_S)
            if time.monotonic() - looked_s >= WANTED_S:
                looked_s = time.monotonic()
                await self._look_at_wanted()
            waiting = [session for session in self._sessions.values() if session.committed < session.logged]
            for first in range(0, len(waiting), _POLL_AT_ONCE):
                await self._ask(waiting[first : first + _POLL_AT_ONCE])

    async def _look_at_wanted(self) -> None:
        sessions = list(self._sessions.values())
        for first in range(0, len(sessions), _POLL_AT_ONCE):
            some = sessions[first : first + _POLL_AT_ONCE]
            async with asking(self._state, "state store, reading what is wanted"):
                stored = await read_wanted(self._state, [(it.partition, it.camera) for it in some])
            for session, (policy, asked) in zip(some, stored, strict=True):
                if self._sessions.get(session.camera) is session:
                    _want(session, policy or session.policy, asked or session.asked)

    async def _ask(self, sessions: list[LogSession]) -> None:
        pipe = self._state.pipeline(transaction=False)
        for session in sessions:
            pipe.hget(keys.cursor(session.partition, session.camera), cursor_field())
        async with asking(self._state, "state store, reading cursors"):
            cursors = await pipe.execute()
        try:
            for session, cursor in zip(sessions, cursors, strict=True):
                if cursor:
                    self._moved(session.camera, Position.parse(cursor))
        except WireError as error:
            raise StoreUnavailable(f"state store, reading cursors: {error}") from None

    def _moved(self, camera: str, cursor: Position) -> None:
        session = self._sessions.get(camera)
        if session is not None and session.epoch == cursor.epoch and session.committed < cursor.seq:
            session.committed = cursor.seq
            session.owner.committed(session)


def _want(session: LogSession, policy: Policy, asked: Asked | None) -> None:
    """Tell a session's owner what is wanted, if that is news."""
    before = in_force(session.policy, session.asked)
    session.policy, session.asked = policy, asked
    if (now := in_force(policy, asked)) != before:
        session.owner.policy_changed(session, now)
