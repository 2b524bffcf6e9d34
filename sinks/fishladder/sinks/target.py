"""What a sink delivers to, whatever its kind."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from fishladder.view.commits import Commit
from fishladder.wire.errors import FishladderError


class DeliveryFailed(FishladderError):
    """It did not take what it was given; the message says why, and is safe to show."""


class Delivery(Protocol):
    """Returns once all of it has been taken. Raises `DeliveryFailed`; all of it is then given again."""

    async def __call__(self, batch: Sequence[Commit]) -> None: ...


class Target(Protocol):
    kind: str
    to: str  #: where, for people; no secrets

    def open(self) -> AbstractAsyncContextManager[Delivery]:
        """Connect. Raises `DeliveryFailed`."""
