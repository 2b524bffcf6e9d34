"""What is wrong with a model file is said in a line that names it, before anything runs."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from support.onnx_models import constant_model

from fishladder.inference.model import load_detector
from fishladder.wire.errors import ModelError

YOLO = {"output0": np.zeros((6, 10), np.float32)}
NAMES = {"names": "{0: 'cat', 1: 'dog'}"}


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: No such file"):
        load_detector(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"hello, I am a text file\n" * 50, b"\x08\x09" * 7])
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx.* ONNX file") as failure:
        load_detector(path)
    assert "\n" not in str(failure.value)


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not an ONNX file"):
        load_detector(tmp_path)


def test_half_a_model(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "half.onnx", YOLO, metadata=NAMES)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelError, match=r"half\.onnx"):
        load_detector(path)


def test_a_provider_that_is_not_here_lists_those_that_are(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "yolo.onnx", YOLO, metadata=NAMES)
    with pytest.raises(ModelError, match=r"provider tensorrt is not in this build of onnxruntime, which has .*cpu"):
        load_detector(path, provider="tensorrt")
    with pytest.raises(ModelError, match=r"'gpu': there are auto, cpu, cuda"):
        load_detector(path, provider="gpu")
    assert load_detector(path, provider="auto").provider == "cpu"


def test_outputs_nobody_can_read_are_shown_beside_what_was_expected(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "odd.onnx", {"a": np.zeros((6, 2)), "b": np.zeros(7)}, metadata=NAMES)
    with pytest.raises(ModelError) as failure:
        load_detector(path)
    said = str(failure.value)
    for part in ("odd.onnx", "a float [1, 6, 2]", "b float [1, 7]", "ssd: `boxes`", "yolov8: a single [batch, 4 + cl"):
        assert part in said


def test_a_model_for_another_task(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "pose.onnx", YOLO, metadata={**NAMES, "task": "pose"})
    with pytest.raises(ModelError, match=r"made for task 'pose'"):
        load_detector(path)


@pytest.mark.parametrize(
    ("shape", "kind", "why"),
    [
        (("batch", 3, "height", "width"), TensorProto.FLOAT, "no fixed height and width.*export it with a fixed size"),
        ((4, 3, 64, 64), TensorProto.FLOAT, "takes batches of 4 only"),
        (("batch", 1, 64, 64), TensorProto.FLOAT, "no axis of its input .* has the 3 colours"),
        (("batch", 3, 64, 64), TensorProto.DOUBLE, "neither uint8 nor float32 nor float16"),
    ],
)
def test_inputs_we_cannot_feed(tmp_path: Path, shape: tuple[int | str, ...], kind: int, why: str) -> None:
    path = constant_model(tmp_path / "odd.onnx", YOLO, input_shape=shape, input_type=kind, metadata=NAMES)
    with pytest.raises(ModelError, match=why):
        load_detector(path)


def test_class_names_that_are_missing_or_too_many(tmp_path: Path) -> None:
    nameless = constant_model(tmp_path / "nameless.onnx", YOLO)
    with pytest.raises(ModelError, match=r"nameless\.onnx has no class names.*--names"):
        load_detector(nameless)
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\ncow\n")
    with pytest.raises(ModelError, match=r"has 2 classes, but .*names\.txt names 3"):
        load_detector(nameless, names=names)
    with pytest.raises(ModelError, match=r"nowhere\.txt: No such file"):
        load_detector(nameless, names=tmp_path / "nowhere.txt")


def test_thresholds_out_of_range(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "yolo.onnx", YOLO, metadata=NAMES)
    with pytest.raises(ModelError, match="score 40"):
        load_detector(path, score=40)


def test_an_adapter_or_fit_nobody_knows(tmp_path: Path) -> None:
    path = constant_model(tmp_path / "m.onnx", YOLO, metadata={**NAMES, "fishladder.adapter": "detr"})
    with pytest.raises(ModelError, match="adapter 'detr'; there are ssd, yolov8"):
        load_detector(path)
    path = constant_model(tmp_path / "m.onnx", YOLO, metadata={**NAMES, "fishladder.fit": "crop"})
    with pytest.raises(ModelError, match="fit 'crop'; there are stretch, letterbox"):
        load_detector(path)
