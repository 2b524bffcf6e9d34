"""Cameras in the frame log without agent and gateway: a producer that claims, opens and appends as they do, keeps what
it sent until it is committed, and sends again when it is fenced.
"""

import contextlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from support.clips import Encoded

from fishladder.runtime import frames, state
from fishladder.runtime.store import Stores
from fishladder.wire.bitstream import inspect
from fishladder.wire.entry import RANGE_FIELD, UNIT_FIELD, Stamp
from fishladder.wire.errors import WireError
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position, partition_of
from fishladder.wire.unit import NO_FLAGS, Codec, Flag, Range, Unit


@dataclass
class Producer:
    """One camera. `items` is all it ever captured under its epoch, in order: units and ranges."""

    stores: Stores
    camera: str
    codec: Codec = Codec.H264
    flags: Flag = NO_FLAGS
    boot: str = field(default_factory=lambda: secrets.token_hex(4))
    epoch: int = 0
    hello: int = 0
    session: str = ""
    position: int = 0
    following: int = 1
    items: list[Unit | Range] = field(default_factory=list)
    spool: list[Unit | Range] = field(default_factory=list)  #: what it has deferred
    fills: int = 0  #: entries of this session's backfill
    began_us: int = field(default_factory=lambda: time.time_ns() // 1000)  #: capture time of pts 0

    @property
    def partition(self) -> int:
        return partition_of(self.camera, self.stores.partitions)

    def capture(self, clip: Sequence[Encoded], *, from_us: int = 0) -> None:
        """Take in a clip's units under the next seqs; nothing is sent yet."""
        for encoded in clip:
            flags = self.flags
            with contextlib.suppress(WireError):  # rubbish, which some camera might send
                access = inspect(self.codec, encoded.payload)
                flags |= Flag.CLEAN if access.clean else NO_FLAGS
                flags |= Flag.RECOVERY if access.recovery is not None and not access.clean else NO_FLAGS
            self.position += 1
            self.items.append(
                Unit(
                    epoch=1,
                    seq=self.position,
                    codec=self.codec,
                    payload=encoded.payload,
                    flags=flags,
                    pts_us=encoded.pts_us + from_us,
                    duration_us=encoded.duration_us,
                )
            )

    def declare(self, count: int, fate: Fate) -> None:
        """Capture `count` pictures that are not sent."""
        first = self.position + 1
        self.position += count
        self.items.append(Range(epoch=1, first=first, last=self.position, fate=fate))

    def defer(self, first: int, last: int) -> None:
        """Put some of what was captured on disk: it is declared in the live lane, and sent by `fill`."""
        inside = [item for item in self.items if first <= item_last(item) <= last]
        self.spool += inside
        at = self.items.index(inside[0])
        self.items[at : at + len(inside)] = [Range(epoch=1, first=first, last=last, fate=Fate.DEFERRED)]

    async def fill(self, *what: Unit | Range, context: bool = False) -> None:
        """Send some of it by the backfill lane; fenced, it greets and begins with these again."""
        flag = Flag.CONTEXT if context else NO_FLAGS
        marked = [replace(it, flags=it.flags | flag) if isinstance(it, Unit) else it for it in what]
        entries = [(entry.field, entry.value) for entry in map(self._entry, marked)]
        while True:
            done = await frames.fill(
                self.stores.frames, self.partition, self.camera, self.session, self.fills + 1, entries
            )
            if done.status is not frames.Status.FENCED:
                self.fills = done.next - 1
                return
            await self.greet()

    def forget(self) -> None:
        """The agent starts again and remembers nothing."""
        self.boot, self.hello, self.epoch, self.position, self.items = secrets.token_hex(4), 0, 0, 0, []

    async def greet(self) -> None:
        """Say hello: claim the camera and open its log."""
        self.hello += 1
        remembers = self.epoch != 0
        floor = 0
        while True:
            granted = await state.claim(
                self.stores.state,
                self.partition,
                self.camera,
                boot=self.boot,
                hello=self.hello,
                epoch=self.epoch,
                position=self.position,
                now_us=time.time_ns() // 1000,
                floor=floor,
            )
            assert isinstance(granted, state.Granted), granted
            cursor = granted.cursor
            committed = cursor.seq if cursor.epoch == granted.epoch else 0
            clean = [unit.seq for unit in self.items if isinstance(unit, Unit) and unit.clean]
            opened = await frames.open_log(
                self.stores.frames,
                self.partition,
                self.camera,
                boot=self.boot,
                hello=self.hello,
                session=f"{self.hello}-{secrets.token_hex(4)}",
                epoch=granted.epoch,
                remembers=remembers,
                cursor=cursor,
                rewind_to=max((seq for seq in clean if seq <= committed + 1), default=committed + 1),
                earlier=granted.earlier,
            )
            if isinstance(opened, frames.EpochInUse):
                floor = opened.epoch
                continue
            break
        assert isinstance(opened, frames.Opened), opened
        self.epoch, self.fills = granted.epoch, 0
        self.following = opened.next
        self.session = await frames.owner_session(self.stores.frames, self.partition, self.camera)

    async def send(self, upto: int | None = None) -> None:
        """Append what is not logged yet, up to a seq; greets first, and again whenever it is fenced."""
        if not self.session:
            await self.greet()
        while True:
            due = [item for item in self.items if item_last(item) >= self.following]
            due = [item for item in due if upto is None or item_last(item) <= upto]
            if not due:
                return
            batch = frames.Batch(self.camera, self.session, self.epoch, [self._entry(item) for item in due[:64]])
            [done] = await frames.append(self.stores.frames, self.partition, [batch])
            if done.status in (frames.Status.FENCED, frames.Status.GAP):
                await self.greet()
            else:
                self.following = done.next

    async def report(self) -> None:
        """Say how far it has captured, as agents do each second."""
        await state.record_position(
            self.stores.state,
            self.partition,
            self.camera,
            Position(self.epoch, self.position),
            time.time_ns() // 1000,
        )

    async def check(self) -> None:
        """What a gateway's next append would find: greet and send again if the log has another session."""
        if await frames.owner_session(self.stores.frames, self.partition, self.camera) != self.session:
            await self.greet()
            await self.send()

    def _entry(self, item: Unit | Range) -> frames.Entry:
        if isinstance(item, Range):
            packed = Range(epoch=self.epoch, first=item.first, last=item.last, fate=item.fate).pack()
            return frames.Entry(item.first, item.last, RANGE_FIELD, packed)
        now_us = time.time_ns() // 1000
        value = (
            Stamp(self.began_us + item.pts_us, now_us, now_us).pack() + item.at(Position(self.epoch, item.seq)).pack()
        )
        return frames.Entry(item.seq, item.seq, UNIT_FIELD, value)


def item_last(item: Unit | Range) -> int:
    return item.seq if isinstance(item, Unit) else item.last
