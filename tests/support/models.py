"""A small real ONNX model whose answer depends on every pixel, so that frames can be told apart by their detections: it
runs in well under a millisecond.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 64
STRIPS = 8


def strips_model(path: Path) -> Path:
    """Write a YOLOv8-style model (float NCHW in, [N, 4 + 1 class, STRIPS] out in pixels) and return its path.

    Each of 8 upright strips of the picture gives one box at its own place, whose height, position and score follow
    from the strip's mean brightness. Strips do not overlap, so suppression leaves all of them.
    """
    width = SIZE // STRIPS
    centres = (np.arange(STRIPS, dtype=np.float32) * width + width / 2).reshape(1, 1, STRIPS)
    constants = {
        "centres": centres,
        "widths": np.full((1, 1, STRIPS), width / 2, np.float32),
        "size": np.array(SIZE, np.float32),
        "quarter": np.array(SIZE / 4, np.float32),
        "half": np.array(0.5, np.float32),
        "two_fifths": np.array(0.4, np.float32),
        "zero": np.array(0, np.float32),
        "in_strips": np.array([0, 1, STRIPS, width], np.int64),
        "across": np.array([1, 2], np.int64),
        "within": np.array([3], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["images", "across"], ["columns"], keepdims=0),
        helper.make_node("Unsqueeze", ["columns", "one"], ["row"]),
        helper.make_node("Reshape", ["row", "in_strips"], ["strips"]),
        helper.make_node("ReduceMean", ["strips", "within"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nought"]),
        helper.make_node("Add", ["nought", "centres"], ["cx"]),
        helper.make_node("Mul", ["mean", "size"], ["cy"]),
        helper.make_node("Add", ["nought", "widths"], ["w"]),
        helper.make_node("Mul", ["mean", "quarter"], ["h"]),
        helper.make_node("Mul", ["mean", "two_fifths"], ["lift"]),
        helper.make_node("Add", ["lift", "half"], ["score"]),
        helper.make_node("Concat", ["cx", "cy", "w", "h", "score"], ["output0"], axis=1),
    ]
    constants["one"] = np.array([1], np.int64)
    graph = helper.make_graph(
        nodes,
        "strips",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 5, STRIPS])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"names": "{0: 'strip'}", "task": "detect"})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
