"""What a model file says of itself: its inputs and outputs with their shapes, and its metadata. Adapters decide by it
whether a model is theirs. Loading the file is `inference.model`'s business.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fishladder.wire.errors import ModelError

_NAMES_BYTES = 1 << 20
_LABEL_CHARS = 100
_MAX_CLASSES = 10_000

#: A size, or None where the model leaves it open.
Dim = int | None


@dataclass(frozen=True, slots=True)
class Tensor:
    """`dtype` as ONNX Runtime writes it: `tensor(uint8)`, `tensor(float)`, `tensor(float16)`."""

    name: str
    dtype: str
    shape: tuple[Dim, ...]

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype.removeprefix('tensor(').rstrip(')')} [{sizes}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """One model file's."""

    path: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: Mapping[str, str]

    def __str__(self) -> str:
        return f"inputs {'; '.join(map(str, self.inputs))}, outputs {'; '.join(map(str, self.outputs))}"


@dataclass(frozen=True, slots=True)
class Input:
    """How pictures go in: one tensor of RGB pictures of a fixed size."""

    name: str
    dtype: Literal["uint8", "float32", "float16"]
    channels_first: bool
    height: int
    width: int
    batch: Dim


def picture_input(signature: Signature) -> Input:
    """The one input of a detector. Raises `ModelError` if there is not exactly one that takes RGB pictures."""
    path = signature.path
    if len(signature.inputs) != 1 or len(signature.inputs[0].shape) != 4:
        raise ModelError(
            f"model {path}: expected one input of pictures, [batch, height, width, 3] or [batch, 3, height, "
            f"width]; it has {signature}"
        )
    tensor = signature.inputs[0]
    batch, *sizes = tensor.shape
    if batch not in (None, 1):
        raise ModelError(
            f"model {path}: its input {tensor} takes batches of {batch} only: export it with an open batch"
        )
    dtypes: dict[str, Literal["uint8", "float32", "float16"]] = {
        "tensor(uint8)": "uint8",
        "tensor(float)": "float32",
        "tensor(float16)": "float16",
    }
    if tensor.dtype not in dtypes:
        raise ModelError(f"model {path}: its input {tensor} is neither uint8 nor float32 nor float16")
    if sizes[0] == 3:
        channels_first, (height, width) = True, sizes[1:]
    elif sizes[2] == 3:
        channels_first, (height, width) = False, sizes[:2]
    else:
        raise ModelError(f"model {path}: no axis of its input {tensor} has the 3 colours")
    if height is None or width is None:
        height, width = _imgsz(signature, tensor)
    return Input(tensor.name, dtypes[tensor.dtype], channels_first, height, width, batch)


def class_names(signature: Signature) -> list[str] | None:
    """The class names in the metadata entry `names`, None without one. Raises `ModelError` if it cannot be read.

    It is a list, or a mapping from index to name, in JSON or as a Python literal (Ultralytics writes that).
    """
    written = signature.metadata.get("names")
    if written is None:
        return None
    where = f"model {signature.path}: the class names in its metadata"
    value = _literal(written, where)
    if isinstance(value, Mapping):
        try:
            by_index = {int(index): name for index, name in value.items()}
        except (TypeError, ValueError):
            raise ModelError(f"{where} are a mapping whose keys are not numbers") from None
        if sorted(by_index) != list(range(len(by_index))):
            raise ModelError(f"{where} do not number the classes from 0 without gaps")
        value = [by_index[index] for index in range(len(by_index))]
    return _checked(value, where)


def read_class_names(path: Path) -> list[str]:
    """Class names from a text file, one a line in the order of the classes. Raises `ModelError`."""
    try:
        with path.open("rb") as file:
            data = file.read(_NAMES_BYTES + 1)
        lines = data.decode().splitlines()
    except OSError as error:
        raise ModelError(f"class names {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ModelError(f"class names {path}: not a text file in UTF-8, one name a line") from None
    if len(data) > _NAMES_BYTES:
        raise ModelError(f"class names {path}: more than {_NAMES_BYTES} bytes; expected one name a line")
    return _checked([line.strip() for line in lines if line.strip()], f"class names {path}")


def _imgsz(signature: Signature, tensor: Tensor) -> tuple[int, int]:
    """The size a model of open size was made for, which Ultralytics writes beside it."""
    written = signature.metadata.get("imgsz")
    value = _literal(written, f"model {signature.path}: `imgsz` in its metadata") if written else None
    match value:
        case [int(height), int(width)] if 16 <= height <= 8192 and 16 <= width <= 8192:
            return height, width
    raise ModelError(
        f"model {signature.path}: its input {tensor} has no fixed height and width, and its metadata no `imgsz`: "
        "export it with a fixed size"
    )


def _literal(written: str, where: str) -> object:
    if len(written) > _NAMES_BYTES:
        raise ModelError(f"{where}: longer than {_NAMES_BYTES} characters")
    try:
        return json.loads(written)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(written)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ModelError(f"{where}: neither JSON nor a Python literal: {written[:60]!r}") from None


def _checked(names: object, where: str) -> list[str]:
    if not isinstance(names, Sequence) or isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{where} are not a list of names")
    if not 1 <= len(names) <= _MAX_CLASSES:
        raise ModelError(f"{where}: {len(names)} names, expected 1 to {_MAX_CLASSES}")
    if overlong := next((name for name in names if len(name) > _LABEL_CHARS), None):
        raise ModelError(f"{where}: {overlong[:40]!r}... is longer than {_LABEL_CHARS} characters")
    return list(names)
