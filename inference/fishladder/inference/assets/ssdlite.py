"""Turns the frozen TensorFlow graph of an SSDLite MobileNetV2 detector into ONNX that takes pictures as they are
(uint8, height x width x RGB) and answers with scores and corner boxes; suppression of overlaps stays outside. Getting
the graph, and checking what comes out, is the caller's business.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fishladder.inference.assets import graphdef
from fishladder.inference.assets.graphdef import Node
from fishladder.wire.errors import AssetError

# Opset and IR of 2022-23: old enough for every onnxruntime we allow, and fixed so that the bytes are always the same.
_OPSET, _IR = 17, 8

_INPUT = "Preprocessor/sub"  #: the normalised picture; what the graph does before it (decoding, resizing) is left out
_PREDICTOR = "BoxPredictor_{map}/{kind}/BiasAdd"
_MAPS = 6

# The anchors of the graph's MultipleGridAnchorGenerator nodes, as fractions of a picture of 300 x 300 pixels: on the
# first map three, on each other five of one scale and one between that and the next (TensorFlow Object Detection API,
# anchor_generators/multiple_grid_anchor_generator.py, create_ssd_anchors with reduce_boxes_in_lowest_layer).
_TRAINED_PX = 300
_SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
_FIRST = ((0.1, 1.0), (0.2, 2.0), (0.2, 0.5))
_RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)

# Box coder of the same API (box_coders/faster_rcnn_box_coder.py) with scale factors 10, 10, 5, 5.
_CENTRE_SCALE, _SIZE_SCALE = 0.1, 0.2


class _Map(NamedTuple):
    """A tensor of the new graph: its name, and its size, which SAME padding depends on."""

    name: str
    height: int
    width: int


def anchors(maps: list[tuple[int, int]], height: int, width: int) -> NDArray[np.float32]:
    """Centre y, centre x, height, width of every anchor as fractions of the picture: [anchors, 4].

    `maps` are the sizes of the feature maps. Anchors keep the size in pixels they had in training, since that is the
    size of the things whose features the network has learnt, whatever the size of the picture.
    """
    rows = []
    for index, (rows_count, columns) in enumerate(maps):
        scale, following = _SCALES[index], _SCALES[index + 1]
        kinds = _FIRST if index == 0 else (*((scale, ratio) for ratio in _RATIOS), (math.sqrt(scale * following), 1.0))
        for y in range(rows_count):
            for x in range(columns):
                rows += [
                    (
                        (y + 0.5) / rows_count,
                        (x + 0.5) / columns,
                        size / math.sqrt(ratio) * _TRAINED_PX / height,
                        size * math.sqrt(ratio) * _TRAINED_PX / width,
                    )
                    for size, ratio in kinds
                ]
    return np.array(rows, np.float32)


def convert(graph: bytes, names: list[str], *, height: int = 300, width: int = 300) -> bytes:
    """A serialised ONNX model. The same input gives the same bytes.

    Input `images`: uint8 [batch, height, width, 3]. Outputs: `boxes` float32 [batch, anchors, 4], corners y1 x1 y2 x2
    as fractions of the picture (they may stick out of it), and `scores` float32 [batch, anchors, classes], 0..1.
    Raises `AssetError` if the graph is not such a detector.
    """
    if not (64 <= height <= 2048 and 64 <= width <= 2048):
        raise AssetError(f"a model input of {height} x {width} pixels: both must be from 64 to 2048")
    return _Converter(graphdef.read_nodes(graph), names, height, width).run()


@dataclass
class _Converter:
    source: dict[str, Node]
    names: list[str]
    height: int
    width: int
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    done: dict[str, _Map] = field(default_factory=dict)

    def run(self) -> bytes:
        from onnx import TensorProto, helper  # here, because it takes longer to load than listing assets does

        self._normalise()
        boxes, scores, maps = [], [], []
        for index in range(_MAPS):
            encoding = self._map(_PREDICTOR.format(map=index, kind="BoxEncodingPredictor"))
            logits = self._map(_PREDICTOR.format(map=index, kind="ClassPredictor"))
            boxes.append(self._rows(encoding, 4))
            scores.append(self._rows(logits, len(self.names) + 1))
            maps.append((encoding.height, encoding.width))
        table = anchors(maps, self.height, self.width)
        self._decode(boxes, table)
        self._score(scores)
        model = helper.make_model(
            helper.make_graph(
                self.nodes,
                "ssdlite",
                [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", self.height, self.width, 3])],
                [
                    helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", len(table), 4]),
                    helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", len(table), len(self.names)]),
                ],
                [self.constants[name] for name in sorted(self.constants)],
            ),
            producer_name="fishladder",
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR,
        )
        helper.set_model_props(model, {"names": repr(dict(enumerate(self.names))), "fishladder.adapter": "ssd"})
        return bytes(model.SerializeToString(deterministic=True))

    def _normalise(self) -> None:
        """Bytes to -1..1, channels first, as the network was trained."""
        self._emit("Cast", ["images"], "pixels", to=1)
        self._emit("Mul", ["pixels", self._constant("normalise/mul", np.float32(2 / 255))], "scaled")
        self._emit("Sub", ["scaled", self._constant("normalise/sub", np.float32(1))], "normalised")
        self._emit("Transpose", ["normalised"], "input", perm=[0, 3, 1, 2])
        self.done[_INPUT] = _Map("input", self.height, self.width)

    def _map(self, name: str) -> _Map:
        """The tensor that node `name` of the source gives, emitting what it needs first."""
        if name in self.done:
            return self.done[name]
        node = self._node(name)
        match node.op:
            case "Identity":
                result = self._map(node.inputs[0])
            case "Relu6":
                limits = [self._constant("relu6/min", np.float32(0)), self._constant("relu6/max", np.float32(6))]
                before = self._map(node.inputs[0])
                result = before._replace(name=self._emit("Clip", [before.name, *limits], name))
            case "Add":
                left, right = (self._map(source) for source in node.inputs)
                result = left._replace(name=self._emit("Add", [left.name, right.name], name))
            case "FusedBatchNorm":
                result = self._convolve(self._node(node.inputs[0]), name, *self._batch_norm(node))
            case "BiasAdd":
                bias = self._weights(node.inputs[1])
                result = self._convolve(self._node(node.inputs[0]), name, np.ones_like(bias), bias)
            case _:
                raise AssetError(f"node {name!r} of the graph is a {node.op}, which an SSDLite detector does not have")
        self.done[name] = result
        return result

    def _batch_norm(self, node: Node) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What a normalisation comes to after training: a factor and an offset for each channel."""
        gamma, beta, mean, variance = (self._weights(name).astype(np.float64) for name in node.inputs[1:5])
        factor = gamma / np.sqrt(variance + graphdef.number(node, "epsilon"))
        return factor, beta - mean * factor

    def _convolve(self, node: Node, name: str, factor: NDArray[Any], offset: NDArray[Any]) -> _Map:
        """A convolution with a factor and an offset for each output channel folded in."""
        if node.op not in ("Conv2D", "DepthwiseConv2dNative"):
            raise AssetError(f"node {name!r} of the graph follows a {node.op}, expected a convolution")
        if graphdef.text(node, "padding") != "SAME" or graphdef.text(node, "data_format") != "NHWC":
            raise AssetError(f"convolution {node.name!r} of the graph is not of padding SAME and layout NHWC")
        before = self._map(node.inputs[0])
        kernel = self._weights(node.inputs[1]).astype(np.float64)  # height, width, in, out (depthwise: in, multiplier)
        depthwise = node.op == "DepthwiseConv2dNative"
        if depthwise:
            kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
        weights = np.ascontiguousarray((kernel * factor).transpose(3, 2, 0, 1), np.float32)
        stride = graphdef.ints(node, "strides")[1]
        top, bottom, out_height = _same(before.height, kernel.shape[0], stride)
        left, right, out_width = _same(before.width, kernel.shape[1], stride)
        inputs = [
            before.name,
            self._constant(f"{name}/weights", weights),
            self._constant(f"{name}/bias", offset.astype(np.float32)),
        ]
        self._emit(
            "Conv",
            inputs,
            name,
            kernel_shape=list(kernel.shape[:2]),
            strides=[stride, stride],
            pads=[top, left, bottom, right],
            group=weights.shape[0] if depthwise else 1,
        )
        return _Map(name, out_height, out_width)

    def _rows(self, tensor: _Map, values: int) -> str:
        """[batch, anchors x values, height, width] to [batch, height x width x anchors, values]."""
        last = self._emit("Transpose", [tensor.name], f"{tensor.name}/last", perm=[0, 2, 3, 1])
        shape = self._constant(f"rows/{values}", np.array([0, -1, values], np.int64))
        return self._emit("Reshape", [last, shape], f"{tensor.name}/rows")

    def _decode(self, encodings: list[str], table: NDArray[np.float32]) -> None:
        """Boxes from what the network says about each anchor: an offset of its centre, a factor of its size."""
        sizes = table[None, :, 2:]
        joined = self._emit("Concat", encodings, "encodings", axis=1)
        moved = self._slice(joined, 0, 2, "encodings/centre")
        step = self._constant("anchors/step", sizes * np.float32(_CENTRE_SCALE))
        offset = self._emit("Mul", [moved, step], "offset")
        centre = self._emit("Add", [offset, self._constant("anchors/centre", table[None, :, :2])], "centre")
        grown = self._slice(joined, 2, 4, "encodings/size")
        power = self._emit("Mul", [grown, self._constant("size/scale", np.float32(_SIZE_SCALE))], "power")
        growth = self._emit("Exp", [power], "growth")
        half = self._emit("Mul", [growth, self._constant("anchors/half", sizes * np.float32(0.5))], "half")
        least = self._emit("Sub", [centre, half], "corner/least")
        most = self._emit("Add", [centre, half], "corner/most")
        self._emit("Concat", [least, most], "boxes", axis=2)

    def _score(self, logits: list[str]) -> None:
        """Class 0 is the background, which nobody asks for."""
        joined = self._emit("Concat", logits, "logits", axis=1)
        classes = self._slice(joined, 1, len(self.names) + 1, "logits/classes")
        self._emit("Sigmoid", [classes], "scores")

    def _slice(self, tensor: str, start: int, end: int, output: str) -> str:
        """The values `start` to `end` of the last axis."""
        bounds = [self._constant(f"index/{value}", np.array([value], np.int64)) for value in (start, end, 2)]
        return self._emit("Slice", [tensor, *bounds], output)

    def _node(self, name: str) -> Node:
        if name not in self.source:
            raise AssetError(f"the graph has no node {name!r}: it is not the SSDLite detector this converter knows")
        return self.source[name]

    def _weights(self, name: str) -> NDArray[np.float32]:
        node = self._node(name)
        while node.op == "Identity":
            node = self._node(node.inputs[0])
        return graphdef.tensor(node)

    def _constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _emit(self, op: str, inputs: list[str], output: str, **attrs: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], **attrs))
        return output


def _same(size: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """TensorFlow's SAME: padding before and after, and the size that comes out. An odd pixel goes to the end."""
    out = -(-size // stride)
    total = max((out - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2, out
