"""Finds the model a worker was told to use, and loads it as its settings say."""

from collections.abc import Callable
from pathlib import Path

from fishladder.inference.assets import cached, fetch
from fishladder.inference.config import WorkerSettings
from fishladder.inference.model import Detector, load_detector
from fishladder.wire.errors import AssetError, ModelError


def model_path(model: str, told: Callable[[str, int, int | None], None]) -> Path:
    """The file of a model, fetched first if it is an asset that is not here; `told` of what is done, and how many bytes
    of how many. Raises `ModelError`, `AssetError`.
    """
    path = Path(model)
    if path.is_file():
        return path
    if path.suffix == ".onnx" or path.name != model:
        raise ModelError(f"model file {path} does not exist")
    try:
        cached(model)
    except AssetError as error:
        raise ModelError(f"model {model!r} is no file, and {error}") from None
    return fetch(model, told)


def load(settings: WorkerSettings) -> Detector:
    """`settings.model` is a file. Raises `ModelError`."""
    return load_detector(
        settings.model,
        provider=settings.provider,
        threads=settings.threads,
        names=settings.names,
        score=settings.score,
        iou=settings.iou,
    )
