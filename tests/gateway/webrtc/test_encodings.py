"""Which encoding is taken, as they come and go."""

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.gateway.webrtc.encodings import MOST_STAYS_S, SILENT_S, STAYS_S, Encodings

LARGE, MIDDLE, SMALL = 3, 2, 1
ALL = (LARGE, MIDDLE, SMALL)


def came(
    it: Encodings, ssrcs: Iterable[int], since: float, until: float, fps: float = 15
) -> Iterator[tuple[float, int]]:
    """Pictures of all of these, the smallest first, as senders send them; and what is taken after each."""
    number = 0
    while (at := since + number / fps) < until:
        for place, ssrc in enumerate(sorted(ssrcs)):
            now = at + place * 0.002
            it.came(ssrc, now)
            yield now, it.wanted
        number += 1


def taken(it: Encodings, ssrcs: Iterable[int], since: float, until: float, fps: float = 15) -> list[int]:
    """What is taken in this time, each once."""
    return list(dict.fromkeys(wanted for _, wanted in came(it, ssrcs, since, until, fps)))


@pytest.mark.parametrize("fps", [60, 15, 1, 0.1])
def test_while_all_come_the_largest_is_taken_however_far_apart_pictures_are(fps: float) -> None:
    assert taken(Encodings(ALL), ALL, 0, 100, fps) == [LARGE]


@pytest.mark.parametrize(
    ("coming", "goes_to"),
    [((MIDDLE, SMALL), MIDDLE), ((SMALL,), SMALL), ((MIDDLE,), MIDDLE), ((LARGE, SMALL), LARGE)],
)
@pytest.mark.parametrize("before_s", [0.0, 10.0])
def test_of_those_that_come_the_largest_is_taken(coming: tuple[int, ...], goes_to: int, before_s: float) -> None:
    """`before_s` 0: the others have never come."""
    it = Encodings(ALL)
    taken(it, ALL, 0, before_s)
    changes = [now for now, wanted in came(it, coming, before_s, before_s + 20) if wanted != LARGE]
    assert it.wanted == goes_to
    if goes_to != LARGE:
        assert SILENT_S <= changes[0] - before_s < SILENT_S + 0.2


def test_one_that_comes_back_is_taken_when_it_has_come_for_a_while() -> None:
    it = Encodings(ALL)
    taken(it, ALL, 0, 5)
    taken(it, [SMALL], 5, 10)
    back = next(now for now, wanted in came(it, [LARGE, SMALL], 10, 20) if wanted == LARGE)
    assert STAYS_S <= back - 10 < STAYS_S + 0.2


def test_one_that_comes_now_and_then_is_let_be() -> None:
    it = Encodings(ALL)
    taken(it, ALL, 0, 5)
    taken(it, [SMALL], 5, 10)
    for start in range(10, 100, 5):
        taken(it, [LARGE, SMALL], start, start + STAYS_S / 2)
        assert taken(it, [SMALL], start + STAYS_S / 2, start + 5) == [SMALL]


def test_one_that_never_stays_for_long_is_tried_ever_less_often() -> None:
    it, now, changes = Encodings((LARGE, SMALL)), 0.0, []
    while now < 2000:
        for ssrcs in ((LARGE, SMALL), (SMALL,)):
            changes += [at for at, wanted in came(it, ssrcs, now, now + 5, fps=5) if wanted == LARGE]
            now += 5
    tries = [later for earlier, later in zip([-10.0, *changes], changes, strict=False) if later - earlier > 5]
    assert len(tries) < 5, "5 s at a time is too short for it, once it has failed"
    steady = [at for at, wanted in came(it, (LARGE, SMALL), now, now + 60, fps=5) if wanted == LARGE]
    assert steady[0] - now <= MOST_STAYS_S + 0.5, "and one that stays is found in the end"


def test_where_only_the_small_one_goes_too_the_large_one_need_not_stay() -> None:
    it = Encodings((LARGE, SMALL))
    taken(it, [SMALL], 0, 5)
    changes = [now for now, wanted in came(it, [LARGE], 5, 10) if wanted == LARGE]
    assert changes[0] - 5 < STAYS_S


def test_after_a_goodbye_nobody_is_waited_for() -> None:
    it = Encodings(ALL)
    taken(it, ALL, 0, 5)
    it.left(LARGE)
    assert taken(it, [MIDDLE, SMALL], 5, 5.1) == [MIDDLE]
    it.left(99)  # of none of them


@given(st.lists(st.tuples(st.sampled_from(ALL), st.floats(0, 5)), min_size=1, max_size=60))
def test_what_is_changed_to_has_come_lately_and_what_is_left_had_not_or_is_smaller(
    some: list[tuple[int, float]],
) -> None:
    it, now, last = Encodings(ALL), 0.0, {}
    for ssrc, pause in some:
        now += pause
        before, last[ssrc] = it.wanted, now
        it.came(ssrc, now)
        if it.wanted != before:
            assert it.wanted > before or before not in last or now - last[before] >= SILENT_S
            assert now - last[it.wanted] < SILENT_S or it.wanted > before
