"""What an audit takes for the spool's: what is open and not in it is found seq by seq, and nothing else is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.wire.errors import WireError
from fishladder.wire.open_set import OpenRange
from fishladder.wire.spooled import Spooled, decode, missing, together


def ranges_of(seqs: set[tuple[int, int]]) -> list[OpenRange]:
    found: list[OpenRange] = []
    for epoch, seq in sorted(seqs):
        if found and found[-1].epoch == epoch and found[-1].last == seq - 1:
            found[-1] = OpenRange(epoch, found[-1].first, seq)
        else:
            found.append(OpenRange(epoch, seq, seq))
    return found


positions = st.sets(st.tuples(st.integers(1, 3), st.integers(1, 20)))


@given(positions, positions)
def test_missing_is_what_is_open_and_not_there(opened: set[tuple[int, int]], there: set[tuple[int, int]]) -> None:
    assert missing(ranges_of(opened), ranges_of(there)) == ranges_of(opened - there)


def test_lists_of_two_hosts_are_one() -> None:
    one, two = Spooled({"a/x": [(1, 5, 9)]}), Spooled({"a/x": [(1, 1, 3)], "a/y": [(2, 1, 1)]})
    assert together([one, two]) == {"a/x": (OpenRange(1, 1, 3), OpenRange(1, 5, 9)), "a/y": (OpenRange(2, 1, 1),)}


@pytest.mark.parametrize("said", [b"", b"[]", b'{"cameras": {"a": [[0, 1, 2]]}}', b'{"cameras": 1}', b"[" * 50_000])
def test_what_is_no_list_is_named(said: bytes) -> None:
    with pytest.raises(WireError, match=r"list\.json: not what `fishladder edge spool --json` says"):
        decode(said, "list.json")
