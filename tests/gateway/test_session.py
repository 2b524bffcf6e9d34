"""A log session takes each seq once, in order, whatever comes; and gives it a capture time that can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.agent_client import unit
from support.gateways import Nobody

from fishladder.gateway.session import FUTURE_US, MOST_OPEN_RANGES, LogSession, OutOfStep
from fishladder.wire.errors import WireError
from fishladder.wire.fates import DECLARABLE, Fate
from fishladder.wire.unit import Flag, Header, Range


def session(next_seq: int = 1, epoch: int = 1) -> LogSession:
    return LogSession("shop-7/door", 0, "1.abc", epoch, next_seq, 0, Nobody())


pieces = st.tuples(st.integers(1, 40), st.integers(0, 6), st.booleans())


@given(st.lists(pieces, max_size=40), st.integers(1, 10))
def test_what_is_taken_has_neither_holes_nor_overlaps(offered: list[tuple[int, int, bool]], start: int) -> None:
    it, at = session(start), start
    for first, more, is_unit in offered:
        try:
            if is_unit:
                taken = it.take_unit(unit(1, first, size=10).pack(), 1_000)
                last = first
            else:
                last = first + more
                taken = it.take_range(Range(epoch=1, first=first, last=last, fate=Fate.GATED), 1_000)
        except OutOfStep:
            assert first > at
            continue
        assert (taken is None) == (last < at)
        if taken is not None:
            assert (taken.first, taken.last) == (at, last)
            at = last + 1
    assert it.next == at


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1), st.booleans())
def test_capture_times_are_possible_and_honest_ones_kept(wall_us: int, offset_us: int, synced: bool) -> None:
    now_us = 1_700_000_000_000_000
    one = unit(1, 1, captured_us=wall_us).pack()
    header = bytearray(one)
    header[48:56] = offset_us.to_bytes(8, "big", signed=True)
    if not synced:
        header[2] &= ~Flag.SYNCED
    it = session()
    taken = it.take_unit(bytes(header), now_us)
    assert taken is not None
    assert taken.captured_us is not None
    assert 0 < taken.captured_us <= now_us + FUTURE_US
    possible = 0 < wall_us + offset_us <= now_us + FUTURE_US
    assert taken.captured_us == (wall_us + offset_us if synced and possible else now_us)
    assert bool(Header.peek(taken.data).flags & Flag.RESTAMPED) == (synced and not possible) == bool(it.restamped)
    assert taken.data[56:] == one[56:]


headers = st.tuples(st.integers(0, 2), st.integers(0, 8), st.integers(0, 255), st.integers(0, 4)).map(bytes)
positions = st.sampled_from([0, 1, 2, 2**53 - 1, 2**53, 2**64 - 1])


@given(headers, positions, positions, st.integers(0, 60))
def test_a_unit_is_as_good_as_its_header(start: bytes, epoch: int, seq: int, size: int) -> None:
    whole = start + bytes(12) + epoch.to_bytes(8, "big") + seq.to_bytes(8, "big") + bytes(28)
    data = whole[:size]
    try:
        Header.peek(data)
    except WireError:
        with pytest.raises(WireError):
            session().take_unit(data, 1_000)
    else:
        it = LogSession("shop-7/door", 0, "1.abc", epoch, seq, 0, Nobody())
        if start[2] & Flag.CONTEXT:
            with pytest.raises(WireError):
                it.take_unit(data, 1_000)
        else:
            assert it.take_unit(data, 1_000) is not None


@pytest.mark.parametrize("fate", list(Fate))
def test_only_what_a_sender_can_know_is_his_to_declare(fate: Fate) -> None:
    declared = Range(epoch=1, first=1, last=3, fate=fate)
    if fate in DECLARABLE - {Fate.DEFERRED}:
        assert session().take_range(declared, 0) is not None
    else:
        with pytest.raises(WireError, match=fate.label):
            session().take_range(declared, 0)


def test_another_epoch_is_out_of_step() -> None:
    with pytest.raises(OutOfStep, match="2-1 came, but this session is of epoch 1"):
        session().take_unit(unit(2, 1).pack(), 0)


def test_a_sender_defers_no_more_ranges_than_the_state_store_can_keep() -> None:
    """Every second seq and never one sent: that would be a text without end, which each commit reads."""
    it = session()
    it.defers = True

    def defer(seq: int) -> None:
        it.take_range(Range(epoch=1, first=seq, last=seq, fate=Fate.DEFERRED), 1)
        it.take_range(Range(epoch=1, first=seq + 1, last=seq + 1, fate=Fate.SHED), 1)

    for number in range(MOST_OPEN_RANGES):
        defer(2 * number + 1)
    defer(it.next)
    with pytest.raises(WireError, match="send some of them first"):
        defer(it.next)


def test_one_long_outage_is_one_range_however_it_is_told() -> None:
    it = session()
    it.defers = True
    for seq in range(1, 3 * MOST_OPEN_RANGES):
        it.take_range(Range(epoch=1, first=seq, last=seq, fate=Fate.DEFERRED), 1)
    assert it.next == 3 * MOST_OPEN_RANGES
