"""How much two sets of detections of one picture agree: boxes of a label are paired greedily by overlap."""

from collections.abc import Sequence
from typing import NamedTuple

from fishladder.wire.result import Detection

IOU = 0.5


class Counts(NamedTuple):
    """Found in both, only in the second, only in the first (the reference)."""

    both: int = 0
    extra: int = 0
    missed: int = 0

    def __add__(self, other: object) -> "Counts":
        assert isinstance(other, Counts)
        return Counts(self.both + other.both, self.extra + other.extra, self.missed + other.missed)

    @property
    def f1(self) -> float:
        """2 * both / (2 * both + extra + missed); 1 where neither has anything."""
        weight = 2 * self.both + self.extra + self.missed
        return 2 * self.both / weight if weight else 1.0


def compare(reference: Sequence[Detection], found: Sequence[Detection], iou: float = IOU) -> Counts:
    """Pairs with the largest overlap first, each box once, same label, overlap at least `iou`."""
    pairs = sorted(
        (
            (overlap(one, other), i, j)
            for i, one in enumerate(reference)
            for j, other in enumerate(found)
            if one.label == other.label
        ),
        reverse=True,
    )
    used_i: set[int] = set()
    used_j: set[int] = set()
    for value, i, j in pairs:
        if value >= iou and i not in used_i and j not in used_j:
            used_i.add(i)
            used_j.add(j)
    return Counts(len(used_i), len(found) - len(used_i), len(reference) - len(used_i))


def overlap(one: Detection, other: Detection) -> float:
    """Intersection over union."""
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    whole = (one.x2 - one.x1) * (one.y2 - one.y1) + (other.x2 - other.x1) * (other.y2 - other.y1) - shared
    return shared / whole
