"""Sharing one link: order, fairness by weight, fragments that fit together again, and credit."""

import sys
from collections import Counter, deque

from hypothesis import given
from hypothesis import strategies as st

from fishladder.edge.schedule import Scheduler, fragment_size
from fishladder.wire.fates import Fate
from fishladder.wire.framing import Reassembler, UnitMessage
from fishladder.wire.unit import UNIT_HEADER_BYTES, Codec, Range, Unit


def unit(seq: int, size: int) -> Unit:
    return Unit(epoch=1, seq=seq, codec=Codec.H264, payload=bytes(size))


def source(items: list[Unit | Range]) -> deque[Unit | Range]:
    return deque(items)


def attach(scheduler: Scheduler, channel: int, items: deque[Unit | Range], weight: float = 1.0) -> None:
    scheduler.add(channel, lambda: items.popleft() if items else None, weight)


def drain(scheduler: Scheduler) -> list[bytes]:
    out = []
    while (message := scheduler.next()) is not None:
        out.append(message)
    return out


@given(st.lists(st.lists(st.integers(1, 60_000), max_size=5), min_size=1, max_size=5), st.integers(1200, 16384))
def test_everything_arrives_whole_and_in_order(cameras: list[list[int]], fragment_bytes: int) -> None:
    scheduler = Scheduler(fragment_bytes)
    scheduler.grant(1 << 40)
    for channel, sizes in enumerate(cameras):
        attach(scheduler, channel, source([unit(seq, size) for seq, size in enumerate(sizes, 1)]))
    got: dict[int, list[int]] = {}
    reassembler = Reassembler()
    total = 0
    for message in drain(scheduler):
        assert len(message) <= fragment_bytes
        total += len(message)
        whole = reassembler.feed(message)
        if isinstance(whole, UnitMessage):
            got.setdefault(whole.channel, []).append(len(whole.data) - UNIT_HEADER_BYTES)
    assert got == {channel: sizes for channel, sizes in enumerate(cameras) if sizes}
    assert scheduler.sent_bytes == total


