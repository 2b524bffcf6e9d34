"""What a capture process tells its agent, as records on a pipe: what it opened, each picture before an encoder gets it,
each encoded unit, and how it ended. Pure; both ends are of one version, so there is no versioning here.

    kind 1 byte, length 4 bytes big-endian, body
"""

import struct
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from fishladder.edge.rate.passing import Flow
from fishladder.wire.errors import TooLarge, WireError
from fishladder.wire.fates import Fate
from fishladder.wire.unit import MAX_UNIT_BYTES, Codec, Flag

_HEAD = struct.Struct(">BI")
_UNIT = struct.Struct(">BBHHIqq")
_COUNT = struct.Struct(">I")
HEAD_BYTES = _HEAD.size

#: A unit over the wire's limit is still told of, without its payload, so that it gets its fate.
MAX_RECORD_BYTES = _UNIT.size + MAX_UNIT_BYTES


class Opened(msgspec.Struct, frozen=True):
    """The camera delivers. `mode` is `encode`, `passthrough` or `transcode`, `codec` what it delivers, `note` worth a
    line.
    """

    mode: str
    codec: str
    width: int = 0
    height: int = 0
    fps: float | None = None
    note: str = ""

    kind: ClassVar[int] = 1

    def body(self) -> bytes:
        return msgspec.json.encode(self)


@dataclass(frozen=True, slots=True)
class Captured:
    """A picture is here; a unit or a `Left` follows for each, in order."""

    mono_us: int

    kind: ClassVar[int] = 2

    def body(self) -> bytes:
        return self.mono_us.to_bytes(8, "big", signed=True)


@dataclass(frozen=True, slots=True)
class Sampled:
    """So many pictures were captured and not chosen."""

    count: int

    kind: ClassVar[int] = 3

    def body(self) -> bytes:
        return _COUNT.pack(self.count)


@dataclass(frozen=True, slots=True)
class CapturedUnit:
    """One access unit. `mono_us` is when its picture arrived, on the system's monotonic clock.

    An empty `payload` is a unit too large to be sent.
    """

    codec: Codec
    flags: Flag
    width: int
    height: int
    duration_us: int
    pts_us: int
    mono_us: int
    payload: bytes

    kind: ClassVar[int] = 4

    @property
    def entry_point(self) -> bool:
        """A decoder may start here, at once or some pictures later."""
        return bool(self.flags & (Flag.CLEAN | Flag.RECOVERY))

    def body(self) -> bytes:
        head = _UNIT.pack(self.codec, self.flags, self.width, self.height, self.duration_us, self.pts_us, self.mono_us)
        return head + (self.payload if len(self.payload) < MAX_UNIT_BYTES else b"")


@dataclass(frozen=True, slots=True)
class Left:
    """The oldest picture that was captured and not told of since is not sent, for this reason."""

    fate: Fate

    kind: ClassVar[int] = 5

    def body(self) -> bytes:
        return bytes((self.fate,))


class Ended(msgspec.Struct, frozen=True):
    """The last record. `error` None: the camera has no more to give; else why it stopped."""

    error: str | None = None

    kind: ClassVar[int] = 6

    def body(self) -> bytes:
        return msgspec.json.encode(self)


class Flows(msgspec.Struct, frozen=True):
    """What a camera's streams are, whether passed on or not; `sub` None: it has none."""

    main: Flow
    sub: Flow | None = None

    kind: ClassVar[int] = 7

    def body(self) -> bytes:
        return msgspec.json.encode(self)


class Trouble(msgspec.Struct, frozen=True):
    """The sub-stream cannot be had at the moment; what is captured goes on with the main stream."""

    error: str

    kind: ClassVar[int] = 8

    def body(self) -> bytes:
        return msgspec.json.encode(self)


Record = Opened | Captured | Sampled | CapturedUnit | Left | Ended | Flows | Trouble


def pack(record: Record) -> bytes:
    body = record.body()
    return _HEAD.pack(record.kind, len(body)) + body


def unpack(kind: int, body: bytes) -> Record:
    """Read one record. Raises `WireError`."""
    try:
        match kind:
            case Opened.kind:
                return msgspec.json.decode(body, type=Opened)
            case Captured.kind if len(body) == 8:
                return Captured(int.from_bytes(body, "big", signed=True))
            case Sampled.kind:
                return Sampled(*_COUNT.unpack(body))
            case CapturedUnit.kind:
                codec, flags, width, height, duration, pts, mono = _UNIT.unpack_from(body)
                payload = body[_UNIT.size :]
                return CapturedUnit(Codec(codec), Flag(flags), width, height, duration, pts, mono, payload)
            case Left.kind if len(body) == 1:
                return Left(Fate(body[0]))
            case Ended.kind:
                return msgspec.json.decode(body, type=Ended)
            case Flows.kind:
                return msgspec.json.decode(body, type=Flows)
            case Trouble.kind:
                return msgspec.json.decode(body, type=Trouble)
    except (struct.error, ValueError, msgspec.DecodeError) as error:
        raise WireError(f"a capture record of kind {kind} is damaged: {error}") from None
    raise WireError(f"a capture record of kind {kind} and {len(body)} bytes is not known here")


def read_head(head: bytes) -> tuple[int, int]:
    """A record's kind and body length. Raises `TooLarge` for one no capture process writes."""
    kind, length = _HEAD.unpack(head)
    if length > MAX_RECORD_BYTES:
        raise TooLarge(f"a capture record of {length} bytes is over the limit of {MAX_RECORD_BYTES}")
    return kind, length
