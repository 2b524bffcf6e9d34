"""The units between being pushed and being given out, in seq order. Matches pictures to units, keeps a picture back
until all units before it are settled, and settles those whose picture never comes. `decode` decides what is exact.
"""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from av.video.frame import VideoFrame

from fishladder.wire.bitstream import Access
from fishladder.wire.fates import Fate

#: A unit whose picture has not come out after this many further ones never had one to show: no codec holds back more
#: than 16.
MAX_PENDING = 32


_UNKNOWN = Access()


class Picture(NamedTuple):
    """The unit `seq` was wanted, and this is its picture (planes as the codec made them, typically yuv420p)."""

    seq: int
    frame: VideoFrame


class Settled(NamedTuple):
    """The unit `seq` gives no picture to analyse: NO_PICTURE, UNDECODABLE, NO_REFERENCE or SAMPLED_OUT."""

    seq: int
    fate: Fate


Outcome = Picture | Settled


@dataclass(slots=True, eq=False)
class Entry:
    """A unit on its way. Settled once it has a fate or a frame."""

    token: int
    seq: int
    context: bool
    wanted: bool
    access: Access = _UNKNOWN
    fate: Fate | None = None
    frame: VideoFrame | None = None

    @property
    def settled(self) -> bool:
        return self.fate is not None or self.frame is not None

    def show(self, frame: VideoFrame) -> None:
        """Its picture is there."""
        if self.wanted and not self.context:
            self.frame = frame
        else:
            self.fate = Fate.SAMPLED_OUT


class DecodeQueue:
    """Units in push order. Each has a token, a plain counter, by which its picture is known."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._decoding: dict[int, Entry] = {}
        self._next_token = 0

    @property
    def pending(self) -> int:
        """Units not yet given out, context aside."""
        return sum(not entry.context for entry in self._entries)

    def add(self, seq: int, *, context: bool, wanted: bool) -> Entry:
        entry = Entry(self._next_token, seq, context, wanted)
        self._next_token += 1
        self._entries.append(entry)
        return entry

    def expect(self, entry: Entry) -> None:
        """Its picture will come out of the decoder, unless it is settled already."""
        if entry.fate is None:
            self._decoding[entry.token] = entry

    def take(self, token: int | None) -> Entry | None:
        """The unit of a picture that has come out; None if it is settled, or no unit's."""
        return None if token is None else self._decoding.pop(token, None)

    def settle(self, entry: Entry, fate: Fate) -> None:
        """Settle a unit whose picture will not come; one that is settled keeps its fate."""
        self._decoding.pop(entry.token, None)
        if not entry.settled:
            entry.fate = fate

    def settle_expected(self, fate: Fate, *, before: int | None = None) -> None:
        """Settle what is still expected, of the units with a token under `before` only."""
        while self._decoding:
            entry = next(iter(self._decoding.values()))
            if before is not None and entry.token >= before:
                return
            self.settle(entry, fate)

    def spoil(self, damaged: Entry) -> bool:
        """The picture of `damaged`, which others refer to, is not what it should be: units behind it, up to the next
        that refers to none before, are NO_REFERENCE. Returns whether there is such a next one.
        """
        for entry in self._entries:
            if entry.token <= damaged.token:
                continue
            if entry.access.idr:
                return True
            if entry.fate in (None, Fate.SAMPLED_OUT):
                self._decoding.pop(entry.token, None)
                entry.fate, entry.frame = Fate.NO_REFERENCE, None
        return False

    def release(self) -> list[Outcome]:
        """Give out what is settled, up to the first unit that is not."""
        entries = self._entries
        if len(entries) > MAX_PENDING:
            self.settle(entries[0], Fate.UNDECODABLE)
        outcomes: list[Outcome] = []
        while entries and entries[0].settled:
            entry = entries.popleft()
            if entry.context:
                continue
            if entry.frame is not None:
                outcomes.append(Picture(entry.seq, entry.frame))
            elif entry.fate is not None:
                outcomes.append(Settled(entry.seq, entry.fate))
        return outcomes
