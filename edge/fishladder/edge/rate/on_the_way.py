"""The live units of a connection that were handed to the link and have not been acknowledged, and the backfill between
them. Pure. Times in seconds on one clock; cameras by channel.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class InFlight:
    """`ready_s`: when it could have been sent; `taken_s`: when its first piece was, `handed_s` its last so far.
    `before`: bytes of backfill that went before it, so that they have come when it has; `ahead`: bytes of anything that
    were on their way then.
    """

    seq: int
    bytes: int
    ready_s: float
    taken_s: float
    handed_s: float
    before: int
    ahead: int
    alone: bool  #: nothing was on its way


class OnTheWay:
    def __init__(self) -> None:
        self.bytes = 0  #: of all of it, with the backfill before units
        self._units: defaultdict[int, deque[InFlight]] = defaultdict(deque)
        self._backfilled = 0  # bytes since the last live unit

    def firsts(self) -> list[InFlight]:
        """Each camera's oldest."""
        return [units[0] for units in self._units.values() if units]

    def first(self, channel: int) -> InFlight | None:
        units = self._units.get(channel)
        return units[0] if units else None

    def last(self, channel: int) -> InFlight | None:
        units = self._units.get(channel)
        return units[-1] if units else None

    def taken(self, channel: int, seq: int, size: int, ready_s: float, now_s: float) -> None:
        """A unit goes onto the link."""
        before, self._backfilled = self._backfilled, 0
        alone = not before and not any(self._units.values())
        self.bytes += before
        self._units[channel].append(InFlight(seq, size, ready_s, now_s, now_s, before, self.bytes, alone))
        self.bytes += size

    def take_back(self, channel: int) -> None:
        """The unit taken last does not come."""
        self._gone(self._units[channel].pop())

    def backfilled(self, size: int) -> None:
        """So many bytes of backfill go onto the link."""
        self._backfilled += size

    def logged(self, channel: int, seq: int) -> Iterator[InFlight]:
        """Those up to `seq` are there."""
        units = self._units[channel]
        while units and units[0].seq <= seq:
            unit = units.popleft()
            self._gone(unit)
            yield unit

    def forget(self, channel: int) -> None:
        """What was on its way of a camera is not any more."""
        for unit in self._units.pop(channel, ()):
            self._gone(unit)

    def _gone(self, unit: InFlight) -> None:
        self.bytes -= unit.bytes + unit.before
