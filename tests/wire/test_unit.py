import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.wire.errors import TooLarge, WireError
from fishladder.wire.fates import Fate
from fishladder.wire.ids import MAX_SEQ, Position
from fishladder.wire.unit import MAX_UNIT_BYTES, UNIT_HEADER_BYTES, Clock, Codec, Flag, Header, Range, Unit

SEQS = st.integers(1, MAX_SEQ)
SIGNED = st.integers(-(2**63), 2**63 - 1)
UNITS = st.builds(
    Unit,
    epoch=SEQS,
    seq=SEQS,
    codec=st.sampled_from(Codec),
    payload=st.binary(min_size=1, max_size=200),
    flags=st.integers(0, 63).map(Flag),
    clock=st.sampled_from(Clock),
    pts_us=SIGNED,
    wall_us=SIGNED,
    offset_us=SIGNED,
    duration_us=st.integers(0, 2**32 - 1),
    ready_us=st.integers(0, 2**32 - 1),
    width=st.integers(0, 0xFFFF),
    height=st.integers(0, 0xFFFF),
)
RANGES = st.builds(
    lambda epoch, a, b, fate, wall_us, offset_us: Range(
        epoch=epoch, first=min(a, b), last=max(a, b), fate=fate, wall_us=wall_us, offset_us=offset_us
    ),
    *(SEQS, SEQS, SEQS, st.sampled_from(Fate), SIGNED, SIGNED),
)


@given(UNITS)
def test_a_unit_comes_back_as_it_was(unit: Unit) -> None:
    packed = unit.pack()
    assert Unit.unpack(packed) == Unit.unpack(memoryview(packed)) == unit
    assert len(packed) == UNIT_HEADER_BYTES + len(unit.payload)


@given(RANGES)
def test_a_range_comes_back_as_it_was(declared: Range) -> None:
    assert Range.unpack(declared.pack()) == declared
    assert declared.run.length == declared.last - declared.first + 1


@given(UNITS, st.data())
def test_a_truncated_header_is_an_error_of_the_wire(unit: Unit, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, UNIT_HEADER_BYTES))
    with pytest.raises(WireError, match="truncated"):
        Unit.unpack(unit.pack()[:cut])


@given(RANGES, st.integers(0, 60))
def test_a_range_of_another_length_is_an_error_of_the_wire(declared: Range, length: int) -> None:
    data = declared.pack().ljust(60, b"\0")[:length]
    if length != len(declared.pack()):
        with pytest.raises(WireError, match="44 bytes"):
            Range.unpack(data)


@given(st.binary(max_size=120))
def test_any_bytes_are_a_unit_or_an_error_of_the_wire(data: bytes) -> None:
    for read in (Unit.unpack, Header.peek, Range.unpack):
        with contextlib.suppress(WireError):
            read(data)


@given(UNITS, st.integers(0, UNIT_HEADER_BYTES - 1), st.integers(0, 255))
def test_a_damaged_header_is_read_as_it_is_or_refused(unit: Unit, at: int, byte: int) -> None:
    damaged = bytearray(unit.pack())
    damaged[at] = byte
    try:
        read = Unit.unpack(bytes(damaged))
    except WireError:
        return
    assert read.pack() == bytes(damaged)


def test_what_a_header_may_not_say() -> None:
    packed = Unit(epoch=1, seq=1, codec=Codec.H264, payload=b"x").pack()
    for at, byte, says in ((0, 2, "version 2"), (1, 99, "99 is not a valid Codec"), (3, 9, "9 is not a valid Clock")):
        with pytest.raises(WireError, match=says):
            Unit.unpack(packed[:at] + bytes([byte]) + packed[at + 1 :])
    for at in (16, 24):  # epoch and seq
        for value in (0, 2**53, 2**64 - 1):
            with pytest.raises(WireError, match="out of range"):
                Unit.unpack(packed[:at] + value.to_bytes(8, "big") + packed[at + 8 :])
    with pytest.raises(TooLarge, match="over the limit"):
        Unit.unpack(packed + bytes(MAX_UNIT_BYTES))


def test_flags_of_later_versions_are_kept() -> None:
    packed = bytearray(Unit(epoch=1, seq=1, codec=Codec.H264, payload=b"x", flags=Flag.CLEAN).pack())
    packed[2] |= 128
    assert Unit.unpack(bytes(packed)).clean
    assert Unit.unpack(bytes(packed)).pack() == bytes(packed)


def test_what_a_range_may_not_say() -> None:
    good = Range(epoch=1, first=2, last=3, fate=Fate.SHED)
    with pytest.raises(WireError, match="not valid"):
        Range.unpack(Range(epoch=1, first=3, last=2, fate=Fate.SHED).pack())
    with pytest.raises(WireError, match="not valid"):
        Range.unpack(Range(epoch=0, first=2, last=3, fate=Fate.SHED).pack())
    with pytest.raises(WireError, match="fate 7 is not known"):
        Range.unpack(good.pack()[:1] + b"\x07" + good.pack()[2:])
    with pytest.raises(WireError, match="version 3"):
        Range.unpack(b"\x03" + good.pack()[1:])


def test_times_too_long_for_their_field_are_capped() -> None:
    unit = Unit(epoch=1, seq=1, codec=Codec.JPEG, payload=b"x", duration_us=2**40, ready_us=-5)
    assert (Unit.unpack(unit.pack()).duration_us, Unit.unpack(unit.pack()).ready_us) == (2**32 - 1, 0)


def test_a_unit_can_be_given_another_position() -> None:
    unit = Unit(epoch=1, seq=1, codec=Codec.VP8, payload=b"x").at(Position(4, 9))
    assert (unit.position, unit.payload) == (Position(4, 9), b"x")
