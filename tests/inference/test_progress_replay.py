"""Replay: the log is kept from the clean point at or before the next unit, and not for ever."""

import random

from hypothesis import given
from hypothesis import strategies as st

from fishladder.inference.replay import KEEP_BYTES, KEEP_US, MEMORY_PATIENCE_S, PATIENCE_S, Kept, Replay, keep_bytes
from fishladder.wire.ids import Position


def kept(seq: int, *, clean: bool = False, recovery: bool = False, size: int = 100, us: int = 40_000) -> Kept:
    return Kept(Position(1, seq), size, seq * us, clean, recovery)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 1 << 32))
def test_a_decoder_can_always_start_at_or_before_the_next_unit(clean: list[bool], seed: int) -> None:
    """The first unit of a stream is a clean point."""
    clean[0] = True
    rng = random.Random(seed)
    replay = Replay()
    seq = committed = 0
    while committed < len(clean):
        seq = rng.randint(seq, len(clean))
        for number in range(1, seq + 1):
            replay.add(kept(number, clean=clean[number - 1]))  # again what was read before: it is ignored
        committed = rng.randint(committed, seq)
        keep_from = replay.advance(Position(1, committed), 0.0)
        # The unit after the cursor counts only once it was read.
        points = [n for n in range(1, min(committed + 1, seq) + 1) if clean[n - 1]]
        assert keep_from == Position(1, points[-1] if points and committed else 0)
        assert replay.replayable is bool(seq)


def test_the_bound_in_bytes_leaves_room_in_the_store_for_what_comes() -> None:
    limit = 512 << 20
    assert keep_bytes(limit, 0) == keep_bytes(limit, 32) == KEEP_BYTES
    assert keep_bytes(limit, 64) == KEEP_BYTES // 2
    assert keep_bytes(0, 1000) == KEEP_BYTES
    assert all(cameras * keep_bytes(limit, cameras) <= limit // 2 for cameras in (1, 57, 1000, 100_000))


def test_ranges_alone_need_nothing_behind_the_cursor() -> None:
    replay = Replay()
    assert replay.advance(Position(1, 0), 0.0) == Position(1, 0), "the start of the epoch stays"
    assert replay.advance(Position(1, 500), 0.0) == Position(1, 501)


def test_another_epoch_needs_nothing_of_the_one_before() -> None:
    replay = Replay()
    replay.add(kept(1, clean=True))
    assert replay.advance(Position(1, 1), 0.0) == Position(1, 1)
    assert replay.advance(Position(2, 0), 0.0) == Position(2, 0)


def test_beyond_the_bound_a_keyframe_is_wanted_and_then_the_log_is_cut() -> None:
    replay = Replay()
    for seq in range(1, 101):
        replay.add(kept(seq, clean=seq == 1, us=200_000))
    assert replay.advance(Position(1, 40), 0.0) == Position(1, 1)
    assert not replay.keyframe_wanted
    assert replay.advance(Position(1, 60), 0.0) == Position(1, 1)
    assert replay.keyframe_wanted
    assert replay.advance(Position(1, 70), MEMORY_PATIENCE_S) == Position(1, 1), "its link may be away"
    keep_from = replay.advance(Position(1, 70), PATIENCE_S)
    assert (70 - keep_from.seq) * 200_000 <= KEEP_US
    assert not replay.replayable


def test_a_new_clean_point_ends_the_wish() -> None:
    replay = Replay()
    for seq in range(1, 101):
        replay.add(kept(seq, clean=seq in (1, 90), us=200_000))
    replay.advance(Position(1, 80), 0.0)
    assert replay.keyframe_wanted
    assert replay.advance(Position(1, 89), 10.0) == Position(1, 90)
    assert not replay.keyframe_wanted


def test_the_log_is_cut_at_a_recovery_point_where_there_is_one() -> None:
    replay = Replay()
    for seq in range(1, 101):
        replay.add(kept(seq, clean=seq == 1, recovery=seq % 8 == 0, us=200_000))
    replay.advance(Position(1, 90), 0.0)
    keep_from = replay.advance(Position(1, 90), PATIENCE_S)
    assert keep_from == Position(1, 40), "the first one within 10 s, so that it has recovered by now"


def test_bytes_are_bounded_too() -> None:
    replay = Replay()
    for seq in range(1, 101):
        replay.add(kept(seq, clean=seq == 1, size=KEEP_BYTES // 20))
    replay.advance(Position(1, 50), 0.0)
    assert replay.keyframe_wanted
    assert replay.advance(Position(1, 50), MEMORY_PATIENCE_S).seq >= 30
