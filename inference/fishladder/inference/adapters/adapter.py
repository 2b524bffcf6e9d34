"""The Protocol of a detector adapter: one kind of model output. Adapters only read numbers; which one a model gets is
`adapters.choice`'s business, running the model `adapters.session`'s.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

from numpy.typing import NDArray

from fishladder.inference.adapters.boxes import Boxes
from fishladder.inference.adapters.picture import Fit
from fishladder.inference.adapters.signature import Input, Signature


class Adapter(Protocol):
    """Made for one model by `adapt`."""

    kind: ClassVar[str]  #: what the metadata entry `fishladder.adapter` says to choose it
    expects: ClassVar[str]  #: the outputs it reads, for error messages
    fit: ClassVar[Fit]  #: how pictures of another shape are usually fitted in training

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs to compute, in the order `read` takes them."""

    @property
    def classes(self) -> int:
        """How many classes the outputs have."""

    @classmethod
    def adapt(cls, signature: Signature, feed: Input) -> Self | None:
        """An adapter for this model, whose output shapes are known; None if they or its input are of another kind."""

    def read(self, outputs: Sequence[NDArray[Any]], picture: int, score: float) -> Boxes:
        """The boxes of picture `picture` of the batch that score more than `score`, in input pixels, not suppressed."""
