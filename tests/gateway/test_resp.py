"""What is written by hand reads as the command it is meant to be."""

import hiredis
from hypothesis import given
from hypothesis import strategies as st
from support.agent_client import unit
from support.gateways import Nobody

from fishladder.gateway.resp import AppendWriter, command
from fishladder.gateway.session import LogSession, Queued
from fishladder.runtime.frames import Batch, Entry, append_keys_args
from fishladder.runtime.scripts import script
from fishladder.wire.entry import RANGE_FIELD, STAMP_BYTES, UNIT_FIELD, Stamp
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Range


def read(data: bytes) -> list[bytes]:
    """A command has the form of a reply of bulk strings."""
    reader = hiredis.Reader()
    reader.feed(data)
    found = reader.gets()
    assert reader.gets() is False, "something follows the command"
    return found  # type: ignore[no-any-return]


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=8))
def test_commands(args: list[bytes]) -> None:
    assert read(command(*args)) == args


@given(
    st.lists(st.lists(st.integers(0, 200_000), min_size=1, max_size=4), min_size=1, max_size=3), st.integers(1, 2**53)
)
def test_appends_say_what_the_plain_way_says(cameras: list[list[int]], seq: int) -> None:
    batches, expected = [], []
    for index, sizes in enumerate(cameras):
        name = f"shop-7/cam{index}"
        session = LogSession(name, 3, f"{index}.abc", 7, 1, 0, Nobody())
        entries, plain = [], []
        for size in sizes:
            if size % 2:
                data = unit(7, 1, size=size).pack()
                entries.append(Queued(seq, seq, data, -5, 6))
                plain.append(Entry(seq, seq, UNIT_FIELD, Stamp(-5, 6, 9).pack() + data))
            else:
                data = Range(epoch=7, first=1, last=9, fate=Fate.SHED).pack()
                entries.append(Queued(seq, seq + size, data, None, 6))
                plain.append(Entry(seq, seq + size, RANGE_FIELD, data))
        batches.append((session, entries))
        expected.append(Batch(name, session.token, 7, plain))
    names, args = append_keys_args(3, expected)
    found = read(b"".join(AppendWriter().call(batches, 9)))
    wanted = ["EVALSHA", script("append").sha, len(names), *names, *args]
    assert found == [it if isinstance(it, bytes) else str(it).encode() for it in wanted]
    assert STAMP_BYTES == 24
