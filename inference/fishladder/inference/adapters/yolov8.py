"""Detectors with the raw output of YOLOv8 (also YOLOv9, YOLO11): a column for each anchor with its box and a score for
each class, suppression left to us.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fishladder.inference.adapters.boxes import Boxes
from fishladder.inference.adapters.picture import Fit
from fishladder.inference.adapters.signature import Input, Signature


@dataclass(frozen=True, slots=True)
class Yolov8:
    """Boxes are centre x, centre y, width, height in input pixels; a box counts for its best class only."""

    kind: ClassVar[str] = "yolov8"
    expects: ClassVar[str] = "a single [batch, 4 + classes, anchors]"
    fit: ClassVar[Fit] = Fit.LETTERBOX

    output: str
    classes: int

    @property
    def outputs(self) -> list[str]:
        return [self.output]

    @classmethod
    def adapt(cls, signature: Signature, feed: Input) -> Self | None:
        if signature.metadata.get("task", "detect") != "detect" or len(signature.outputs) != 1:
            return None
        (tensor,) = signature.outputs
        match tensor.shape:
            case (_, int(rows), int()) if rows > 4:
                return cls(tensor.name, rows - 4)
        return None

    def read(self, outputs: Sequence[NDArray[Any]], picture: int, score: float) -> Boxes:
        rows = outputs[0][picture]
        (anchor,) = np.nonzero(rows[4:].max(axis=0) > score)
        columns = rows[:, anchor].astype(np.float64)
        centre, half = columns[:2].T, columns[2:4].T / 2
        return Boxes(np.hstack([centre - half, centre + half]), columns[4:].max(axis=0), columns[4:].argmax(axis=0))
