"""Suppression, as properties."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fishladder.inference.adapters.boxes import MAX_CANDIDATES, MAX_DETECTIONS, Boxes, overlap, suppress

coordinate = st.integers(-4, 20)
box = st.tuples(coordinate, coordinate, coordinate, coordinate, st.integers(1, 99), st.integers(0, 2))


def make(rows: list[tuple[int, ...]]) -> Boxes:
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Boxes(table[:, :4], table[:, 4] / 100, table[:, 5].astype(np.int64))


def as_set(boxes: Boxes) -> set[tuple[float, ...]]:
    rows = zip(boxes.corners.tolist(), boxes.scores.tolist(), boxes.classes.tolist(), strict=True)
    return {(*corners, score, klass) for corners, score, klass in rows}


@given(st.lists(box, max_size=40), st.sampled_from([0.1, 0.5, 0.9]))
def test_what_is_kept_and_what_goes(rows: list[tuple[int, ...]], iou: float) -> None:
    """The kept are some of the given, best first, none twice; each that goes is empty or overlaps a better one."""
    boxes = make(rows)
    kept = suppress(boxes, iou)
    assert as_set(kept) <= as_set(boxes)
    assert (np.diff(kept.scores) <= 0).all()
    for index in range(len(kept.scores)):
        others = kept.take(np.arange(len(kept.scores)) > index)
        same = others.classes == kept.classes[index]
        assert (overlap(kept.corners[index], others.corners[same]) <= iou).all()
    for corners, score, klass in zip(*boxes, strict=True):
        empty = corners[2] <= corners[0] or corners[3] <= corners[1]
        rivals = kept.take((kept.classes == klass) & (kept.scores >= score))
        beaten = (overlap(corners, rivals.corners) > iou).any()
        assert (*corners, score, klass) in as_set(kept) or empty or beaten


@given(st.lists(box, max_size=30))
def test_suppressing_again_changes_nothing(rows: list[tuple[int, ...]]) -> None:
    once = suppress(make(rows), 0.5)
    twice = suppress(once, 0.5)
    assert all(np.array_equal(a, b) for a, b in zip(once, twice, strict=True))


@given(st.lists(box, max_size=30, unique_by=lambda row: row[4]), st.randoms(use_true_random=False))
def test_the_order_given_does_not_matter(rows: list[tuple[int, ...]], random: np.random.Generator) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    first, second = suppress(make(rows), 0.5), suppress(make(shuffled), 0.5)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@given(st.lists(box, max_size=30), st.integers(0, 2))
def test_classes_do_not_disturb_each_other(rows: list[tuple[int, ...]], klass: int) -> None:
    together = suppress(make(rows), 0.5)
    alone = suppress(make([row for row in rows if row[5] == klass]), 0.5)
    assert as_set(together.take(together.classes == klass)) == as_set(alone)


def test_numbers_that_are_none_never_come_out() -> None:
    corners = np.array([(0, 0, 9, 9), (0, 0, np.nan, 9), (20, 20, np.inf, 30), (40, 40, 50, 50)], np.float64)
    kept = suppress(Boxes(corners, np.array([0.5, 0.9, 0.8, np.nan]), np.zeros(4, np.int64)), 0.5)
    assert kept.corners.tolist() == [[0, 0, 9, 9]]


def test_the_number_of_boxes_is_bounded() -> None:
    """A model gone mad, with thousands of boxes that do not overlap, gives a bounded result."""
    count = 5 * MAX_CANDIDATES
    left = np.arange(count, dtype=np.float64) * 10
    corners = np.stack([left, np.zeros(count), left + 5, np.full(count, 5.0)], axis=1)
    scores = np.linspace(0.5, 0.9, count)
    kept = suppress(Boxes(corners, scores, np.zeros(count, np.int64)), 0.5)
    assert len(kept.scores) == MAX_DETECTIONS
    assert kept.scores[0] == 0.9
