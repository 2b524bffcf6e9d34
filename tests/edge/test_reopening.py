"""When a hardware encoder is opened anew: never longer a buffer than 0.2 s of what is wanted behind a keyframe, and not
often, whatever is wanted.
"""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fishladder.edge.reopening import MOST_A_MINUTE, Reopening, buffer_bits

FPS = 15
_RATES = st.lists(st.tuples(st.integers(10_000, 8_000_000), st.integers(1, 60)), min_size=1, max_size=60)


def run(rates: list[tuple[int, int]], *, changes_rate: bool, keyframe_s: float = 2.0) -> list[tuple[int, int, int]]:
    """Of each picture its time, what was wanted and what the encoder is opened for. Rates are for so many pictures."""
    it, seen, index, last_key_us = Reopening(rates[0][0], changes_rate=changes_rate), [], 0, -10_000_000
    for wanted_bps, pictures in rates:
        for _ in range(pictures):
            pts_us = index * 1_000_000 // FPS
            key = pts_us - last_key_us >= keyframe_s * 1e6
            if it.due(wanted_bps, pts_us, keyframe=key):
                it.opened(wanted_bps, pts_us)
                key = True
            last_key_us = pts_us if key else last_key_us
            seen.append((pts_us, wanted_bps, it.opened_for_bps))
            index += 1
    return seen


@given(_RATES, st.booleans())
def test_no_driver_is_asked_often(rates: list[tuple[int, int]], changes_rate: bool) -> None:
    seen = run(rates, changes_rate=changes_rate)
    opened_us = [at_us for (_, _, before), (at_us, _, after) in pairwise(seen) if before != after]
    for first_us in opened_us:
        assert sum(first_us <= at_us < first_us + 60_000_000 for at_us in opened_us) <= MOST_A_MINUTE
    assert all(later - earlier >= 300_000 for earlier, later in pairwise(opened_us)) or changes_rate


@given(st.lists(st.integers(10_000, 8_000_000), min_size=1, max_size=20), st.booleans())
def test_behind_the_next_keyframe_the_buffer_is_short_for_what_is_wanted(rates: list[int], changes_rate: bool) -> None:
    """Each rate holds for 6 s, so that no more openings are wanted than there may be."""
    pictures = 6 * FPS
    seen = run([(bps, pictures) for bps in rates], changes_rate=changes_rate)
    for change in range(0, len(seen), pictures):
        for _, wanted_bps, opened_for_bps in seen[change + 2 * FPS + 1 : change + pictures]:
            assert buffer_bits(opened_for_bps, FPS) <= 0.2001 * wanted_bps
            assert wanted_bps <= 1.6001 * opened_for_bps


def test_what_it_can_be_told_as_it_runs_costs_no_keyframe() -> None:
    it = Reopening(1_000_000, changes_rate=True)
    assert not any(it.due(bps, at * 100_000, keyframe=True) for at, bps in enumerate((600_000, 1_600_000, 1_000_000)))
    assert not it.due(500_000, 5_000_000, keyframe=False), "it waits for the keyframe that is due"
    assert it.due(500_000, 5_100_000, keyframe=True)
    assert it.due(1_700_000, 5_200_000, keyframe=False), "a higher rate is worth one"
