"""One camera's backfill from the agent's side: what the stack says is open is read from the spool, a segment at a time,
and sent again until it is settled. Pure: what to read, what to send and what may be forgotten; nothing is remembered of
the way, so after any trouble it begins again at the lowest seq that is open.
"""

from collections import deque
from typing import NamedTuple

from fishladder.edge.held import HeldRange, HeldUnit, range_of, unit_of
from fishladder.edge.spool.store import Reading, Stored
from fishladder.wire.fates import Fate
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.messages import Open
from fishladder.wire.open_set import OpenRange
from fishladder.wire.unit import NO_FLAGS, RANGE_BYTES, UNIT_HEADER_BYTES, Flag, Range, Unit

#: Sent and not settled, and read and not sent, at most.
WINDOW_BYTES = 2 << 20
AHEAD_BYTES = 512 << 10
#: All was sent and nothing was settled for so long: it is sent again, then after twice as long, and so on.
AGAIN_S, AGAIN_MOST_S = 15.0, 300.0
#: An entry's age by a wall clock is believed up to this.
_BELIEVED_US = 90 * 86_400 * 1_000_000


class Want(NamedTuple):
    """Read `at.seq..last` of an epoch; `context`: from the clean point before it on. From `first` on it is open."""

    at: Position
    last: int
    context: bool
    first: int


class Now(NamedTuple):
    """Our clocks, and what turns the monotonic one into the gateway's, None = not known. In microseconds."""

    mono_us: int
    wall_us: int
    offset_us: int | None


class _Piece(NamedTuple):
    """Seqs `first..last` of an entry, or `context`; without an entry, `fate` says why it is not here."""

    epoch: int
    first: int
    last: int
    stored: Stored | None
    context: bool = False
    fate: Fate = Fate.SPOOL_LOST

    @property
    def size(self) -> int:
        held = None if self.stored is None else self.stored.held
        return UNIT_HEADER_BYTES + len(held.unit.payload) if isinstance(held, HeldUnit) else RANGE_BYTES


