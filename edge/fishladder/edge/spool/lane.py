"""What outlives the agent of one camera: the ring's journal in memory, the spool on disk, and what is asked for of it.
Whatever is called here by a session returns at once; what the disk has to do is left for the keeper.
"""

import secrets
from collections import deque
from collections.abc import Callable

from fishladder.edge.held import Held
from fishladder.edge.memory import Earlier
from fishladder.edge.session import Session
from fishladder.edge.spool.drain import Drain
from fishladder.edge.spool.journal import Journal
from fishladder.edge.spool.store import Life, SpoolStore
from fishladder.wire.ids import MAX_SEQ, ORIGIN, Position
from fishladder.wire.messages import Open


class Lane:
    """One camera's. `wake` is called when there is something to do for the keeper."""

    def __init__(self, session: Session, store: SpoolStore, journal: Journal | None, wake: Callable[[], None]) -> None:
        self.session = session
        self.store = store
        self.journal = journal
        self.drain = Drain()
        self.life = Life(_new_life(), 0, 0)
        self.deferred_to = 0  #: the last seq of this life that was declared as deferred
        self.forget_before = ORIGIN  #: all before it is settled
        self.put_again_s = 0.0  #: not before then
        self.refused_s: float | None = None  #: since when the disk takes nothing
        self.unread_s: float | None = None  #: since when what is asked for cannot be read
        self.grants: deque[Life] = deque()  #: to be written down
        self._wake = wake
        self._earlier: deque[Life] = deque()
        self._held_before = False  # earlier lives have something here
        self._spooled_to = 0  # by an earlier process, of the life that goes on

    def restore(self) -> None:
        """Go on from what an earlier process of this agent kept. Blocks; to be called before anything is captured."""
        session = self.session
        found = self.journal.recover() if self.journal is not None else None
        known = {it.id: it for it in self.store.lives}
        if found is not None and found.entries:
            before = known.get(found.life)
            epoch = found.epoch or (before.epoch if before is not None else 0)
            self.life = Life(found.life, epoch, found.entries[-1].last)
            session.epoch = epoch
            session.ring.restore(found.entries, committed=found.committed)
            session.ring.wants_keyframe = True
            self.deferred_to = found.entries[0].first - 1
            self._spooled_to = self.store.last(found.life)
        elif self.journal is not None:
            self.journal.begin(self.life.id, 0)
        session.memory = self
        self._earlier.extend(it for it in known.values() if it.id != self.life.id)
        # Of a file that cannot be opened now nobody knows what is in it.
        self._held_before = bool(self._earlier) or bool(self.store.database.failing)

    # -- what the session tells and asks

    @property
    def pending(self) -> int:
        return max(self.drain.pending, 0 if self.settled else 1)

    @property
    def settled(self) -> bool:
        """Nothing waits in the spool, as far as the stack has said so."""
        if not self.deferred_to and not self._held_before:
            return True
        return bool(self.session.epoch) and self.drain.settled_at(Position(self.session.epoch, self.deferred_to))

    @property
    def spooled(self) -> bool:
        return self._held_before

    def may_be_deferred(self, seq: int) -> bool:
        return 0 < seq <= self._spooled_to

    def keep(self, held: Held) -> None:
        if self.journal is not None:
            self.journal.append(held)

    def granted(self, epoch: int) -> None:
        self.life = Life(self.life.id, epoch, self.session.ring.position)
        if self.journal is not None:
            self.journal.granted(epoch)
        self.grants.append(self.life)
        self._wake()

    def begins_anew(self) -> None:
        self._held_before |= any(it.id == self.life.id for it in self.store.lives)
        self.life = Life(_new_life(), 0, 0)
        self.deferred_to = self._spooled_to = 0
        self.drain.begin()
        if self.journal is not None:
            self.journal.begin(self.life.id, 0)

    def state_went_back(self, last: int) -> None:
        self.drain.state_lost_to = max(self.drain.state_lost_to, Position(self.session.epoch, last))
        self.deferred_to = max(self.deferred_to, last)

    def earlier(self) -> Earlier | None:
        return Earlier(self._earlier[0].epoch, self._earlier[0].position) if self._earlier else None

    def introduced(self, epoch: int) -> None:
        life = self._earlier.popleft()
        if epoch and epoch != life.epoch:
            self.grants.append(Life(life.id, epoch, life.position))
            self._wake()

    # -- what the uplink tells and asks

    def begin(self) -> None:
        """A session is open: it will say what is wanted."""
        self.drain.begin()
        self.drain.most_unit_bytes = self.session.max_unit_bytes
        self._wake()

    def look(self) -> None:
        """What waits for the link may have waited too long."""
        self._wake()

    def opened(self, message: Open, now_s: float) -> None:
        self.forget_before = max(self.forget_before, self.drain.told(message, now_s))
        self._wake()


def _new_life() -> int:
    return secrets.randbelow(MAX_SEQ) + 1
