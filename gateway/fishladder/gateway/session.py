"""One camera's log session: what this gateway has taken from its sender, what of it is logged and what committed. Pure;
writing is the frame log's business, and telling the sender is its owner's.
"""

import struct
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fishladder.gateway.limits import MOST_SEQ
from fishladder.wire.entry import Stamp
from fishladder.wire.errors import WireError
from fishladder.wire.fates import DECLARABLE, Fate
from fishladder.wire.ids import MAX_SEQ
from fishladder.wire.messages import Asked, Policy, SenderStatus
from fishladder.wire.unit import MAX_UNIT_BYTES, UNIT_HEADER_BYTES, VERSION, Clock, Codec, Flag, Header, Range

#: A capture time may be this far ahead of the gateway's clock before it is taken for impossible.
FUTURE_US = 100_000
_FLAGS_AT = 2  # offset of a packed unit's flags
_SYNCED, _CONTEXT = int(Flag.SYNCED), int(Flag.CONTEXT)
#: What matters here of a unit's header: version, codec, flags, clock, epoch, seq, wall_us, offset_us.
_PEEK = struct.Struct(">BBBB12xQQ8xqq")
_CODECS, _CLOCKS = frozenset(map(int, Codec)), frozenset(map(int, Clock))


class OutOfStep(Exception):
    """A unit or range does not follow on what this session has taken; the message says how."""


class Queued(NamedTuple):
    """An entry on its way into the log: seqs `first..last`, and the packed unit (with its times, Unix microseconds) or
    the packed range. `captured_us` None marks a range.
    """

    first: int
    last: int
    data: bytes
    captured_us: int | None
    received_us: int


class LogOwner(Protocol):
    """Who sends a camera's units: told when the log moves on, and when it is no longer his."""

    def logged(self, session: "LogSession") -> None:
        """`logged` has moved."""

    def committed(self, session: "LogSession") -> None:
        """`committed` has moved."""

    def fenced(self, session: "LogSession", reason: str) -> None:
        """Nothing more is written for this session."""

    def keyframe_wanted(self, session: "LogSession") -> None:
        """A worker needs a clean point."""

    def policy_changed(self, session: "LogSession", policy: Policy) -> None:
        """Something else is wanted of the camera from now on."""


#: What is deferred is kept as ranges in the state store, for as long as its sender likes. A link that flaps each five
#: seconds makes so many in a day.
MOST_OPEN_RANGES = 16_384


