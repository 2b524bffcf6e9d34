"""What is settled of one camera and what is not: seqs after the cursor in decode order, each waiting for its fate, and
the contiguous prefix of them that may be committed. Pure; which seqs there are is for `progress` to say.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import Position
from fishladder.wire.result import FrameResult

#: How long a settled seq without a result may wait for others to be committed with, in seconds.
LINGER_S = 0.05
#: Most results, and most slots, in one commit.
MAX_FRAMES = 128
MAX_SLOTS = 4096


@dataclass(slots=True)
class _Slot:
    """Seqs `first..last` of the epoch it stands in, one unless it is a declared range."""

    first: int
    last: int
    fate: Fate | None = None
    frame: FrameResult | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    """The epoch before ends here; `epoch` begins."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit says: everything after `start` up to `to`, or a step to the start of a later epoch."""

    start: Position
    to: Position
    runs: tuple[Run, ...] = ()
    frames: tuple[FrameResult, ...] = ()

    @property
    def counts(self) -> list[tuple[Fate, int]]:
        counts: Counter[Fate] = Counter()
        for run in self.runs:
            counts[run.fate] += run.length
        return sorted(counts.items())


class Slots:
    """`cursor` is what is committed, `tail` the last position that has a slot."""

    def __init__(self, cursor: Position) -> None:
        self.cursor = cursor
        self.tail = cursor
        self._slots: deque[_Slot | _Step] = deque()
        self._open: dict[Position, _Slot] = {}
        self._waits_since: float | None = None  # when the first slot was settled
        self.flying: Commit | None = None
        self._flying_slots = 0

    @property
    def open(self) -> int:
        """How many seqs wait for their fate."""
        return len(self._open)

    def add(self, epoch: int, seq: int) -> None:
        """The next unit; its fate follows."""
        assert (epoch, seq) == (self.tail.epoch, self.tail.seq + 1)
        self.tail = Position(epoch, seq)
        slot = _Slot(seq, seq)
        self._slots.append(slot)
        self._open[self.tail] = slot

    def add_range(self, last: int, fate: Fate, now: float) -> None:
        """The next seqs, up to `last`, have this fate."""
        assert last > self.tail.seq
        self._slots.append(_Slot(self.tail.seq + 1, last, fate))
        self.tail = Position(self.tail.epoch, last)
        self._note(now)

    def add_step(self, epoch: int, now: float) -> None:
        """The epoch of `tail` is over."""
        assert epoch > self.tail.epoch
        self._slots.append(_Step(epoch))
        self.tail = Position(epoch, 0)
        self._note(now)

    def settle(self, position: Position, fate: Fate, frame: FrameResult | None, now: float) -> None:
        """Note what became of a unit. A position that waits for nothing is a mistake of the caller."""
        slot = self._open.pop(position)
        slot.fate, slot.frame = fate, frame
        self._note(now)

    def _note(self, now: float) -> None:
        if self._waits_since is None and _settled(self._slots[0]):
            self._waits_since = now

    def due(self, now: float) -> float | None:
        """In how many seconds there is something to commit (0: now); None if nothing is settled or one is flying."""
        if self.flying or self._waits_since is None:
            return None
        if self._urgent():
            return 0.0
        return max(0.0, self._waits_since + LINGER_S - now)

    def _urgent(self) -> bool:
        """A result, or a new epoch, does not wait."""
        return any(isinstance(slot, _Step) or slot.frame is not None for slot in self._prefix())

    def _prefix(self) -> Iterator[_Slot | _Step]:
        for slot in self._slots:
            if not _settled(slot):
                return
            yield slot

    def take_commit(self) -> Commit | None:
        """What may be committed now. It flies until `landed`, and as long as nothing is known of it this gives the
        same again: only so can a commit whose reply was lost be told from somebody else's.
        """
        if self.flying or self._waits_since is None:
            return self.flying
        runs: list[Run] = []
        frames: list[FrameResult] = []
        to = self.cursor
        taken = 0
        for slot in self._prefix():
            if isinstance(slot, _Step):
                if not taken:
                    to, taken = Position(slot.epoch, 0), 1
                break
            if taken >= MAX_SLOTS or len(frames) >= MAX_FRAMES:
                break
            assert slot.fate is not None
            first = runs.pop().first if runs and runs[-1].fate is slot.fate else slot.first
            runs.append(Run(slot.fate, first, slot.last))
            if slot.frame is not None:
                frames.append(slot.frame)
            to = Position(to.epoch, slot.last)
            taken += 1
        self.flying = Commit(self.cursor, to, tuple(runs), tuple(frames))
        self._flying_slots = taken
        return self.flying

    def landed(self, now: float) -> None:
        """The flying commit is durable."""
        assert self.flying is not None
        self.cursor = self.flying.to
        self.flying = None
        for _ in range(self._flying_slots):
            self._slots.popleft()
        self._waits_since = now if self._slots and _settled(self._slots[0]) else None


def _settled(slot: _Slot | _Step) -> bool:
    return isinstance(slot, _Step) or slot.fate is not None
