"""When pictures go to the model together, and whose unit is decoded next. Pure: a batch is full or its oldest picture
has waited long enough; turns are shared by the compute time each camera took, so that a busy one starves nobody.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Batcher(Generic[T]):
    """Collects up to `size` items; `wait_s` is how long the first may wait for others. Times are monotonic seconds."""

    def __init__(self, size: int, wait_s: float) -> None:
        assert size >= 1
        self.size = size
        self.wait_s = wait_s
        self._items: deque[T] = deque()
        self._first_at = 0.0

    def __len__(self) -> int:
        return len(self._items)

    def holds(self, which: Callable[[T], bool]) -> bool:
        return any(map(which, self._items))

    def add(self, item: T, now: float) -> None:
        """Items come in the order in which their turns came."""
        if not self._items:
            self._first_at = now
        self._items.append(item)

    def wait(self, now: float) -> float | None:
        """Seconds until a batch is due: 0 if it is, None if there is nothing."""
        if not self._items:
            return None
        if len(self._items) >= self.size:
            return 0.0
        return max(0.0, self._first_at + self.wait_s - now)

    def take(self, now: float) -> list[T]:
        """The oldest items, `size` at most."""
        taken = [self._items.popleft() for _ in range(min(self.size, len(self._items)))]
        self._first_at = now
        return taken


class Participant(Protocol):
    """Somebody who takes turns. `spent` is virtual compute time, kept by `Turns`."""

    spent: float
    weight: float


L = TypeVar("L", bound=Participant)


class Turns(Generic[L]):
    """Start-time fair queueing: next is who has spent least; who comes back from a pause is owed nothing for it."""

    def __init__(self) -> None:
        self._now = 0.0

    def pick(self, waiting: Iterable[L]) -> L | None:
        """Whose turn it is among those that have something to do."""
        chosen = min(waiting, key=lambda one: one.spent, default=None)
        if chosen is not None:
            self._now = max(self._now, chosen.spent)
        return chosen

    def enter(self, one: L) -> None:
        """Somebody has something to do again."""
        one.spent = max(one.spent, self._now)

    def charge(self, one: L, seconds: float) -> None:
        """Somebody took that much compute time."""
        one.spent += seconds / max(one.weight, 0.01)
