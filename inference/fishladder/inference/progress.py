"""One camera's way through its log, as a pure state machine: log entries go in, jobs for its decoder come out, fates
come back, and what may be committed follows. Reading, decoding, committing and trimming are done by others, who ask.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fishladder.inference.replay import Kept, Replay
from fishladder.inference.slots import Slots
from fishladder.wire.entry import EpochStart, LogEntry, LoggedUnit, Stamp
from fishladder.wire.fates import WERE_ENCODED, Fate
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.messages import Policy
from fishladder.wire.result import FrameResult
from fishladder.wire.sampling import chosen
from fishladder.wire.unit import Codec, Flag, Header, Range

#: After this time without a unit, in seconds, a decoder is emptied so that its last pictures settle...
IDLE_S = 1.0
#: ...or after this, if it could not be filled again from the log: then what follows may lack its references.
IDLE_COLD_S = 5.0


@dataclass(frozen=True, slots=True)
class Push:
    """Decode a unit. `context`: only for those after it. `wanted`: analyse its picture, unless it is shown later than
    `expires_us` (the gateway's clock, None = never). `read_us`: wall clock when it came out of the log.
    """

    header: Header
    stamp: Stamp
    data: memoryview
    context: bool
    wanted: bool
    read_us: int
    expires_us: int | None = None

    @property
    def size_bytes(self) -> int:
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Lose:
    """Units that later ones may refer to are gone."""

    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Restart:
    """Empty the decoder (what is in it settles) and begin with a new one."""

    keyframes_only: bool
    size_bytes: int = 0


Job = Push | Lose | Restart


class Unusable(Exception):
    """An entry that no gateway writes: the camera cannot go on. The message says which entry."""


class Progress:
    """`read_after` is the log id to read after. `lost`: the log does not reach back to what was read, so it has to be
    deleted for the agent to send again; nothing is taken until `found`. Times called `now` are monotonic seconds.
    """

    def __init__(self, camera: str, cursor: Position, policy: Policy, poison: Iterable[Position] = ()) -> None:
        self.camera = camera
        self.poison = set(poison)  #: units that are not to be decoded, whatever becomes of those after them
        self.policy = policy
        self.slots = Slots(cursor)
        self.replay = Replay()
        self.read_after = ORIGIN
        self.lost = False
        self._fed: Position | None = None  # the last position the decoder was given, or told to have lost
        self._cold = False  # the decoder was emptied: a unit that is no clean point needs those before it first
        self._shed = False  # the agent left units out; whether before or after encoding, the next one tells
        self._last_unit_at = 0.0
        self._spacing_s = 0.0

    @property
    def keyframes_only(self) -> bool:
        return self.policy.analyse == "keyframes"

    def begin(self) -> list[Job]:
        """What the decoder is told first."""
        return [Restart(self.keyframes_only)]

    def take(self, entries: Sequence[tuple[Position, LogEntry]], now: float, now_us: int) -> list[Job]:
        """Read some entries in the log's order; `now_us` is the wall clock. Stops early where `read_after` moves
        back, or the camera is `lost`. Raises `Unusable`.
        """
        jobs: list[Job] = []
        begin = self.slots.tail
        for entry_id, entry in entries:
            match entry:
                case EpochStart():
                    more = self._take_epoch(entry, now)
                case Range():
                    more = self._take_range(entry, now)
                case LoggedUnit():
                    if _is_clean(entry) and entry.position <= _after(begin):
                        jobs.clear()  # context that a decoder beginning here does not need
                    more = self._take_unit(entry, now, now_us)
            if more is None:
                break
            jobs += more
            self.read_after = entry_id
        return jobs

    def found(self) -> list[Job]:
        """The log was deleted, or mends itself: read on, from its start if the decoder lacks what came before."""
        self.lost = False
        if self._fed == self.slots.tail and not self._cold:
            self.read_after = self.slots.tail
            return []
        self.read_after = ORIGIN
        self._fed, self._cold = None, False
        return [Restart(self.keyframes_only)]

    def reached_by(self, entry: LogEntry | None, owner_at: Position | None) -> bool:
        """Whether a log whose first entry after `tail` is `entry` continues what was read. `owner_at`: the last
        position the log's owner has logged, None without an owner.
        """
        tail = self.slots.tail
        match entry:
            case None:
                return owner_at is None or owner_at <= tail
            case EpochStart():
                return entry.after <= tail
            case Range():
                return (entry.epoch, entry.first) <= _after(tail)
            case LoggedUnit():
                return entry.position <= _after(tail)

    def settle(self, position: Position, fate: Fate, frame: FrameResult | None, now: float) -> None:
        """What became of a unit that was pushed without `context`."""
        self.slots.settle(position, fate, frame, now)

    def set_policy(self, policy: Policy) -> list[Job]:
        """Another policy, for units read from now on. After a take-over it holds for units read before as well: what
        was not committed may be decided anew.
        """
        before, self.policy = self.policy, policy
        return [] if before.analyse == policy.analyse else self._empty_decoder()

    def idle(self, now: float) -> list[Job]:
        """To be asked while the decoder holds pictures back and has nothing to do: empty it if no unit comes."""
        patience_s = IDLE_S if self.replay.replayable else IDLE_COLD_S
        if now - self._last_unit_at < max(patience_s, min(3 * self._spacing_s, 10.0)):
            return []
        return self._empty_decoder()

    def _empty_decoder(self) -> list[Job]:
        self._fed, self._cold = None, True
        return [Restart(self.keyframes_only)]

    # Each returns the jobs that follow, or None if the entry cannot be taken now.

    def _take_epoch(self, entry: EpochStart, now: float) -> list[Job] | None:
        if entry.epoch <= self.slots.tail.epoch:
            return []
        if not self.reached_by(entry, None):
            self.lost = True
            return None
        self.slots.add_step(entry.epoch, now)
        self._fed, self._cold, self._shed = None, False, False
        return [Restart(self.keyframes_only)]

    def _take_range(self, entry: Range, now: float) -> list[Job] | None:
        if entry.epoch < self.slots.tail.epoch:
            return []
        if not self.reached_by(entry, None):
            self.lost = True
            return None
        if entry.last > self.slots.tail.seq:
            self.slots.add_range(entry.last, entry.fate, now)
        self._shed |= entry.fate is Fate.SHED
        return self._feed(entry.first, entry.last, broken=entry.fate in WERE_ENCODED)

    def _take_unit(self, entry: LoggedUnit, now: float, now_us: int) -> list[Job] | None:
        tail = self.slots.tail
        if entry.position.epoch < tail.epoch:
            return []
        if not self.reached_by(entry, None):
            self.lost = True
            return None
        head, context, poisonous = entry.header, entry.position <= tail, entry.position in self.poison
        clean = _is_clean(entry) and not poisonous
        if not context and not clean and self._cold and not self.keyframes_only:
            self.read_after = ORIGIN
            self._cold = False
            return None
        self.replay.add(
            Kept(
                entry.position,
                len(entry.data),
                entry.stamp.captured_us,
                clean,
                bool(head.flags & Flag.RECOVERY),
            )
        )
        if not context:
            self.slots.add(*entry.position)
            if poisonous:
                self.slots.settle(entry.position, Fate.UNDECODABLE, None, now)
            self._last_unit_at = now
            self._spacing_s = head.duration_us / 1e6
        if poisonous:
            return self._feed(head.seq, head.seq, broken=True)
        was_shed, self._shed = self._shed, False
        jobs = self._feed(head.seq, head.seq, broken=was_shed and not head.flags & Flag.SAMPLED)
        if clean:
            self._cold = False
            jobs.clear()
        jobs.append(self.push(entry, context=context, now_us=now_us))
        return jobs

    def push(self, entry: LoggedUnit, *, context: bool, now_us: int) -> Push:
        """The decoder's job for a unit, by the policy as it is."""
        expires_us = None
        if self.policy.policy == "fresh" and self.policy.deadline_ms is not None:
            expires_us = entry.stamp.captured_us + self.policy.deadline_ms * 1000
        wanted = not context and self._wanted(entry.header)
        return Push(entry.header, entry.stamp, entry.data, context, wanted, now_us, expires_us)

    def _wanted(self, head: Header) -> bool:
        if self.keyframes_only and head.codec is not Codec.JPEG:
            return True  # the decoder knows which are keyframes
        return bool(head.flags & Flag.SAMPLED) or chosen(head.pts_us, head.duration_us, self.policy.fps)

    def _feed(self, first: int, last: int, *, broken: bool) -> list[Job]:
        """The decoder comes to `first..last`; `broken` or a hole before it means that references are missing."""
        epoch = self.slots.tail.epoch
        hole = self._fed is not None and first > self._fed.seq + 1
        self._fed = max(self._fed or ORIGIN, Position(epoch, last))
        return [Lose()] if broken or hole else []


def _is_clean(entry: LoggedUnit) -> bool:
    return bool(entry.header.flags & Flag.CLEAN)


def _after(position: Position) -> Position:
    return Position(position.epoch, position.seq + 1)
