"""Units and ranges in the order of their seqs, without a hole between them: the list a ring is made of, and what it
costs. What may be dropped, sent or forgotten of it, others decide.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from fishladder.edge.held import Held, HeldRange


class Entries:
    """Each entry begins where the one before it ended. `bytes` is what all of them cost."""

    def __init__(self) -> None:
        self.bytes = 0
        self._held: list[Held] = []

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held)

    def __getitem__(self, index: int) -> Held:
        return self._held[index]

    @property
    def tail(self) -> Held | None:
        return self._held[-1] if self._held else None

    def since(self, index: int) -> list[Held]:
        return self._held[index:]

    def index(self, seq: int) -> int:
        """Of the entry a seq is in, or of the last one before it."""
        return bisect_right(self._held, seq, key=lambda held: held.first) - 1

    def append(self, held: Held) -> None:
        self._held.append(held)
        self.bytes += held.cost

    def replace(self, start: int, end: int, new: Sequence[Held]) -> None:
        """Put others in the place of the entries `start..end-1`, for the same seqs."""
        self.bytes += sum(held.cost for held in new) - sum(held.cost for held in self._held[start:end])
        self._held[start:end] = new

    def split(self, seq: int) -> None:
        """Make `seq`, which must be here, the first of an entry."""
        index = self.index(seq)
        held = self._held[index]
        if isinstance(held, HeldRange) and held.first < seq:
            rest = HeldRange(seq, held.last, held.fate, held.mono_us, held.wall_us)
            held.last = seq - 1
            self._held.insert(index + 1, rest)
            self.bytes += rest.cost

    def forget(self, before: int) -> None:
        """Drop what comes before a seq."""
        count = 0
        for held in self._held:
            if held.last >= before:
                break
            self.bytes -= held.cost
            count += 1
        del self._held[:count]
        if self._held and self._held[0].first < before:
            head = self._held[0]
            assert isinstance(head, HeldRange)
            head.first = before
