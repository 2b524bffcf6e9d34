"""A camera's open set: what its live lane deferred and its backfill lane has not settled yet. The stores' scripts keep
it as a text of ranges, `epoch:first-last` with a space between, ascending; here it is read.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self

from fishladder.wire.errors import WireError


class OpenRange(NamedTuple):
    """Seqs `first..last` of `epoch`."""

    epoch: int
    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `epoch:first-last`. Raises `WireError`."""
        epoch, colon, seqs = text.partition(":")
        first, dash, last = seqs.partition("-")
        if not (colon and dash and epoch.isdecimal() and first.isdecimal() and last.isdecimal()):
            raise WireError(f"an open range reads epoch:first-last, not {text[:80]!r}")
        return cls(int(epoch), int(first), int(last))

    def __str__(self) -> str:
        return f"{self.epoch}:{self.first}-{self.last}"


def parse(text: bytes | str | None) -> tuple[OpenRange, ...]:
    """Read an open set; nothing stored is an empty one. Raises `WireError`."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    return tuple(OpenRange.parse(part) for part in (text or "").split())


def count(ranges: Iterable[OpenRange]) -> int:
    """How many seqs."""
    return sum(it.length for it in ranges)
