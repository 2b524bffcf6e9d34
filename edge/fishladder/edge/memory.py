"""What a camera's session asks of a memory that outlives it: the spool and what is kept beside it. A session without
one has its ring alone.
"""

from typing import NamedTuple, Protocol

from fishladder.edge.held import Held


class Earlier(NamedTuple):
    """A numbering of before this start up to `position`, which the stack may not know; `epoch` 0 = not granted."""

    epoch: int
    position: int


class Memory(Protocol):
    """What outlives the session's process, in the spool and beside it."""

    @property
    def pending(self) -> int:
        """Seqs that were deferred and are not settled; at least 1 as long as that is not known."""

    @property
    def spooled(self) -> bool:
        """Whether units of earlier epochs are held."""

    def may_be_deferred(self, seq: int) -> bool:
        """Whether an earlier process may have declared it as deferred, though the ring does not know."""

    def keep(self, held: Held) -> None:
        """The ring has this as well now."""

    def granted(self, epoch: int) -> None:
        """The numbering of the ring belongs to this epoch."""

    def begins_anew(self) -> None:
        """Another numbering begins."""

    def state_went_back(self, last: int) -> None:
        """Seqs up to `last` were settled, and are to be again."""

    def earlier(self) -> Earlier | None:
        """What the stack has to be told of before it grants a new epoch."""

    def introduced(self, epoch: int) -> None:
        """It was told of it, and this is its epoch; 0 = it wants to know nothing of it."""
