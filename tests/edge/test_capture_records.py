"""The records between a capture process and its agent."""

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fishladder.edge.capture_records import (
    HEAD_BYTES,
    Captured,
    CapturedUnit,
    Ended,
    Left,
    Opened,
    Record,
    Sampled,
    pack,
    read_head,
    unpack,
)
from fishladder.wire.errors import TooLarge, WireError
from fishladder.wire.fates import Fate
from fishladder.wire.unit import MAX_UNIT_BYTES, Codec, Flag


def unpack_all(data: bytes) -> Iterator[Record]:
    """The whole records at the beginning of `data`."""
    at = 0
    while at + HEAD_BYTES <= len(data):
        kind, length = read_head(data[at : at + HEAD_BYTES])
        if at + HEAD_BYTES + length > len(data):
            return
        yield unpack(kind, data[at + HEAD_BYTES : at + HEAD_BYTES + length])
        at += HEAD_BYTES + length


i64 = st.integers(-(2**63), 2**63 - 1)
records = st.one_of(
    st.builds(
        Opened,
        st.sampled_from(["encode", "passthrough"]),
        st.text(max_size=20),
        st.integers(0, 9999),
        st.integers(0, 9999),
        st.none() | st.floats(0, 100),
    ),
    st.builds(Captured, i64),
    st.builds(Sampled, st.integers(0, 2**32 - 1)),
    st.builds(
        CapturedUnit,
        st.sampled_from(Codec),
        st.integers(0, 63).map(Flag),
        st.integers(0, 65535),
        st.integers(0, 65535),
        st.integers(0, 2**32 - 1),
        i64,
        i64,
        st.binary(max_size=300),
    ),
    st.just(Left(Fate.GATED)),
    st.builds(Ended, st.none() | st.text(max_size=50)),
)


@settings(max_examples=40)
@given(st.lists(records, max_size=8), st.integers(0, 40))
def test_records_come_out_as_they_went_in(sent: list[Record], cut: int) -> None:
    data = b"".join(map(pack, sent))
    assert list(unpack_all(data)) == sent
    assert list(unpack_all(data[: len(data) - cut])) == sent[: len(list(unpack_all(data[: len(data) - cut])))]


@given(st.integers(0, 255), st.binary(max_size=60))
def test_damaged_records_are_one_kind_of_error(kind: int, body: bytes) -> None:
    with contextlib.suppress(WireError):
        unpack(kind, body)


def test_the_form_is_fixed() -> None:
    unit = CapturedUnit(Codec.H264, Flag.CLEAN | Flag.SAMPLED, 640, 360, 66_667, -5, 7, b"abc")
    assert pack(unit).hex() == "040000001d01050280016800010" + "46bfffffffffffffffb0000000000000007616263"
    assert pack(Captured(9)).hex() == "02000000080000000000000009"


def test_a_unit_too_large_for_the_wire_is_told_of_without_its_payload() -> None:
    unit = CapturedUnit(Codec.H264, Flag(0), 1, 1, 1, 1, 1, bytes(MAX_UNIT_BYTES))
    [told] = unpack_all(pack(unit))
    assert isinstance(told, CapturedUnit)
    assert told.payload == b""


def test_a_length_no_capture_process_writes_is_refused() -> None:
    with pytest.raises(TooLarge):
        read_head(b"\x04\xff\xff\xff\xff"[:HEAD_BYTES])
