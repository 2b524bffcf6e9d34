"""Which adapter a model gets, and how its pictures are fitted: what the model's metadata says, else what its shapes
say. A new kind of model is one file with a class that follows the Protocol, and its name here.
"""

from fishladder.inference.adapters.adapter import Adapter
from fishladder.inference.adapters.picture import Fit
from fishladder.inference.adapters.signature import Input, Signature
from fishladder.inference.adapters.ssd import Ssd
from fishladder.inference.adapters.yolov8 import Yolov8
from fishladder.wire.errors import ModelError

ADAPTERS: tuple[type[Adapter], ...] = (Ssd, Yolov8)


def choose(signature: Signature, feed: Input) -> Adapter:
    """The adapter for a model whose output shapes are known. Raises `ModelError` if none fits."""
    candidates = ADAPTERS
    if kind := signature.metadata.get("fishladder.adapter"):
        candidates = tuple(adapter for adapter in ADAPTERS if adapter.kind == kind)
        if not candidates:
            known = ", ".join(adapter.kind for adapter in ADAPTERS)
            raise ModelError(f"model {signature.path}: its metadata asks for adapter {kind!r}; there are {known}")
    for candidate in candidates:
        if (adapter := candidate.adapt(signature, feed)) is not None:
            return adapter
    task = signature.metadata.get("task", "detect")
    expected = "; or ".join(f"{adapter.kind}: {adapter.expects}" for adapter in candidates)
    raise ModelError(
        f"model {signature.path} is not a detector we can read: it has {signature}"
        + (f", made for task {task!r}" if task != "detect" else "")
        + f". Expected outputs are {expected}"
    )


def choose_fit(signature: Signature, adapter: Adapter) -> Fit:
    """`fishladder.fit` of the metadata, else what models of this kind are trained with. Raises `ModelError`."""
    written = signature.metadata.get("fishladder.fit")
    if written is None:
        return adapter.fit
    try:
        return Fit(written)
    except ValueError:
        known = ", ".join(Fit)
        raise ModelError(f"model {signature.path}: its metadata asks for fit {written!r}; there are {known}") from None
