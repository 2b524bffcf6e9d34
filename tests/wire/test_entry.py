import contextlib
import struct
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.wire.entry import EpochStart, Stamp, read_entry
from fishladder.wire.errors import WireError
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position
from fishladder.wire.unit import Codec, Range, Unit

UNIT = Unit(epoch=1, seq=2, codec=Codec.H264, payload=b"x")
ENTRIES = {
    b"u": Stamp(1, 2, 3).pack() + UNIT.pack(),
    b"r": Range(epoch=1, first=2, last=9, fate=Fate.SHED).pack(),
    b"e": struct.pack(">QQ", 1, 9),
}


def test_the_position_of_an_entry_is_the_last_it_covers() -> None:
    assert [read_entry(b"2-0", [field, value]).position for field, value in ENTRIES.items()] == [
        Position(1, 2), Position(1, 9), Position(2, 0)
    ]  # fmt: skip
    assert read_entry(b"2-0", {b"e": ENTRIES[b"e"]}) == EpochStart(2, Position(1, 9))


@pytest.mark.parametrize("field", ENTRIES)
def test_a_truncated_entry_is_an_error_of_the_wire(field: bytes) -> None:
    for cut in range(len(ENTRIES[field]) - (field == b"u")):
        with pytest.raises(WireError):
            read_entry(b"1-2", [field, ENTRIES[field][:cut]])


@pytest.mark.parametrize("fields", [[], [b"u"], [b"x", b"1"], [b"u", b"", b"r", b""], {}, {b"r": b"", b"u": b""}])
def test_an_entry_of_a_kind_we_do_not_know(fields: Sequence[bytes] | Mapping[bytes, bytes]) -> None:
    with pytest.raises(WireError, match="a log entry"):
        read_entry(b"1-2", fields)


@given(st.binary(max_size=20), st.sampled_from([b"u", b"r", b"e", b"?"]), st.binary(max_size=150))
def test_any_entry_is_read_or_an_error_of_the_wire(entry_id: bytes, field: bytes, value: bytes) -> None:
    with contextlib.suppress(WireError):
        read_entry(entry_id, [field, value])
