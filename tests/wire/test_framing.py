import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.wire.errors import TooLarge, WireError
from fishladder.wire.fates import Fate
from fishladder.wire.framing import (
    HEAD_BYTES,
    MAX_MESSAGE_BYTES,
    RangeMessage,
    Reassembler,
    UnitMessage,
    abandon,
    fragments,
    range_message,
)
from fishladder.wire.unit import UNIT_HEADER_BYTES, Range

PACKED = st.binary(min_size=UNIT_HEADER_BYTES + 1, max_size=4000)
CHANNELS = st.integers(0, 0xFFFF)
DECLARED = Range(epoch=1, first=2, last=3, fate=Fate.SHED)


@given(CHANNELS, PACKED, st.integers(HEAD_BYTES + 5, 5000))
def test_a_unit_in_fragments_comes_together_again(channel: int, packed: bytes, fragment_bytes: int) -> None:
    inbox = Reassembler()
    cut = list(fragments(channel, packed, fragment_bytes))
    assert all(len(message) <= fragment_bytes for message in cut)
    *early, last = [inbox.feed(message) for message in cut]
    assert early == [None] * (len(cut) - 1)
    assert last == UnitMessage(channel, packed)
    assert inbox.held_bytes == 0


@given(st.dictionaries(CHANNELS, st.lists(PACKED, max_size=3), max_size=4), st.integers(9, 400), st.randoms())
def test_channels_interleave_freely(units: dict[int, list[bytes]], size: int, rng: random.Random) -> None:
    queues = {
        channel: [message for packed in sent for message in fragments(channel, packed, size)]
        for channel, sent in units.items()
    }
    inbox, came = Reassembler(), {channel: [] for channel in units}
    while left := [channel for channel, queue in queues.items() if queue]:
        done = inbox.feed(queues[rng.choice(left)].pop(0))
        if isinstance(done, UnitMessage):
            came[done.channel].append(done.data)
    assert came == units
    assert inbox.held_bytes == 0


def test_a_unit_that_is_given_up_leaves_room_for_the_next() -> None:
    inbox = Reassembler()
    first, *_ = fragments(3, bytes(500), 100)
    inbox.feed(first)
    assert inbox.held_bytes > 0
    assert inbox.feed(abandon(3)) is None
    assert inbox.feed(abandon(4)) is None, "nothing to give up is no error"
    assert inbox.held_bytes == 0
    assert inbox.feed(range_message(3, DECLARED)) == RangeMessage(3, DECLARED)
    [whole] = fragments(3, b"u" * 500, 1000)
    assert inbox.feed(whole) == UnitMessage(3, b"u" * 500)


def test_forgetting_a_channel_leaves_the_others() -> None:
    inbox = Reassembler()
    for channel in (1, 2):
        inbox.feed(next(fragments(channel, bytes(500), 100)))
    held = inbox.held_bytes
    inbox.forget(1)
    assert inbox.held_bytes == held // 2
    with pytest.raises(WireError, match="channel 1: a fragment without a first one"):
        inbox.feed(list(fragments(1, bytes(500), 100))[1])


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_messages_are_read_or_an_error_of_the_wire(messages: list[bytes]) -> None:
    inbox = Reassembler(max_unit_bytes=500, max_held_bytes=1000)
    for message in messages:
        try:
            inbox.feed(message)
        except WireError:
            return
        assert 0 <= inbox.held_bytes <= 1000


@given(PACKED, st.integers(9, 200), st.data())
def test_a_truncated_message_never_makes_a_unit(packed: bytes, size: int, data: st.DataObject) -> None:
    cut = list(fragments(1, packed, size))
    at = data.draw(st.integers(0, len(cut) - 1))
    short = data.draw(st.integers(0, len(cut[at]) - 1))
    cut[at] = cut[at][:short]
    inbox = Reassembler()

    def feed_all() -> None:
        for message in cut:
            assert not isinstance(inbox.feed(message), UnitMessage)

    with pytest.raises(WireError):
        feed_all()


def test_what_a_peer_may_not_do() -> None:
    first, second, *_ = fragments(1, bytes(500), 100)
    inbox = Reassembler()
    inbox.feed(first)
    with pytest.raises(WireError, match="began a unit before it ended"):
        inbox.feed(first)
    with pytest.raises(WireError, match="without a first"):
        Reassembler().feed(second)
    with pytest.raises(WireError, match="came with"):
        Reassembler().feed(first[:HEAD_BYTES] + (60).to_bytes(4, "big") + bytes(90))
    with pytest.raises(WireError, match="shorter than its header"):
        Reassembler().feed(first[:HEAD_BYTES] + (5).to_bytes(4, "big") + bytes(5))
    with pytest.raises(WireError, match="kind 9"):
        Reassembler().feed(b"\x09\0\0\0")
    with pytest.raises(WireError, match="kind 2"):
        Reassembler().feed(range_message(1, DECLARED) + b"x")


def test_what_is_too_large_is_refused_before_it_is_held() -> None:
    with pytest.raises(TooLarge, match="a unit of 8388609 bytes"):
        Reassembler().feed(next(fragments(1, bytes(8 * 1024 * 1024 + 1), 1200)))
    with pytest.raises(TooLarge, match="a binary message"):
        Reassembler().feed(bytes(MAX_MESSAGE_BYTES + 1))
    inbox = Reassembler(max_held_bytes=1000)
    inbox.feed(next(fragments(1, bytes(5000), 800)))
    with pytest.raises(TooLarge, match="unfinished units hold"):
        inbox.feed(next(fragments(2, bytes(5000), 800)))


def test_many_small_fragments_hold_no_more_than_their_bytes() -> None:
    """An unfinished unit costs its bytes, not its fragments."""
    inbox = Reassembler()
    inbox.feed(next(fragments(1, bytes(5000), 100)))
    held = inbox.held_bytes
    for _ in range(100):
        inbox.feed(b"\x01\0\0\x01")
    assert inbox.held_bytes == held


def test_fragments_have_a_least_size() -> None:
    with pytest.raises(ValueError, match="no room"):
        next(fragments(1, bytes(100), HEAD_BYTES + 4))
