"""What the adapters read from model outputs, end to end through ONNX Runtime on tiny models with known answers."""

from pathlib import Path

import av
import numpy as np
import pytest
from onnx import TensorProto
from support.onnx_models import constant_model

from fishladder.inference.model import load_detector
from fishladder.wire.result import Detection

NAMES = {"names": "{0: 'cat', 1: 'dog'}"}

#: Columns: cx, cy, w, h in pixels of a 64 x 64 input, then the scores of cat and dog.
ANCHORS = [
    (32, 32, 16, 8, 0.9, 0.1),
    (33, 32, 16, 8, 0.8, 0.1),  # the same cat
    (33, 32, 16, 8, 0.1, 0.7),  # a dog in the same place
    (8, 40, 8, 8, 0.2, 0.6),
    (50, 20, 8, 8, 0.3, 0.2),  # below the threshold
    (32, 4, 10, 4, 0.99, 0.0),  # in the grey above a wide picture
]
YOLO = {"output0": np.array(ANCHORS, np.float32).T}


def picture(width: int, height: int) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((height, width, 3), 50, np.uint8), format="rgb24")


def test_yolov8_letterboxed(tmp_path: Path) -> None:
    """A 200 x 100 picture lies in rows 16..48 of the input; boxes come out as fractions of the picture."""
    detector = load_detector(constant_model(tmp_path / "yolo.onnx", YOLO, metadata=NAMES), provider="cpu")
    found = detector.infer([detector.prepare(picture(200, 100))] * 2)
    assert found[0] == found[1]
    assert found[0] == [
        Detection("cat", 0.9, 24 / 64, (28 - 16) / 32, 40 / 64, (36 - 16) / 32),
        Detection("dog", 0.7, round(25 / 64, 5), (28 - 16) / 32, round(41 / 64, 5), (36 - 16) / 32),
        Detection("dog", 0.6, 4 / 64, (36 - 16) / 32, 12 / 64, (44 - 16) / 32),
    ]


def test_yolov8_stretched_by_metadata(tmp_path: Path) -> None:
    metadata = {**NAMES, "fishladder.fit": "stretch"}
    detector = load_detector(constant_model(tmp_path / "yolo.onnx", YOLO, metadata=metadata), provider="cpu")
    (found,) = detector.infer([detector.prepare(picture(200, 100))])
    assert [(one.label, one.score) for one in found] == [("cat", 0.99), ("cat", 0.9), ("dog", 0.7), ("dog", 0.6)]
    assert (found[1].y1, found[1].y2) == (28 / 64, 36 / 64)


def test_boxes_are_cut_off_at_the_edges_of_the_picture(tmp_path: Path) -> None:
    outputs = {"output0": np.array([(0, 32, 32, 96, 0.9)], np.float32).T}
    path = constant_model(tmp_path / "edge.onnx", outputs, metadata={"names": '["cow"]'})
    detector = load_detector(path, provider="cpu")
    (found,) = detector.infer([detector.prepare(picture(64, 64))])
    assert found == [Detection("cow", 0.9, 0.0, 0.0, 0.25, 1.0)]


def test_outputs_of_undeclared_size_are_measured(tmp_path: Path) -> None:
    """As Ultralytics exports with open shapes: the size is in `imgsz`, the rest shows when the model is run."""
    path = constant_model(
        tmp_path / "dynamic.onnx",
        YOLO,
        input_shape=("batch", 3, "height", "width"),
        declared={"output0": ("batch", "rows", "anchors")},
        metadata={**NAMES, "imgsz": "[32, 64]", "task": "detect"},
    )
    detector = load_detector(path, provider="cpu")
    assert detector.input_size == (32, 64)
    (found,) = detector.infer([detector.prepare(picture(640, 320))])
    assert [one.score for one in found] == [0.99, 0.9, 0.7]  # the fourth is below such an input


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (("batch", 3, 64, 64), TensorProto.FLOAT16),
        (("batch", 64, 64, 3), TensorProto.FLOAT),
        ((1, 3, 64, 64), TensorProto.FLOAT),
        (("batch", 3, 64, 64), TensorProto.UINT8),
    ],
)
def test_any_layout_of_the_input(tmp_path: Path, shape: tuple[int | str, ...], kind: int) -> None:
    path = constant_model(tmp_path / "yolo.onnx", YOLO, input_shape=shape, input_type=kind, metadata=NAMES)
    detector = load_detector(path, provider="cpu")
    assert len(detector.infer([detector.prepare(picture(64, 64))] * 3)[2]) == 4


def test_ssd_by_its_outputs_alone(tmp_path: Path) -> None:
    """y1 x1 y2 x2 as fractions of the input, stretched; one anchor may be both a cat and a dog."""
    outputs = {
        "boxes": np.array([(0.1, 0.2, 0.5, 0.4), (0.11, 0.2, 0.5, 0.4), (0.6, 0.6, 0.9, 1.2)], np.float32),
        "scores": np.array([(0.9, 0.5), (0.8, 0.1), (0.0, 0.7)], np.float32),
    }
    shape = ("batch", 30, 40, 3)
    path = constant_model(
        tmp_path / "ssd.onnx", outputs, input_shape=shape, input_type=TensorProto.UINT8, metadata=NAMES
    )
    detector = load_detector(path, provider="cpu")
    assert detector.input_size == (30, 40)
    (found,) = detector.infer([detector.prepare(picture(123, 77))])
    assert found == [
        Detection("cat", 0.9, 0.2, 0.1, 0.4, 0.5),
        Detection("dog", 0.7, 0.6, 0.6, 1.0, 0.9),
        Detection("dog", 0.5, 0.2, 0.1, 0.4, 0.5),
    ]
