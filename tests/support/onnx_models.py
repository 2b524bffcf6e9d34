"""Tiny ONNX models with any inputs, outputs and metadata one likes: their outputs are constants, the same for every
picture of a batch whatever it shows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]


def constant_model(
    path: Path,
    outputs: Mapping[str, np.ndarray],
    *,
    input_shape: Shape = ("batch", 3, 64, 64),
    input_type: int = TensorProto.FLOAT,
    metadata: Mapping[str, str] | None = None,
    declared: Mapping[str, Shape] | None = None,
) -> Path:
    """Write a model that gives each of `outputs` (float32, without the batch axis) for each picture.

    `declared` are output shapes to write into the file where they are to be vaguer than the truth.
    """
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "picture_axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "zero"], ["noughts"]),
    ]
    constants = {"picture_axes": np.array([1, 2, 3], np.int64), "zero": np.array(0, np.float32)}
    described = []
    for name, value in outputs.items():
        constants[f"{name}_value"] = value.astype(np.float32)
        constants[f"{name}_shape"] = np.array([-1] + [1] * value.ndim, np.int64)
        nodes += [
            helper.make_node("Reshape", ["noughts", f"{name}_shape"], [f"{name}_noughts"]),
            helper.make_node("Add", [f"{name}_noughts", f"{name}_value"], [name]),
        ]
        shape = (declared or {}).get(name, ("batch", *value.shape))
        described.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("images", input_type, list(input_shape))],
        described,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
