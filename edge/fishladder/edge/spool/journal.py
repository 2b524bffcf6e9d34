"""A ring's copy outside the process: what one camera has captured and nobody has committed yet, in segments of an
append-only log. It is meant for a file system in memory: a write is one system call, nothing waits for a disk, and a
crash of the agent loses nothing. What is in it after a crash goes back into a ring.

A segment is a head (life, epoch, what was committed) and records, each with its length and checksum.
"""

import errno
import json
import os
import struct
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import structlog

from fishladder.edge.held import Held, HeldRange
from fishladder.edge.spool.records import pack, unpack
from fishladder.wire.errors import WireError

log = structlog.get_logger(__name__)

SEGMENT_BYTES = 1 << 19
_RECORD = struct.Struct(">IIQQ")  # length of the body, checksum of the rest, first, last
_SUFFIX = ".ring"


@dataclass(frozen=True, slots=True)
class Recovered:
    """`entries` ascend without a hole; `life` names the numbering they belong to, `epoch` 0 = not granted yet."""

    life: int
    epoch: int
    committed: int
    entries: list[Held]


@dataclass(slots=True)
class _Segment:
    path: Path
    last: int = 0  # its last seq
    size: int = 0


class Journal:
    """One camera's. `append` never raises: where there is no room, frames are in this process' memory alone, which is
    said once.
    """

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = directory
        self._segment_bytes = segment_bytes
        self.failing = ""
        self.life = 0
        self.epoch = 0
        self.committed = 0
        self._segments: deque[_Segment] = deque()
        self._file: int | None = None
        self._number = 0

    def begin(self, life: int, epoch: int) -> None:
        """Another numbering: what was kept is of no use any more."""
        self.close()
        self.life, self.epoch, self.committed = life, epoch, 0
        self._segments.clear()
        for path in self._paths():
            path.unlink(missing_ok=True)

    def granted(self, epoch: int) -> None:
        """The numbering has got its epoch."""
        self.epoch = epoch
        try:
            self._next_segment()  # whose head says so
        except OSError as error:
            self._fails(error)

    def append(self, held: Held) -> None:
        data = pack(held)
        head = struct.pack(">QQ", held.first, held.last)
        record = _RECORD.pack(len(data), zlib.crc32(data, zlib.crc32(head)), held.first, held.last) + data
        try:
            if self._file is None or self._segments[-1].size >= self._segment_bytes:
                self._next_segment()
            assert self._file is not None
            if os.write(self._file, record) != len(record):
                raise OSError(errno.ENOSPC, "no space left")
        except OSError as error:
            self._fails(error)
            return
        self._segments[-1].last = held.last
        self._segments[-1].size += len(record)
        if self.failing:
            self.failing = ""
            log.info("the ring is kept outside the process again", path=str(self.directory))

    def forget(self, before: int, committed: int) -> None:
        """What comes before a seq is not needed any more."""
        self.committed = committed
        while len(self._segments) > 1 and self._segments[0].last < before:
            self._segments.popleft().path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def recover(self) -> Recovered | None:
        """What an earlier process kept, and go on behind it; None if that is nothing."""
        found: Recovered | None = None
        for path in self._paths():
            self._number = max(self._number, int(path.stem))
            head, entries = _read(path)
            if head is None:
                path.unlink(missing_ok=True)
                continue
            life, epoch, committed = head
            if found is None or found.life != life:
                found = Recovered(life, epoch, committed, [])
            kept = found.entries
            for held in entries:
                if kept and held.first > kept[-1].last + 1:
                    kept.clear()  # a hole: what comes before it is not the end of anything
                _add(kept, held)
            found = Recovered(life, epoch or found.epoch, max(committed, found.committed), kept)
            self._segments.append(_Segment(path, kept[-1].last if kept else 0, path.stat().st_size))
        if found is not None:
            self.life, self.epoch, self.committed = found.life, found.epoch, found.committed
        return found

    def _paths(self) -> list[Path]:
        try:
            return sorted(it for it in self.directory.iterdir() if it.suffix == _SUFFIX and it.stem.isdecimal())
        except OSError:
            return []

    def _next_segment(self) -> None:
        self.close()
        self._number += 1
        path = self.directory / f"{self._number:012}{_SUFFIX}"
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        last = self._segments[-1].last if self._segments else 0
        self._segments.append(_Segment(path, last))
        head = json.dumps({"life": self.life, "epoch": self.epoch, "committed": self.committed}).encode()
        os.write(self._file, head + b"\n")

    def _fails(self, error: OSError) -> None:
        self.close()  # what follows the hole begins a segment
        if not self.failing:
            log.error(
                "the ring cannot be kept outside the process: a crash would lose what is in it",
                path=str(self.directory),
                error=error.strerror,
            )
        self.failing = error.strerror or str(error)


def _add(kept: list[Held], held: Held) -> None:
    """What follows on goes behind; a range that only grew makes the one before it longer."""
    tail = kept[-1] if kept else None
    if tail is not None and held.first != tail.last + 1:
        return
    if isinstance(tail, HeldRange) and isinstance(held, HeldRange) and tail.fate is held.fate:
        tail.last = held.last
    else:
        kept.append(held)


def _read(path: Path) -> tuple[tuple[int, int, int] | None, list[Held]]:
    """A segment's head and its records, up to the first that is damaged."""
    try:
        data = path.read_bytes()
        line, _, rest = data.partition(b"\n")
        said = json.loads(line)
        head = (int(said["life"]), int(said["epoch"]), int(said["committed"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None, []
    entries: list[Held] = []
    at = 0
    while at + _RECORD.size <= len(rest):
        length, checksum, first, last = _RECORD.unpack_from(rest, at)
        body = rest[at + _RECORD.size : at + _RECORD.size + length]
        if len(body) < length or zlib.crc32(body, zlib.crc32(rest[at + 8 : at + _RECORD.size])) != checksum:
            break
        try:
            entries.append(unpack(first, last, body))
        except WireError:
            break
        at += _RECORD.size + length
    return head, entries