@dataclass(slots=True, eq=False)
class LogSession:
    """`next` is the seq to be taken next; everything up to `logged` is in the log, up to `committed` has its fate.

    `queue` holds what was taken and is not yet known to be in the log.
    """

    camera: str
    partition: int
    token: str  #: the session's name in the store
    epoch: int
    next: int
    committed: int
    owner: LogOwner
    logged: int = 0
    position: int = 0  #: last seq known to have been captured
    queue: deque[Queued] = field(default_factory=deque)
    closed: bool = False
    defers: bool = False  #: its sender has a backfill lane
    deferred: int = 0  #: the last seq it has deferred in this session
    open_ranges: int = 0  #: of what it has deferred in all, and nobody has settled
    restamped: int = 0  #: units whose capture time was impossible
    units: int = 0  #: logged in this session, with their bytes
    unit_bytes: int = 0
    header: bytes = b""  #: the first bytes of the unit logged last
    policy: Policy = field(default_factory=Policy)  #: what is wanted of the camera, and what the stack asks beyond that
    asked: Asked | None = None
    sender: SenderStatus | None = None  #: what its sender says that it sends of it

    def __post_init__(self) -> None:
        self.logged = self.next - 1
        self.position = max(self.position, self.logged)

    def take_unit(self, data: bytes, received_us: int) -> Queued | None:
        """Check a packed unit and give it its times; None if it was taken before.

        Raises `WireError` for what is no unit of the live lane, `OutOfStep` for one that does not follow.
        """
        flags, epoch, seq, wall_us, offset_us = _peek(data)
        if not self._follows(epoch, seq, seq):
            return None
        if flags & _CONTEXT:
            raise WireError(f"{self.camera}: unit {epoch}-{seq} is context, which only backfill has")
        captured_us = received_us
        if flags & _SYNCED:
            captured_us = wall_us + offset_us
            if not 0 < captured_us <= received_us + FUTURE_US:
                captured_us = received_us
                data = _restamped(data, flags)
                self.restamped += 1
        self.next = seq + 1
        return Queued(seq, seq, data, captured_us, received_us)

    def take_backfill(self, data: bytes, received_us: int) -> Stamp:
        """Check a packed unit of the backfill lane, which may be of an earlier epoch or context; its times.

        An impossible capture time is the moment it came, as in the live lane. Raises `WireError`.
        """
        flags, epoch, seq, wall_us, offset_us = _peek(data)
        if epoch > self.epoch or (epoch == self.epoch and seq >= self.next):
            raise WireError(f"{self.camera}: {epoch}-{seq} came for backfill, but the live lane has not got so far")
        captured_us = wall_us + offset_us if flags & _SYNCED else received_us
        possible = 0 < captured_us <= received_us + FUTURE_US
        return Stamp(captured_us if possible else received_us, received_us, received_us)

    def take_backfill_range(self, declared: Range) -> bytes:
        """Check a declared range of the backfill lane. Raises `WireError`."""
        if declared.fate not in DECLARABLE or declared.fate is Fate.DEFERRED:
            raise WireError(f"{self.camera}: fate {declared.fate.label} is not for a sender to declare in backfill")
        if declared.epoch > self.epoch or (declared.epoch == self.epoch and declared.last >= self.next):
            raise WireError(f"{self.camera}: backfill to {declared.position}, but the live lane has not got so far")
        return declared.pack()

    def take_range(self, declared: Range, received_us: int) -> Queued | None:
        """Check a declared range; None if all of it was taken before. What was taken before is cut off.

        Raises `WireError` for a fate the sender may not declare, `OutOfStep` for a range that does not follow.
        """
        if declared.fate is Fate.DEFERRED:
            if not self.defers:
                raise WireError(f"{self.camera}: deferred ranges came from a sender whose hello names no backfill")
            if declared.first != self.deferred + 1:
                self.open_ranges += 1
                if self.open_ranges > MOST_OPEN_RANGES:
                    raise WireError(
                        f"{self.camera}: {MOST_OPEN_RANGES} ranges are deferred and not sent: send some of them first"
                    )
            self.deferred = declared.last
        if declared.fate not in DECLARABLE:
            raise WireError(f"{self.camera}: fate {declared.fate.label} is not for a sender to declare")
        if not self._follows(declared.epoch, declared.first, declared.last):
            return None
        if declared.first < self.next:
            declared = Range(
                epoch=declared.epoch,
                first=self.next,
                last=declared.last,
                fate=declared.fate,
                wall_us=declared.wall_us,
                offset_us=declared.offset_us,
            )
        self.next = declared.last + 1
        return Queued(declared.first, declared.last, declared.pack(), None, received_us)

    def _follows(self, epoch: int, first: int, last: int) -> bool:
        """False if it was taken before; raises `OutOfStep` if something is missing in between."""
        if last > MOST_SEQ:
            raise WireError(f"{self.camera}: {epoch}-{last} is further than any camera can have come")
        if epoch != self.epoch:
            raise OutOfStep(f"{epoch}-{first} came, but this session is of epoch {self.epoch}")
        if first > self.next:
            raise OutOfStep(f"{epoch}-{first} came, but {epoch}-{self.next} is next")
        return last >= self.next


def _restamped(data: bytes, flags: int) -> bytes:
    """A packed unit marked as one whose capture time was impossible."""
    return b"".join((data[:_FLAGS_AT], bytes((flags | Flag.RESTAMPED,)), data[_FLAGS_AT + 1 :]))


def _peek(data: bytes) -> tuple[int, int, int, int, int]:
    """Flags, epoch, seq, wall_us, offset_us of a packed unit, checked as `Header.peek` does. That one makes objects of
    all its fields, which would cost more than everything else done with a unit; what looks wrong it has to judge.
    """
    if UNIT_HEADER_BYTES < len(data) <= MAX_UNIT_BYTES:
        version, codec, flags, clock, epoch, seq, wall_us, offset_us = _PEEK.unpack_from(data)
        known = version == VERSION and codec in _CODECS and clock in _CLOCKS
        if known and 0 < epoch <= MAX_SEQ and 0 < seq <= MAX_SEQ:
            return flags, epoch, seq, wall_us, offset_us
    header = Header.peek(data)
    return header.flags, header.epoch, header.seq, header.wall_us, header.offset_us
