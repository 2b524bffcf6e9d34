"""In what order cameras share one link: units cut into fragments, deficit round robin by weight, backfill only when no
camera has anything live, and never more than the gateway's credit allows. Pure: it is asked for the next message and
does not know when.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fishladder.wire.framing import MAX_MESSAGE_BYTES, abandon, fragments, range_message
from fishladder.wire.unit import Range, Unit

#: How much link time a fragment may take before something more urgent gets its turn.
FRAGMENT_S = 0.05
#: And where nobody else on the link shall notice it.
GENTLE_S = 0.01
LEAST_FRAGMENT_BYTES = 1200
MOST_FRAGMENT_BYTES = 16 * 1024
#: How much the kernel may hold that is not yet on its way: in seconds of the rate, and at least and most.
UNSENT_S, LEAST_UNSENT_BYTES, MOST_UNSENT_BYTES = 0.01, 1500, 16 * 1024
#: More of the credit is not held back for live.
LIVE_CREDIT_BYTES = 64 * 1024

Source = Callable[[], Unit | Range | None]


def fragment_size(rate_bytes_s: float | None, limit: int = 0, *, gentle: bool = False) -> int:
    """Bytes of a fragment on a link of that rate (None = unknown, taken as fast). `limit` 0 = none of the gateway's."""
    wanted = MOST_FRAGMENT_BYTES if rate_bytes_s is None else int(rate_bytes_s * (GENTLE_S if gentle else FRAGMENT_S))
    size = min(max(wanted, LEAST_FRAGMENT_BYTES), MOST_FRAGMENT_BYTES, MAX_MESSAGE_BYTES)
    return min(size, limit) if limit else size


