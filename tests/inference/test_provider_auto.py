"""A build of ONNX Runtime for GPUs on a host without one: `auto` finds what works there."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import structlog
from support.onnx_models import constant_model

from fishladder.inference.model import load_detector
from fishladder.wire.errors import ModelError

pytestmark = pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider':UserWarning")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The build says it has CUDA. A session that asks for it gets what a host without a GPU gives: the CPU."""
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    outputs = {"output0": np.zeros((6, 10), np.float32)}
    return constant_model(tmp_path / "yolo.onnx", outputs, metadata={"names": "{0: 'cat', 1: 'dog'}"})


@pytest.mark.usefixtures("no_gpu")
def test_auto_goes_on_to_a_provider_that_starts_and_says_which(yolo: Path) -> None:
    with structlog.testing.capture_logs() as logged:
        assert load_detector(yolo, provider="auto").provider == "cpu"
    assert [(entry["log_level"], entry["provider"]) for entry in logged] == [("warning", "cuda"), ("info", "cpu")]


@pytest.mark.usefixtures("no_gpu")
def test_a_provider_asked_for_by_name_is_not_replaced(yolo: Path) -> None:
    with pytest.raises(ModelError, match="provider cuda is installed but does not start"):
        load_detector(yolo, provider="cuda")


@pytest.mark.usefixtures("no_gpu")
def test_a_file_that_is_no_model_is_refused_by_all(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_bytes(b"hello, I am a text file\n" * 50)
    with pytest.raises(ModelError, match=r"text\.onnx cannot be loaded"):
        load_detector(tmp_path / "text.onnx", provider="auto")
