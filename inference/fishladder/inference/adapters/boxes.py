"""Candidate boxes of one picture, and the suppression of those that show the same thing twice. Pure; which candidates
there are is an adapter's business.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_CANDIDATES = 1000  #: the best are kept before suppression, whose work grows with their square
MAX_DETECTIONS = 300  #: per picture


class Boxes(NamedTuple):
    """`corners` [boxes, 4] are x1 y1 x2 y2 in pixels of the model's input; `scores` and `classes` are [boxes]."""

    corners: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Boxes":
        return Boxes(self.corners[index], self.scores[index], self.classes[index])


def overlap(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of one box with each of the others; 0 where both are empty."""
    least = np.maximum(box[:2], others[:, :2])
    most = np.minimum(box[2:], others[:, 2:])
    inside = np.prod(np.clip(most - least, 0, None), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - inside
    ratio: NDArray[np.float64] = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
    return ratio


def suppress(boxes: Boxes, iou: float) -> Boxes:
    """Greedy non-maximum suppression within each class, best score first; equal scores in the order given.

    Boxes that are empty, or have a number that is none, never come out.
    """
    corners = boxes.corners
    sound = np.isfinite(corners).all(axis=1) & np.isfinite(boxes.scores) & (corners[:, 2:] > corners[:, :2]).all(axis=1)
    boxes = boxes.take(sound)
    waiting = np.argsort(-boxes.scores, kind="stable")[:MAX_CANDIDATES]
    kept: list[int] = []
    while len(waiting) and len(kept) < MAX_DETECTIONS:
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        same = boxes.classes[waiting] == boxes.classes[best]
        waiting = waiting[~(same & (overlap(boxes.corners[best], boxes.corners[waiting]) > iou))]
    return boxes.take(np.array(kept, np.intp))
