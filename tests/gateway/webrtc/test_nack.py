"""When missing packets are asked for again."""

import pytest

from fishladder.gateway.webrtc.nack import NackPacer
from fishladder.gateway.webrtc.reorder import HOLE_S, MOST_HOLE_S, Missing


def ask(pacer: NackPacer, missing: dict[int, Missing], until: float, now: float = 0.0) -> list[tuple[float, list[int]]]:
    """What is asked for, each time it says that something is due."""
    asked = []
    while (now := max(now, pacer.next_at)) <= until:
        if seqs := pacer.due(missing, now):
            asked.append((now, seqs))
    return asked


def test_an_answer_that_was_lost_is_missed_as_soon_as_a_later_one_is_there() -> None:
    pacer, missing = NackPacer(), {seq: Missing(0.0, seq) for seq in (10, 11, 12)}
    pacer.next_at = 0.0
    assert ask(pacer, missing, 0.06) == [(pytest.approx(0.005), [10, 11, 12])]
    for seq in (11, 12):
        pacer.arrived(missing.pop(seq), 0.066, again=True)
    [(again_at, again), *_] = ask(pacer, missing, 0.2, now=0.066)
    assert again == [10]
    assert again_at < 0.08, "alone it would have been 0.09"


def test_answers_that_only_overtake_each_other_are_not_asked_for_twice() -> None:
    pacer, missing = NackPacer(), {seq: Missing(0.0, seq) for seq in (10, 11)}
    pacer.next_at = 0.0
    ask(pacer, missing, 0.06)
    pacer.arrived(missing.pop(11), 0.065, again=True)
    assert ask(pacer, missing, 0.068, now=0.065) == []
    pacer.arrived(missing.pop(10), 0.068, again=True)
    assert ask(pacer, missing, 0.3, now=0.068) == []
    assert pacer.asked == 2


def test_a_hole_is_waited_for_longer_where_answers_take_longer() -> None:
    pacer = NackPacer()
    for took_s, waited_s in ((0.02, HOLE_S), (0.1, 0.45)):
        for _ in range(40):
            pacer.arrived(Missing(0.0, 1, 1, 0.0, 0.0), took_s, again=True)
        assert pacer.hole_s == pytest.approx(waited_s, rel=0.05)
    for _ in range(40):
        pacer.arrived(Missing(0.0, 1, 1, 0.0, 0.0), 0.9, again=True)
    assert pacer.hole_s == MOST_HOLE_S


def test_three_answers_may_be_lost_where_the_sender_gives_none_within_its_round_trip() -> None:
    """As libwebrtc, which does not send again what it sent again within a round trip of its own. Ours is reckoned a
    sixth too long, as lost answers make it.
    """
    pacer, missing = NackPacer(), {10: Missing(0.0, 10)}
    pacer.rtt_s = 0.07
    sent_at: list[float] = []
    for tick in range(1000):
        now = tick / 1000
        if pacer.due(missing, now) and (not sent_at or now + 0.03 >= sent_at[-1] + 0.065):
            sent_at.append(now + 0.03)
    assert len([at for at in sent_at if at + 0.03 < pacer.hole_s]) == 4
