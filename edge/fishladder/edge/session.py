"""One camera's side of the uplink protocol: when to say hello, from where to send, what a refusal or a fence means.
Pure: messages and times go in, hellos, units and ranges come out. It outlives connections; the ring is its memory.
"""

import random
from enum import Enum

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.held import HeldRange, HeldUnit, is_deferred, range_of, unit_of
from fishladder.edge.memory import Earlier, Memory
from fishladder.edge.ring import Ring
from fishladder.runtime.lifecycle import Backoff
from fishladder.wire.fates import Fate
from fishladder.wire.messages import MAX_CLEAN_POINTS, CameraHello, CameraWelcome, Policy, Refusal
from fishladder.wire.unit import UNIT_HEADER_BYTES, Range, Unit

#: When to ask again after a refusal that does not say.
FORBIDDEN_RETRY_S = 60.0
SUPERSEDED_RETRY_S = 30.0
#: A fence this soon after the last one counts as the same trouble.
FENCE_CALM_S = 10.0


class State(Enum):
    WAITING = "waiting"  #: a hello is due at `hello_at_s`
    GREETED = "greeted"  #: a hello is out
    OPEN = "open"


class Session:
    """One camera on the uplink. Times in seconds on any one clock; `channel` names it in binary messages. With a
    `memory` it defers what the link does not carry in time; without, the ring is all there is.
    """

    dropped_as = Fate.SPOOL_FULL

    def __init__(self, camera: str, channel: int, ring: Ring, *, rng: random.Random | None = None) -> None:
        self.camera = camera
        self.channel = channel
        self.ring = ring
        self.memory: Memory | None = None
        self.introducing: Earlier | None = None
        self.epoch = 0
        self.state = State.WAITING
        self.hello_at_s = 0.0
        self.policy: Policy | None = None
        self.refusal: Refusal | None = None  #: the last answer, if it was one
        self.max_unit_bytes = 0
        #: The link is thin, and its camera makes less then and begins anew when asked: what has waited so long for the
        #: link is written to disk. None: it does not.
        self.late_us: int | None = None
        self.state_lost = 0
        self.oversized = 0  #: units over the gateway's limit, in all
        self.largest_bytes = 0  #: of those
        self._oversized_to = 0  # seq: what is sent again is not counted again
        self.abandoned = 0  #: captured for earlier epochs, and given up before they were committed
        self._dropped_before = 0  # by rings of earlier epochs
        self._lost: Range | None = None
        self._fenced_at_s: float | None = None
        self._backoff = Backoff(0.2, 30.0, rng)

    # -- capture side

    @property
    def wants_keyframe(self) -> bool:
        return self.ring.wants_keyframe

    @property
    def position(self) -> int:
        return self.ring.position

    @property
    def pending(self) -> int:
        return self.ring.pending + self.backlog

    @property
    def backlog(self) -> int:
        """How many of them wait in the spool."""
        return self.memory.pending if self.memory is not None else 0

    @property
    def held_bytes(self) -> int:
        return self.ring.bytes

    @property
    def dropped(self) -> int:
        """Units dropped for lack of room, in all."""
        return self._dropped_before + self.ring.spool_full

    @property
    def is_open(self) -> bool:
        return self.state is State.OPEN

    def append_unit(self, unit: CapturedUnit, *, wall_us: int, ready_us: int) -> bool:
        kept = self.ring.append_unit(unit, wall_us=wall_us, ready_us=ready_us)
        if self.memory is not None:
            at = self.ring.position
            if kept:
                self.memory.keep(HeldUnit(at, unit, wall_us, ready_us))
            else:
                fate = Fate.SPOOL_FULL if unit.payload else Fate.ENCODER
                self.memory.keep(HeldRange(at, at, fate, unit.mono_us, wall_us))
        return kept

    def append_range(self, count: int, fate: Fate, *, mono_us: int, wall_us: int) -> None:
        self.ring.append_range(count, fate, mono_us=mono_us, wall_us=wall_us)
        if self.memory is not None:
            last = self.ring.position
            self.memory.keep(HeldRange(last - count + 1, last, fate, mono_us, wall_us))

    # -- hello

    def disconnected(self) -> None:
        """The connection is gone; on the next one a hello is due at once, or when a refusal said."""
        if self.state is not State.WAITING:
            self.state = State.WAITING
            self.hello_at_s = 0.0
        self._lost = None
        self.ring.disconnected()

    def hello_due(self, now_s: float) -> bool:
        return self.state is State.WAITING and now_s >= self.hello_at_s

    def unanswered_s(self, now_s: float) -> float:
        """For how long a hello has been out."""
        return now_s - self.hello_at_s if self.state is State.GREETED else 0.0

    def hello(self, now_s: float) -> CameraHello:
        """For this numbering, or first for an earlier one: `introducing` says which, and that has a boot of its own."""
        self.state = State.GREETED
        self.hello_at_s = now_s
        backfill = self.memory is not None
        self.introducing = self.memory.earlier() if self.memory is not None and not self.epoch else None
        if (it := self.introducing) is not None:
            return CameraHello(
                camera=self.camera,
                channel=self.channel,
                epoch=it.epoch,
                position=it.position,
                oldest=it.position + 1,
                backfill=backfill,
                spooled=True,
            )
        return CameraHello(
            camera=self.camera,
            channel=self.channel,
            epoch=self.epoch,
            position=self.ring.position,
            oldest=self.ring.oldest,
            clean=self.ring.clean_points(MAX_CLEAN_POINTS),
            backfill=backfill,
            spooled=self.memory is not None and self.memory.spooled,
        )

    def welcomed(self, welcome: CameraWelcome, *, max_unit_bytes: int = 0) -> str | None:
        """Begin at `welcome.next`. Returns why not, if that is impossible; the camera then starts afresh later."""
        if self.state is not State.GREETED:
            return None
        if self.introducing is not None:
            self._introduced(welcome.epoch)
            return None
        ring = self.ring
        if welcome.next > ring.position + 1 or welcome.committed > ring.position:
            return (
                f"the gateway expects seq {welcome.next} (committed {welcome.committed}) of {self.camera}, "
                f"which is captured only up to {ring.position}"
            )
        self.state = State.OPEN
        self.refusal = None
        if self.epoch != welcome.epoch:
            self.epoch = welcome.epoch
            if self.memory is not None:
                self.memory.granted(self.epoch)
        self.policy = welcome.policy
        self.max_unit_bytes = max_unit_bytes
        self._lost = None
        if welcome.next < ring.oldest:
            fate = Fate.STATE_LOST
            if self.memory is not None:  # some of it may be in the spool
                fate = Fate.DEFERRED
                self.memory.state_went_back(ring.oldest - 1)
                ring.went_without(ring.oldest)
            self._lost = Range(epoch=self.epoch, first=welcome.next, last=ring.oldest - 1, fate=fate)
            self.state_lost += ring.oldest - welcome.next
        ring.rewind(max(welcome.next, ring.oldest), anew=welcome.next <= welcome.committed + 1)
        if self.memory is not None and self.memory.may_be_deferred(ring.picture_before(ring.next)):
            ring.went_without(ring.next)
        ring.set_committed(welcome.committed)
        return None

    def refused(self, refusal: Refusal, now_s: float) -> None:
        if self.introducing is not None and refusal.code == "superseded":  # it knows as much, or of later ones
            self._introduced(0)
            return
        if refusal.code == "superseded" and refusal.retry_s is not None:
            self._number_anew(now_s + refusal.retry_s)
            return
        if refusal.code == "superseded":
            self.start_afresh(now_s)
            return
        self.state = State.WAITING
        self.refusal = refusal
        if refusal.retry_s is not None:
            delay_s = max(refusal.retry_s, 0.1)
        elif refusal.code in ("forbidden", "invalid"):
            delay_s = FORBIDDEN_RETRY_S
        else:
            delay_s = self._backoff.next()
        self.hello_at_s = now_s + delay_s

    def start_afresh(self, now_s: float) -> None:
        """Somebody else has the camera, or nobody knows what we know: forget all, claim it anew after a while.

        What is not committed is then declared by the gateway, for the epoch that ends here.
        """
        self.abandoned += self.ring.pending
        self._begin_anew(now_s + SUPERSEDED_RETRY_S)

    def _number_anew(self, hello_at_s: float) -> None:
        """The stack has seen more of this epoch than we remember: what is not sent goes on under another."""
        unsent = [held for held in self.ring.unsent() if not is_deferred(held)]
        self._begin_anew(hello_at_s)
        for held in unsent:
            if isinstance(held, HeldUnit):
                self.append_unit(held.unit, wall_us=held.wall_us, ready_us=held.ready_us)
            else:
                count = held.last - held.first + 1
                self.append_range(count, held.fate, mono_us=held.mono_us, wall_us=held.wall_us)

    def _begin_anew(self, hello_at_s: float) -> None:
        ring = self.ring
        self._dropped_before += ring.spool_full
        self.ring = Ring(ring.limit_bytes, replay_bytes=ring.replay_bytes, replay_us=ring.replay_us)
        self.ring.wants_keyframe = True
        self._oversized_to = 0
        self.epoch = 0
        self._lost = None
        self.state = State.WAITING
        self.hello_at_s = hello_at_s
        if self.memory is not None:
            self.memory.begins_anew()

    def _introduced(self, epoch: int) -> None:
        assert self.memory is not None
        self.introducing = None
        self.memory.introduced(epoch)
        self.state = State.WAITING
        self.hello_at_s = 0.0

    def fenced(self, now_s: float) -> None:
        """Say hello again: at once, but more and more slowly if that keeps ending here.

        While a hello is out, this is its answer: the gateway opened the camera elsewhere before it could welcome us.
        """
        if self.state is State.WAITING:
            return
        again = self._fenced_at_s is not None and now_s - self._fenced_at_s < FENCE_CALM_S
        if not again:
            self._backoff.reset()
        self._fenced_at_s = now_s
        self.state = State.WAITING
        self.hello_at_s = now_s + (self._backoff.next() if again else 0.0)
        self._lost = None
        self.ring.disconnected()

    def acknowledged(self, logged: int, committed: int) -> None:
        if self.state is State.OPEN:
            self.ring.acknowledge(logged, committed)

    # -- what to send

    @property
    def has_more(self) -> bool:
        """Whether there may be something to `take`; cheap."""
        return self.ring.next <= self.ring.position or self._lost is not None

    def take(self, now_us: int, offset_us: int | None, *, flush: bool = False) -> Unit | Range | None:
        """What to send next; it counts as sent. `offset_us` turns our monotonic clock into the gateway's."""
        if self.state is not State.OPEN:
            return None
        if self._lost is not None:
            lost, self._lost = self._lost, None
            return lost
        if self.memory is not None and self.ring.bytes > self.ring.limit_bytes // 2 and self.ring.uncommitted_full:
            return None  # what is sent has to be kept until it is committed; the rest goes to the spool meanwhile
        first = self.ring.next
        held = self.ring.take(now_us, flush=flush)
        if isinstance(held, HeldRange):
            return self._range(first, held, offset_us)
        if isinstance(held, HeldUnit):
            return self._unit(held, offset_us)
        return None

    def _range(self, first: int, held: HeldRange, offset_us: int | None) -> Range:
        offset = None if offset_us is None else held.mono_us + offset_us - held.wall_us
        return range_of(held, self.epoch, first, held.last, held.fate, offset)

    def _unit(self, held: HeldUnit, offset_us: int | None) -> Unit | Range:
        offset = None if offset_us is None else held.unit.mono_us + offset_us - held.wall_us
        if not self.fits(held):
            return range_of(held, self.epoch, held.first, held.first, Fate.ENCODER, offset)
        return unit_of(held, self.epoch, offset)

    def fits(self, held: HeldUnit) -> bool:
        """Whether the gateway takes a unit of this size; counts those it does not, each once."""
        size = UNIT_HEADER_BYTES + len(held.unit.payload)
        if not self.max_unit_bytes or size <= self.max_unit_bytes:
            return True
        if held.first > self._oversized_to:
            self._oversized_to = held.first
            self.oversized += 1
            self.largest_bytes = max(self.largest_bytes, size)
        return False
