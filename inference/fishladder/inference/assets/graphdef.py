"""Reads the nodes of a frozen TensorFlow graph (a `GraphDef` message) straight from its protobuf wire format, so that
converting one needs no TensorFlow. It knows the few fields frozen inference graphs use; what the nodes mean is the
converter's business.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fishladder.wire.errors import AssetError

# Wire types of protobuf, and field numbers of tensorflow/core/framework/{graph,node_def,attr_value,tensor}.proto.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GRAPH_NODE = 1
_NODE_NAME, _NODE_OP, _NODE_INPUT, _NODE_ATTR = 1, 2, 3, 5
_MAP_KEY, _MAP_VALUE = 1, 2
_ATTR_LIST, _ATTR_BYTES, _ATTR_FLOAT, _ATTR_TENSOR = 1, 2, 4, 8
_LIST_INTS = 3
_TENSOR_DTYPE, _TENSOR_SHAPE, _TENSOR_CONTENT = 1, 2, 4
_SHAPE_DIM, _DIM_SIZE = 2, 1
_DT_FLOAT = 1


@dataclass(frozen=True, slots=True)
class Node:
    """One operation. `attrs` are still encoded; the functions below read the kinds a converter needs."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: dict[str, bytes]


def read_nodes(graph: bytes) -> dict[str, Node]:
    """All nodes of a serialised GraphDef by name. Raises `AssetError` if the bytes are not one."""
    nodes = [_node(message) for message in _Message(graph).messages(_GRAPH_NODE)]
    if not nodes:
        raise _damaged("it has no nodes")
    return {node.name: node for node in nodes}


def ints(node: Node, attr: str) -> tuple[int, ...]:
    """A list of integers, such as strides."""
    values = _attr(node, attr).message(_ATTR_LIST)
    return tuple(number for packed in values.messages(_LIST_INTS) for number in packed.varints())


def text(node: Node, attr: str) -> str:
    """A string, such as the kind of padding."""
    return _attr(node, attr).message(_ATTR_BYTES).text()


def number(node: Node, attr: str) -> float:
    """A float, such as epsilon."""
    data = _attr(node, attr).message(_ATTR_FLOAT).data
    if len(data) != 4:
        raise _damaged(f"attribute {attr!r} of node {node.name!r} is not a float")
    return float(np.frombuffer(data, "<f4")[0])


def tensor(node: Node) -> NDArray[np.float32]:
    """The value of a Const node of floats. Raises `AssetError` for another kind of node or damaged contents."""
    if node.op != "Const":
        raise AssetError(f"node {node.name!r} of the graph is a {node.op}, expected a constant")
    value = _attr(node, "value").message(_ATTR_TENSOR)
    if value.integer(_TENSOR_DTYPE) != _DT_FLOAT:
        raise AssetError(f"constant {node.name!r} of the graph is not of type float32")
    shape = tuple(dim.integer(_DIM_SIZE) for dim in value.message(_TENSOR_SHAPE).messages(_SHAPE_DIM))
    content = value.message(_TENSOR_CONTENT).data
    if len(content) != 4 * math.prod(shape) or not all(0 < size < 1 << 31 for size in shape):
        raise AssetError(f"constant {node.name!r} of the graph has {len(content)} bytes for a shape of {shape}")
    return np.frombuffer(content, "<f4").reshape(shape).astype(np.float32)


def _node(message: "_Message") -> Node:
    attrs = {}
    for entry in message.messages(_NODE_ATTR):
        attrs[entry.message(_MAP_KEY).text()] = entry.message(_MAP_VALUE).data
    return Node(
        message.message(_NODE_NAME).text(),
        message.message(_NODE_OP).text(),
        tuple(name.text() for name in message.messages(_NODE_INPUT)),
        attrs,
    )


def _damaged(why: str) -> AssetError:
    return AssetError(f"not a TensorFlow graph: {why}")


def _attr(node: Node, attr: str) -> "_Message":
    if attr not in node.attrs:
        raise AssetError(f"node {node.name!r} ({node.op}) of the graph has no attribute {attr!r}")
    return _Message(node.attrs[attr])


@dataclass(frozen=True, slots=True)
class _Message:
    """A message's bytes, or those of any other length-delimited or fixed-width value, and ways to look into it."""

    data: bytes

    def fields(self) -> Iterator[tuple[int, "int | _Message"]]:
        at = 0
        while at < len(self.data):
            tag, at = self._varint(at)
            kind = tag & 7
            if kind == _VARINT:
                number, at = self._varint(at)
                yield tag >> 3, number
                continue
            if kind == _BYTES:
                size, at = self._varint(at)
            elif kind in (_FIXED32, _FIXED64):
                size = 4 if kind == _FIXED32 else 8
            else:
                raise _damaged(f"wire type {kind} at byte {at}")
            if at + size > len(self.data):
                raise _damaged(f"a field of {size} bytes at byte {at} goes past the end")
            yield tag >> 3, _Message(self.data[at : at + size])
            at += size

    def messages(self, field: int) -> Iterator["_Message"]:
        return (value for found, value in self.fields() if found == field and isinstance(value, _Message))

    def message(self, field: int) -> "_Message":
        """The last of a field, as protobuf has it; an empty one if it is absent."""
        return next(iter([*self.messages(field)][-1:]), _Message(b""))

    def text(self) -> str:
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise _damaged(f"{self.data[:40]!r} is not text") from None

    def integer(self, field: int) -> int:
        return next((value for found, value in self.fields() if found == field and isinstance(value, int)), 0)

    def varints(self) -> Iterator[int]:
        at = 0
        while at < len(self.data):
            number, at = self._varint(at)
            yield number

    def _varint(self, at: int) -> tuple[int, int]:
        result = 0
        for index, byte in enumerate(self.data[at : at + 10]):
            result |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                return result, at + index + 1
        raise _damaged(f"a number without an end at byte {at}")