def backfill_fragment(live_bytes: int) -> int:
    """Bytes of a fragment of backfill where those of live have so many: whatever is live may have to wait for it."""
    return max(live_bytes // 2, LEAST_FRAGMENT_BYTES)


def unsent_bytes(rate_bps: float) -> int:
    """Bytes the kernel may hold back at that rate: what it has cannot be taken out again for something more urgent."""
    return min(max(int(rate_bps / 8 * UNSENT_S), LEAST_UNSENT_BYTES), MOST_UNSENT_BYTES)


@dataclass(slots=True)
class _Flow:
    channel: int
    source: Source
    weight: float = 1.0
    backfill: bool = False
    deficit: float = 0.0
    visited: bool = False  # has had its quantum in this round
    message: bytes | None = None  # the next one
    rest: Iterator[bytes] | None = None  # those of the unit being sent after it
    left: int = 0  # bytes of that unit still to come
    begun: bool = False  # part of it has been sent
    unit: bool = False  # the message is of a unit, not a range


class Scheduler:
    """Hands out the next binary message. `add` a flow for each camera whose session is open."""

    def __init__(self, fragment_bytes: int = MOST_FRAGMENT_BYTES) -> None:
        self.fragment_bytes = fragment_bytes
        self.granted_bytes = 0
        self.sent_bytes = 0
        self._window_bytes = 0  # the credit there was after the last grant
        self._left = 0  # of all flows, so that nobody has to add them up for each unit
        self._flows: dict[int, _Flow] = {}  # by channel, or, of backfill, by its complement
        self._round: deque[int] = deque()
        self._later: deque[int] = deque()
        self.last: int | None = None  #: channel of the unit of which the last live message was, None: it was a range

    def add(self, channel: int, source: Source, weight: float = 1.0, *, backfill: bool = False) -> None:
        self.remove(channel, backfill=backfill)
        key = ~channel if backfill else channel
        self._flows[key] = _Flow(channel, source, max(weight, 0.01), backfill)
        (self._later if backfill else self._round).append(key)

    def set_weight(self, channel: int, weight: float) -> None:
        for key in (channel, ~channel):
            if flow := self._flows.get(key):
                flow.weight = max(weight, 0.01)

    def remove(self, channel: int, *, backfill: bool = False) -> bytes | None:
        """Take a camera's lane out; the message that gives up the unit it was sending, if it was."""
        key = ~channel if backfill else channel
        flow = self._flows.pop(key, None)
        if flow is None:
            return None
        (self._later if backfill else self._round).remove(key)
        return self._give_up(flow)

    def rest_bytes(self, channel: int) -> int:
        """Of the live unit of which a part has been sent; 0 if there is none."""
        flow = self._flows.get(channel)
        return flow.left if flow is not None and flow.begun else 0

    def give_up(self, channel: int) -> bytes | None:
        """Send no more of that unit; the message that says so. What comes next is asked of its source."""
        flow = self._flows.get(channel)
        return None if flow is None else self._give_up(flow)

    def _give_up(self, flow: _Flow) -> bytes | None:
        begun = flow.begun
        flow.message, flow.rest, flow.begun = None, None, False
        self._owe(flow, 0)
        if not begun:
            return None
        message = abandon(flow.channel, backfill=flow.backfill)
        self.sent_bytes += len(message)
        return message

    def grant(self, total_bytes: int) -> None:
        """Credit is cumulative, so an older one changes nothing."""
        if total_bytes > self.granted_bytes:
            self.granted_bytes = total_bytes
            self._window_bytes = self.credit_left

    @property
    def has_spare_credit(self) -> bool:
        """Whether live would not miss what backfill takes of the credit: half of what there is at a time is its own."""
        return self.credit_left > min(self._window_bytes // 2, LIVE_CREDIT_BYTES)

    @property
    def credit_left(self) -> int:
        """Bytes that are not spoken for."""
        return self.granted_bytes - self.sent_bytes - self._left

    def next(self) -> bytes | None:
        """The next live message to write; None if there is nothing, or no credit for it."""
        if (message := self._next(self._round)) is not None:
            channel = self._round[0]
            self.last = channel if self._flows[channel].unit else None
        return message

    def next_backfill(self) -> bytes | None:
        """The same of backfill. To be asked when there is nothing live."""
        return self._next(self._later)

    def _next(self, turns: deque[int]) -> bytes | None:
        idle = 0  # flows in a row with nothing to send
        while idle < len(turns):
            flow = self._flows[turns[0]]
            message = self._peek(flow)
            if message is None:
                flow.deficit = 0.0
                idle += 1
            else:
                idle = 0
                if not flow.visited:
                    flow.visited = True
                    flow.deficit += self.fragment_bytes * flow.weight
                if flow.deficit >= len(message):
                    self._sent(flow, message)
                    return message
            flow.visited = False
            turns.rotate(-1)
        return None

    def _sent(self, flow: _Flow, message: bytes) -> None:
        self.sent_bytes += len(message)
        flow.deficit -= len(message)
        self._owe(flow, max(flow.left - len(message), 0))
        flow.message = None if flow.rest is None else next(flow.rest, None)
        flow.begun = flow.message is not None
        if flow.message is None:
            flow.rest = None
            self._owe(flow, 0)

    def _owe(self, flow: _Flow, left: int) -> None:
        self._left += left - flow.left
        flow.left = left

    def _peek(self, flow: _Flow) -> bytes | None:
        """The flow's next message, beginning another unit if the credit is not yet spoken for."""
        if flow.message is None:
            if self.credit_left <= 0:
                return None
            item = flow.source()
            if isinstance(item, Range):
                flow.unit = False
                flow.message = range_message(flow.channel, item, backfill=flow.backfill)
            elif item is not None:
                flow.unit = True
                packed = item.pack()
                size = backfill_fragment(self.fragment_bytes) if flow.backfill else self.fragment_bytes
                flow.rest = fragments(flow.channel, packed, size, backfill=flow.backfill)
                flow.message = next(flow.rest)
                self._owe(flow, len(packed))
        return flow.message
