"""Fixtures of the inference tests."""

from pathlib import Path

import pytest
from support.models import strips_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real model that tells pictures apart."""
    path = tmp_path_factory.mktemp("model") / "strips.onnx"
    strips_model(path)
    return path
