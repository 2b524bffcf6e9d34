"""One viewer's queue: what a browser is yet to be sent, bounded. One that is slow loses whole stretches, up to the next
picture a decoder can begin with, and is told; whoever fills the queue never waits for him.
"""

import asyncio
import struct
from collections import deque

from fishladder.wire.entry import LoggedUnit
from fishladder.wire.unit import Flag

#: Bytes that may wait for one viewer.
MAX_QUEUE_BYTES = 4 * 1024 * 1024
_HEAD = struct.Struct(">BHqq")
#: The first byte of a binary message.
UNIT = 1


def unit_message(index: int, unit: LoggedUnit, packed: memoryview) -> bytes:
    """What a browser is sent of a unit, big-endian: 1, the camera's place in what it asked for (2 bytes), when it was
    captured and when it was received (8 bytes each, Unix microseconds), and the unit as `wire.unit` packs it.
    """
    return _HEAD.pack(UNIT, index, unit.stamp.captured_us, unit.stamp.received_us) + packed


class Viewer:
    """`clean_only`: it gets only pictures that need no other. `take` waits; nothing else does."""

    def __init__(self, *, clean_only: bool = False, max_bytes: int = MAX_QUEUE_BYTES) -> None:
        self.skipped = 0  #: units it was not sent because it was too slow
        self._clean_only = clean_only
        self._max_bytes = max_bytes
        self._queue: deque[bytes | str] = deque()
        self._bytes = 0
        self._waits: dict[int, bool] = {}  # cameras whose next picture must be a clean one: whether it is too slow
        self._wake = asyncio.Event()

    def begins(self, index: int) -> None:
        """From here on a camera begins anew, or something of it is missing."""
        self._waits.setdefault(index, False)

    def offer_unit(self, index: int, unit: LoggedUnit, packed: memoryview) -> None:
        clean = bool(unit.header.flags & Flag.CLEAN)
        if not clean and (self._clean_only or index in self._waits):
            self.skipped += self._waits.get(index, False)
            return
        if self._bytes + len(packed) > self._max_bytes:
            self._overflow(index)
            return
        self._waits.pop(index, None)
        self._push(unit_message(index, unit, packed))

    def offer_text(self, text: str) -> None:
        if not self._clean_only and self._bytes + len(text) <= self._max_bytes:
            self._push(text)

    async def take(self) -> list[bytes | str]:
        """What there is to send, as soon as there is anything."""
        await self._wake.wait()
        self._wake.clear()
        taken, self._queue, self._bytes = list(self._queue), deque(), 0
        return taken

    def _push(self, message: bytes | str) -> None:
        self._queue.append(message)
        self._bytes += len(message)
        self._wake.set()

    def _overflow(self, index: int) -> None:
        """Drop what waits, of all cameras: the newest is worth more."""
        units = [message for message in self._queue if isinstance(message, bytes)]
        self._waits |= dict.fromkeys([index, *(int.from_bytes(message[1:3], "big") for message in units)], True)
        self.skipped += len(units) + 1
        self._queue.clear()
        self._bytes = 0
        self._push(f'{{"type":"skipped","units":{self.skipped}}}')
