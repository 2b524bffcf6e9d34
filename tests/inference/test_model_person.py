"""The default model on real footage: people are found where they are, and a picture gives the same in any company."""

from functools import cache

import av
import numpy as np
import pytest

from fishladder.inference.assets import fetch
from fishladder.inference.model import Detector, load_detector

pytestmark = pytest.mark.timeout(600)  # the first run fetches the model and the clip

#: Frames of the clip, and how many people a viewer counts who are neither hidden nor cut off.
PEOPLE = {80: 5, 200: 6, 240: 6, 280: 6}


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector(fetch("ssdlite-person"), provider="cpu")


@cache
def frames() -> dict[int, av.VideoFrame]:
    wanted = {*PEOPLE, 81, 82, 83}
    with av.open(str(fetch("vtest"))) as container:
        decoded = zip(range(max(wanted) + 1), container.decode(video=0), strict=False)
        return {index: frame for index, frame in decoded if index in wanted}


@pytest.mark.parametrize("index", PEOPLE)
def test_people_are_found(detector: Detector, index: int) -> None:
    frame = frames()[index]
    (found,) = detector.infer([detector.prepare(frame)])
    assert 3 <= len(found) <= PEOPLE[index] + 1
    assert found == sorted(found, key=lambda one: -one.score)
    for one in found:
        assert one.label == "person"
        assert 0.4 < one.score <= 1
        assert 0 <= one.x1 < one.x2 <= 1
        assert 0 <= one.y1 < one.y2 <= 1
        width, height = (one.x2 - one.x1) * frame.width, (one.y2 - one.y1) * frame.height
        assert 15 < width < 90, "nobody in this clip is narrower or wider"
        assert 1.3 < height / width < 5, "people in this clip stand or walk"


def test_they_walk_on_from_frame_to_frame(detector: Detector) -> None:
    """In a tenth of a second the best-seen person moves by less than a body's width."""
    tracks = [detector.infer([detector.prepare(frames()[index])])[0] for index in (80, 81, 82, 83)]
    best = tracks[0][0]
    for found in tracks[1:]:
        nearest = min(found, key=lambda one: abs(one.x1 - best.x1) + abs(one.y1 - best.y1))
        assert abs(nearest.x1 - best.x1) < best.x2 - best.x1
        assert abs(nearest.y1 - best.y1) < (best.y2 - best.y1) / 2
        best = nearest


def test_a_picture_gives_the_same_in_any_batch_and_process(detector: Detector) -> None:
    prepared = {index: detector.prepare(frame) for index, frame in frames().items()}
    alone = {index: detector.infer([one])[0] for index, one in prepared.items()}
    order = list(prepared)
    assert detector.infer([prepared[index] for index in order]) == [alone[index] for index in order]
    assert detector.infer([prepared[index] for index in order[::-1]]) == [alone[index] for index in order[::-1]]
    another = load_detector(fetch("ssdlite-person"), provider="cpu", threads=2)
    assert another.infer([prepared[order[0]]]) == [alone[order[0]]]
    assert detector.infer([]) == []


def test_nobody_is_seen_in_nothing(detector: Detector) -> None:
    grey = av.VideoFrame.from_ndarray(np.full((480, 640, 3), 90, np.uint8), format="rgb24")
    assert detector.infer([detector.prepare(grey)]) == [[]]


def test_the_score_asked_for_decides(detector: Detector) -> None:
    strict = load_detector(fetch("ssdlite-person"), provider="cpu", score=0.9)
    frame = frames()[200]
    (all_found,) = detector.infer([detector.prepare(frame)])
    (sure,) = strict.infer([strict.prepare(frame)])
    assert sure == [one for one in all_found if one.score > 0.9]
    assert 0 < len(sure) < len(all_found)


def test_results_name_the_model(detector: Detector) -> None:
    assert detector.model.name == "ssdlite-person"
    assert detector.model.sha256.startswith("5fef0d8d")
    assert (detector.provider, detector.input_size) == ("cpu", (300, 300))
