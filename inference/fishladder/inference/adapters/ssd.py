"""SSD detectors that decode their boxes inside the graph and leave suppression to us, such as our `ssdlite-person`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fishladder.inference.adapters.boxes import Boxes
from fishladder.inference.adapters.picture import Fit
from fishladder.inference.adapters.signature import Input, Signature


@dataclass(frozen=True, slots=True)
class Ssd:
    """Boxes are y1 x1 y2 x2 as fractions of the input; a box may score in several classes; pictures go in as uint8."""

    kind: ClassVar[str] = "ssd"
    expects: ClassVar[str] = "`boxes` [batch, anchors, 4] and `scores` [batch, anchors, classes], with a uint8 input"
    fit: ClassVar[Fit] = Fit.STRETCH

    feed: Input
    classes: int

    @property
    def outputs(self) -> list[str]:
        return ["boxes", "scores"]

    @classmethod
    def adapt(cls, signature: Signature, feed: Input) -> Self | None:
        shapes = {tensor.name: tensor.shape for tensor in signature.outputs}
        match shapes.get("boxes"), shapes.get("scores"), feed.dtype:
            case (_, int(boxes), 4), (_, int(scores), int(classes)), "uint8" if boxes == scores and classes > 0:
                return cls(feed, classes)
        return None

    def read(self, outputs: Sequence[NDArray[Any]], picture: int, score: float) -> Boxes:
        corners, scores = outputs[0][picture], outputs[1][picture]
        anchor, klass = np.nonzero(scores > score)
        y1x1y2x2 = corners[anchor].astype(np.float64)
        size = (self.feed.width, self.feed.height) * 2
        return Boxes(y1x1y2x2[:, [1, 0, 3, 2]] * size, scores[anchor, klass].astype(np.float64), klass)