class Drain:
    """Times in seconds on one clock. `most_unit_bytes` is what the gateway takes of one unit, 0 = anything."""

    def __init__(self) -> None:
        self.most_unit_bytes = 0
        self.state_lost_to = ORIGIN  #: what was settled before the stack's state went back
        self.sent_to = ORIGIN  #: what is on its way: nothing up to here may be touched
        self._open: tuple[OpenRange, ...] = ()
        self._more = False
        self._cursor = ORIGIN
        self._at: Position | None = None  # what is read next; None = the lowest that is open
        self._segment = ORIGIN  # the first open position of what is being read
        self._reading = False
        self._queue: deque[_Piece] = deque()
        self._queued_bytes = 0
        self._sent: deque[tuple[Position, int]] = deque()  # and not known to be settled
        self._sent_bytes = 0
        self._news_s = 0.0
        self._patience_s = AGAIN_S

    @property
    def pending(self) -> int:
        """Seqs known to be open."""
        return sum(it.length for it in self._open)

    def settled_at(self, deferred_to: Position) -> bool:
        """Nothing is open, with the live lane past what was deferred last."""
        return not self._open and self._cursor >= deferred_to

    @property
    def ready(self) -> bool:
        """Whether there is something to `take`; cheap."""
        return bool(self._queue) and self._sent_bytes < WINDOW_BYTES

    def begin(self) -> None:
        """A new session: what was on its way is not, and nothing is asked for before it says so."""
        self._open, self._more = (), False
        self._begin_again()

    def told(self, message: Open, now_s: float) -> Position:
        """What is open now; before the position returned all is settled."""
        before, self._open = self._open, tuple(OpenRange(*it) for it in message.ranges)
        self._more = message.more
        self._cursor = Position(*message.cursor)
        if before != self._open:
            self._news_s, self._patience_s = now_s, AGAIN_S
        lowest = self._lowest()
        while self._sent and self._sent[0][0] < lowest:
            self._sent_bytes -= self._sent.popleft()[1]
        if not self._open:
            self._begin_again()
        return lowest

    def want(self, now_s: float) -> Want | None:
        """What to read now. `fed` has to follow."""
        if self._reading or not self._open or self._queued_bytes >= AHEAD_BYTES or self._sent_bytes >= WINDOW_BYTES:
            return None
        at = self._at
        wanted = self._open[0] if at is None else self._open_from(max(at, self._segment))
        if wanted is None:  # all of it is sent
            if not self._queue and now_s - self._news_s >= self._patience_s:
                self._news_s, self._patience_s = now_s, min(self._patience_s * 2, AGAIN_MOST_S)
                self._begin_again()
            return None
        self._reading = True
        first = Position(wanted.epoch, wanted.first)
        if at is not None and at > first:
            return Want(at, wanted.last, False, at.seq)
        if at is not None and self._segment == first and at.epoch == first.epoch:  # not through with its context
            return Want(at, wanted.last, False, first.seq)
        self._segment = first
        return Want(first, wanted.last, True, first.seq)

    def fed(self, want: Want, reading: Reading | None) -> None:
        """What was found of it; None = it could not be read now. Too late if a new session has begun."""
        if not self._reading:
            return
        self._reading = False
        if reading is None:
            return
        epoch, at = want.at.epoch, want.first
        for stored in reading.entries:
            held = stored.held
            if held.last < at:
                if isinstance(held, HeldUnit) and held.last < want.first:
                    self._add(_Piece(epoch, held.first, held.last, stored, context=True))
                continue
            if held.first > at:
                self._miss(epoch, at, held.first - 1)
            first, last = max(held.first, at), min(held.last, want.last)
            self._add(_Piece(epoch, first, last, stored))
            at = last + 1
        if reading.done and at <= want.last:
            self._miss(epoch, at, want.last)
            at = want.last + 1
        only_context = at == want.first and reading.entries and reading.entries[-1].held.last < want.first
        self._at = Position(epoch, reading.entries[-1].held.last + 1 if only_context else at)

    def take(self, now: Now) -> Unit | Range | None:
        """What to send next; it counts as sent."""
        if not self.ready:
            return None
        piece = self._queue.popleft()
        self._queued_bytes -= piece.size
        position = Position(piece.epoch, piece.last)
        self._sent.append((position, piece.size))
        self._sent_bytes += piece.size
        self.sent_to = max(self.sent_to, position)
        if piece.stored is None:
            return Range(epoch=piece.epoch, first=piece.first, last=piece.last, fate=piece.fate)
        held, offset_us = piece.stored.held, _offset(piece.stored, now)
        if isinstance(held, HeldRange):
            return range_of(held, piece.epoch, piece.first, piece.last, held.fate, offset_us)
        if self.most_unit_bytes and piece.size > self.most_unit_bytes:
            return range_of(held, piece.epoch, piece.first, piece.last, Fate.ENCODER, offset_us)
        return unit_of(held, piece.epoch, offset_us, Flag.CONTEXT if piece.context else NO_FLAGS)

    def _lowest(self) -> Position:
        """Everything before it is settled."""
        if self._open:
            return Position(self._open[0].epoch, self._open[0].first)
        return Position(self._cursor.epoch, self._cursor.seq + 1)

    def _open_from(self, at: Position) -> OpenRange | None:
        """The open range a position is in, or the one after it."""
        return next((it for it in self._open if (it.epoch, it.last) >= at), None)

    def _add(self, piece: _Piece) -> None:
        self._queue.append(piece)
        self._queued_bytes += piece.size

    def _miss(self, epoch: int, first: int, last: int) -> None:
        """Declare what is not here: it was settled before the state store went back, or the disk lost it."""
        end = last
        if (epoch, first) <= self.state_lost_to:
            end = last if epoch < self.state_lost_to.epoch else min(last, self.state_lost_to.seq)
            self._add(_Piece(epoch, first, end, None, fate=Fate.STATE_LOST))
            first = end + 1
        if first <= last:
            self._add(_Piece(epoch, first, last, None))

    def _begin_again(self) -> None:
        self._at, self._segment = None, ORIGIN
        self._reading = False
        self._queue.clear()
        self._sent.clear()
        self._queued_bytes = self._sent_bytes = 0
        self.sent_to = ORIGIN


def _offset(stored: Stored, now: Now) -> int | None:
    """Add it to our wall clock at capture for the gateway's; None if that cannot be known. Over a restart of the host
    only our wall clock tells how long ago that was, and it may have been set meanwhile.
    """
    if now.offset_us is None:
        return None
    held = stored.held
    if stored.same_host:
        return (held.unit.mono_us if isinstance(held, HeldUnit) else held.mono_us) + now.offset_us - held.wall_us
    age_us = now.wall_us - held.wall_us
    return now.mono_us + now.offset_us - now.wall_us if 0 <= age_us <= _BELIEVED_US else None