@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=20), st.lists(st.integers(0, 300_000), max_size=8))
def test_credit_is_overdrawn_by_one_unit_at_most(sizes: list[int], grants: list[int]) -> None:
    scheduler = Scheduler(4096)
    for channel in range(3):
        attach(scheduler, channel, source([unit(seq, size) for seq, size in enumerate(sizes, 1)]))
    for grant in sorted(grants):
        scheduler.grant(grant)
        drain(scheduler)
        heads = 8 * (max(sizes) // 4000 + 2)
        assert scheduler.sent_bytes < grant + max(sizes) + UNIT_HEADER_BYTES + heads or not scheduler.sent_bytes


def test_no_credit_nothing_sent_and_the_source_is_not_asked() -> None:
    scheduler = Scheduler()
    items = source([unit(1, 100)])
    attach(scheduler, 1, items)
    assert scheduler.next() is None
    assert len(items) == 1
    scheduler.grant(1)
    assert scheduler.next() is not None


def test_credit_spoken_for_by_a_camera_taken_out_is_free_again() -> None:
    scheduler = Scheduler(1200)
    scheduler.grant(6000)
    attach(scheduler, 1, source([unit(1, 20_000)]))
    attach(scheduler, 2, source([unit(1, 1000)]))
    assert scheduler.next() is not None
    while (message := scheduler.next()) is not None and scheduler.sent_bytes < 4000:
        assert message[3] == 1  # the unit begun has all the credit there is
    scheduler.remove(1)
    message = scheduler.next()
    assert message is not None
    assert message[3] == 2


def test_the_work_for_a_unit_does_not_grow_with_the_square_of_the_cameras() -> None:
    def lines_run(cameras: int) -> int:
        scheduler = Scheduler()
        scheduler.grant(1 << 40)
        for channel in range(cameras):
            attach(scheduler, channel, source([unit(1, 1000)]))
        lines = 0

        def count(_frame: object, event: str, _arg: object) -> object:
            nonlocal lines
            lines += event == "line"
            return count

        tracing = sys.gettrace()
        sys.settrace(count)  # type: ignore[arg-type]
        try:
            drain(scheduler)
        finally:
            sys.settrace(tracing)
        return lines

    assert lines_run(400) < 6 * lines_run(100)


def test_a_busy_camera_does_not_hold_up_the_others() -> None:
    scheduler = Scheduler(1200)
    scheduler.grant(1 << 40)
    attach(scheduler, 1, source([unit(1, 1_000_000)]))
    attach(scheduler, 2, source([unit(1, 500)]))
    first = [scheduler.next() for _ in range(4)]
    assert any(message is not None and message[3] == 2 for message in first)


def test_weights_share_the_link() -> None:
    scheduler = Scheduler(1200)
    scheduler.grant(1 << 40)
    for channel, weight in ((1, 1.0), (2, 3.0)):
        attach(scheduler, channel, source([unit(seq, 3000) for seq in range(1, 2000)]), weight)
    sent: Counter[int] = Counter()
    for _ in range(4000):
        message = scheduler.next()
        assert message is not None
        sent[message[3]] += len(message)
    assert 2.7 < sent[2] / sent[1] < 3.3


def test_a_unit_given_up_in_the_middle_is_dropped_at_the_other_end_and_its_credit_is_free() -> None:
    scheduler = Scheduler(1200)
    scheduler.grant(8000)
    attach(scheduler, 1, source([unit(1, 5000), unit(2, 700)]))
    reassembler = Reassembler()
    message = scheduler.next()
    assert message is not None
    assert reassembler.feed(message) is None
    assert 3000 < scheduler.rest_bytes(1) < 4500
    given_up = scheduler.give_up(1)
    assert given_up is not None
    reassembler.feed(given_up)
    assert scheduler.rest_bytes(1) == 0
    whole = [got for it in drain(scheduler) if isinstance(got := reassembler.feed(it), UnitMessage)]
    assert [len(it.data) - UNIT_HEADER_BYTES for it in whole] == [700]
    assert scheduler.give_up(1) is None


def test_a_camera_taken_out_in_the_middle_of_a_unit_gives_it_up() -> None:
    scheduler = Scheduler(1200)
    scheduler.grant(1 << 40)
    attach(scheduler, 1, source([unit(1, 5000)]))
    reassembler = Reassembler()
    message = scheduler.next()
    assert message is not None
    reassembler.feed(message)
    given_up = scheduler.remove(1)
    assert given_up is not None
    reassembler.feed(given_up)
    assert reassembler.held_bytes == 0
    assert scheduler.next() is None
    attach(scheduler, 1, source([unit(1, 50)]))
    message = scheduler.next()
    assert message is not None
    assert isinstance(reassembler.feed(message), UnitMessage)
    assert scheduler.remove(1) is None


def test_ranges_keep_their_place() -> None:
    scheduler = Scheduler()
    scheduler.grant(1 << 40)
    declared = Range(epoch=1, first=2, last=9, fate=Fate.SAMPLED_OUT)
    attach(scheduler, 5, source([unit(1, 10), declared, unit(10, 10)]))
    reassembler = Reassembler()
    whole = [reassembler.feed(message) for message in drain(scheduler)]
    assert [type(it).__name__ for it in whole] == ["UnitMessage", "RangeMessage", "UnitMessage"]


def test_backfill_has_its_own_turns_and_the_same_credit() -> None:
    scheduler = Scheduler(1200)
    scheduler.grant(3000)
    live, later = source([unit(7, 500)]), source([unit(1, 5000), unit(2, 100)])
    attach(scheduler, 1, live)
    scheduler.add(1, lambda: later.popleft() if later else None, backfill=True)
    reassembler = Reassembler()
    begun = scheduler.next_backfill()
    assert begun is not None
    reassembler.feed(begun)
    message = scheduler.next()  # live, in the middle of the backfill's unit
    assert message is None  # all the credit is spoken for
    scheduler.grant(1 << 40)
    message = scheduler.next()
    assert message is not None
    arrived = reassembler.feed(message)
    assert isinstance(arrived, UnitMessage)
    assert not arrived.backfill
    while (message := scheduler.next_backfill()) is not None:
        arrived = reassembler.feed(message) or arrived
    assert isinstance(arrived, UnitMessage)
    assert arrived.backfill
    assert not later
    assert scheduler.remove(1) is None
    assert scheduler.remove(1, backfill=True) is None


def test_fragments_take_50_ms_of_the_link_within_bounds() -> None:
    assert fragment_size(None) == 16384
    assert fragment_size(250_000 / 8) == 1562
    assert fragment_size(1000) == 1200
    assert fragment_size(10**9) == 16384
    assert fragment_size(None, limit=4096) == 4096
