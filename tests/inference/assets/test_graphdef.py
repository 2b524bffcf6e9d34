"""Reading TensorFlow graphs: what a small graph written by hand says, and that damage is an error and never a crash."""

import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.inference.assets import graphdef
from fishladder.wire.errors import AssetError


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def attr(name: str, value: bytes) -> bytes:
    return field(5, field(1, name.encode()) + field(2, value))


def constant(name: str, values: np.ndarray) -> bytes:
    shape = b"".join(field(2, field(1, size)) for size in values.shape)
    tensor = field(1, 1) + field(2, shape) + field(4, values.astype("<f4").tobytes())
    return field(1, field(1, name.encode()) + field(2, b"Const") + attr("value", field(8, tensor)))


KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
EPSILON = varint(4 << 3 | 5) + struct.pack("<f", 0.001)
CONVOLUTION = (
    field(1, b"conv")
    + field(2, b"Conv2D")
    + field(3, b"input")
    + field(3, b"kernel")
    + attr("strides", field(1, field(3, b"\x01\x02\x02\x01")))
    + attr("padding", field(2, b"SAME"))
    + attr("epsilon", EPSILON)
)
GRAPH = constant("kernel", KERNEL) + field(1, CONVOLUTION) + field(4, field(1, 27))


def test_nodes_and_their_attributes() -> None:
    nodes = graphdef.read_nodes(GRAPH)
    assert list(nodes) == ["kernel", "conv"]
    convolution = nodes["conv"]
    assert (convolution.op, convolution.inputs) == ("Conv2D", ("input", "kernel"))
    assert graphdef.ints(convolution, "strides") == (1, 2, 2, 1)
    assert graphdef.text(convolution, "padding") == "SAME"
    assert graphdef.number(convolution, "epsilon") == pytest.approx(0.001)
    assert np.array_equal(graphdef.tensor(nodes["kernel"]), KERNEL)


def test_what_is_missing_is_named() -> None:
    nodes = graphdef.read_nodes(GRAPH)
    with pytest.raises(AssetError, match=r"'conv' \(Conv2D\).*'dilations'"):
        graphdef.ints(nodes["conv"], "dilations")
    with pytest.raises(AssetError, match=r"'conv'.*expected a constant"):
        graphdef.tensor(nodes["conv"])


def test_a_constant_of_the_wrong_length_is_refused() -> None:
    nodes = graphdef.read_nodes(GRAPH.replace(KERNEL.tobytes(), KERNEL.tobytes()[:-4] + b"\x00\x00\x80\x3f"))
    assert graphdef.tensor(nodes["kernel"])[-1, -1, -1] == 1.0
    shape = b"".join(field(2, field(1, size)) for size in (2, 3, 5))
    tensor = field(1, 1) + field(2, shape) + field(4, KERNEL.tobytes())
    node = field(1, field(1, b"k") + field(2, b"Const") + attr("value", field(8, tensor)))
    with pytest.raises(AssetError, match="96 bytes for a shape"):
        graphdef.tensor(graphdef.read_nodes(node)["k"])


@given(st.one_of(st.binary(max_size=300), st.integers(0, len(GRAPH)).map(lambda at: GRAPH[:at] + b"\xff" + GRAPH[at:])))
def test_damage_is_an_error(data: bytes) -> None:
    try:
        nodes = graphdef.read_nodes(data)
    except AssetError:
        return
    for node in nodes.values():
        for read in (
            lambda node: graphdef.ints(node, "strides"),
            lambda node: graphdef.text(node, "padding"),
            lambda node: graphdef.number(node, "epsilon"),
            graphdef.tensor,
        ):
            with suppress(AssetError):
                read(node)
