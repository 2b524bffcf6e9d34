"""Opens a model file with ONNX Runtime on the provider asked for, and runs it. The only file that knows ONNX Runtime;
what the tensors mean is an adapter's business.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import structlog
from numpy.typing import NDArray

from fishladder.inference.adapters.signature import Dim, Signature, Tensor
from fishladder.wire.errors import ModelError

log = structlog.get_logger(__name__)
Provider = Literal["auto", "cpu", "cuda", "tensorrt", "openvino", "coreml"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)

_ORT_NAMES: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
#: "auto" takes the first of these that starts. Not TensorRT: it builds an engine for minutes before the first picture.
_AUTO = ("cuda", "coreml", "openvino", "cpu")

_MAX_MODEL_BYTES = 2 << 30  #: the most one ONNX file can hold
_FATAL = 4  #: ONNX Runtime's log level: what goes wrong comes as an exception, and noise on stderr helps nobody


@dataclass(frozen=True, slots=True)
class Session:
    """A model ready to run. `provider` is the one in use, one of `PROVIDERS` but never "auto"."""

    signature: Signature
    provider: str
    ort: Any

    def run(self, outputs: Sequence[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Compute outputs by name. Raises `ModelError`."""
        try:
            results: list[NDArray[Any]] = self.ort.run(list(outputs), feed)
        except _ort_errors() as error:
            raise ModelError(f"model {self.signature.path} cannot be run on {self.provider}: {_brief(error)}") from None
        return results


def open_session(path: Path, provider: str, threads: int) -> Session:
    """Load a model. Raises `ModelError` if it is missing or no ONNX model, or `provider` cannot be had; "auto" takes
    the best that starts, and logs which.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"model {path}: {error.strerror}") from None
    if not path.is_file() or not 0 < size <= _MAX_MODEL_BYTES:
        raise ModelError(f"model {path} is not an ONNX file: expected a file of 1 byte to 2 GB")
    # Read when onnxruntime is first imported: what a worker sees is nobody else's business.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    candidates = _choose(provider, onnxruntime.get_available_providers())
    for chosen in candidates:
        try:
            ort = _start(path, chosen, threads)
            break
        except ModelError as error:
            # Being in the build says nothing of the host: builds for GPUs run on hosts without one as well.
            if chosen == candidates[-1]:
                raise
            log.warning("a provider does not start, trying the next", provider=chosen, error=str(error))
    if provider == "auto":
        log.info("provider chosen", provider=chosen)
    signature = Signature(
        path,
        tuple(_tensor(value) for value in ort.get_inputs()),
        tuple(_tensor(value) for value in ort.get_outputs()),
        dict(ort.get_modelmeta().custom_metadata_map),
    )
    return Session(signature, chosen, ort)


def _choose(provider: str, available: Sequence[str]) -> list[str]:
    """The providers to try in turn. Raises `ModelError` if the one asked for is not in this build."""
    present = [name for name, ort_name in _ORT_NAMES.items() if ort_name in available]
    if provider == "auto":
        return [name for name in _AUTO if name in present]
    if provider not in _ORT_NAMES:
        raise ModelError(f"provider {provider!r}: there are {', '.join(PROVIDERS)}")
    if provider not in present:
        raise ModelError(
            f"provider {provider} is not in this build of onnxruntime, which has {', '.join(present)}: "
            "install the onnxruntime package that brings it"
        )
    return [provider]


def _start(path: Path, provider: str, threads: int) -> Any:
    """Load a model on one provider. Raises `ModelError` if it is no model or the provider does not start."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    # Spinning threads take the time of the decoder and of other workers on the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        ort = onnxruntime.InferenceSession(path, options, providers=[_ORT_NAMES[provider]])
    except _ort_errors() as error:
        raise ModelError(f"model {path} cannot be loaded; is it an ONNX file? ONNX Runtime: {_brief(error)}") from None
    if _ORT_NAMES[provider] not in ort.get_providers():
        raise ModelError(f"provider {provider} is installed but does not start: its driver or a library is missing")
    return ort


def _tensor(value: Any) -> Tensor:
    shape: tuple[Dim, ...] = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Tensor(value.name, value.type, shape)


def _ort_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: classes with no base of their own, and RuntimeError."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError)


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
