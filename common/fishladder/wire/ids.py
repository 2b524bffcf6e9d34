"""Who and where: camera names, positions in a camera's sequence, partitions.

A camera is `<site>/<camera>`. A position is `(epoch, seq)`: `seq` is dense from 1 in decode order within an
epoch, and a position is also the stream id `epoch-seq` under which the unit is logged.
"""

import re
from typing import NamedTuple
from zlib import crc32

from fishladder.wire.errors import WireError

_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
_NAME_RE = re.compile(_NAME)
_CAMERA_RE = re.compile(f"{_NAME}/{_NAME}")
_POSITION_RE = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")

#: Default number of partitions of a new store. `fl:meta` holds the one in force.
PARTITIONS = 64

#: Epochs and sequence numbers stay below 2**53, so that Lua's doubles and JSON readers keep them exact.
MAX_SEQ = 2**53 - 1


def check_name(name: str, what: str = "name") -> str:
    """Return `name`, or raise `WireError` if it is not `[a-z0-9][a-z0-9._-]{0,63}`."""
    if not _NAME_RE.fullmatch(name):
        raise WireError(
            f"{what} {name[:80]!r} is not allowed: use 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit"
        )
    return name


def check_camera(camera: str) -> str:
    """Return `camera`, or raise `WireError` if it is not `<site>/<camera>`."""
    if not _CAMERA_RE.fullmatch(camera):
        raise WireError(f"camera {camera[:140]!r} is not allowed: expected <site>/<camera>, for example shop-7/door")
    return camera


def site_of(camera: str) -> str:
    return camera.partition("/")[0]


def partition_of(camera: str, partitions: int) -> int:
    """The partition a camera lives in, for ever: crc32 of its name."""
    return crc32(camera.encode()) % partitions


class Position(NamedTuple):
    """A place in a camera's sequence. Ordered; `seq` 0 is the place before an epoch's first unit."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str | bytes) -> "Position":
        """Read `epoch-seq`. Raises `WireError`."""
        if isinstance(text, bytes):
            text = text.decode("ascii", "replace")
        if not _POSITION_RE.fullmatch(text):
            raise WireError(f"{text[:40]!r} is not a position (epoch-seq)")
        epoch, _, seq = text.partition("-")
        return cls(int(epoch), int(seq))


#: Before everything.
ORIGIN = Position(0, 0)
