"""Slots: fates in any order come out as contiguous commits that cover every seq once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.inference.slots import LINGER_S, MAX_FRAMES, Slots
from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.result import FrameResult

FATES = [Fate.INFERRED, Fate.SAMPLED_OUT, Fate.NO_REFERENCE]


def frame(seq: int) -> FrameResult:
    return FrameResult(seq, 0, 0, [])


#: A script: units (one each), ranges (their length) and epoch steps.
scripts = st.lists(st.one_of(st.just("unit"), st.integers(1, 50), st.just("step")), max_size=60)


@given(scripts, st.randoms(use_true_random=False), st.data())
def test_commits_are_contiguous_and_settle_every_seq_once(
    script: list[object], rng: object, data: st.DataObject
) -> None:
    slots = Slots(Position(3, 7))
    waiting: list[Position] = []
    said: dict[Position, Fate] = {}
    committed: dict[Position, Fate] = {}
    cursor = Position(3, 7)

    def commit() -> None:
        nonlocal cursor
        one = slots.take_commit()
        if one is None:
            return
        assert slots.take_commit() is one, "a commit that flies is given again as it was"
        assert slots.due(0.0) is None
        assert one.start == cursor
        for run in one.runs:
            for seq in range(run.first, run.last + 1):
                at = Position(one.to.epoch, seq)
                assert at == Position(cursor.epoch, cursor.seq + 1)
                cursor = at
                assert at not in committed
                committed[at] = run.fate
        if not one.runs:
            assert one.to.seq == 0
            assert one.to.epoch == cursor.epoch + 1
            cursor = one.to
        assert one.to == cursor
        assert sum(count for _, count in one.counts) == sum(run.length for run in one.runs)
        assert [f.seq for f in one.frames] == [
            seq for run in one.runs if run.fate is Fate.INFERRED for seq in range(run.first, run.last + 1)
        ]
        slots.landed(0.0)
        assert slots.cursor == cursor

    for step in script:
        if step == "unit":
            slots.add(slots.tail.epoch, slots.tail.seq + 1)
            waiting.append(slots.tail)
        elif step == "step":
            slots.add_step(slots.tail.epoch + 1, 0.0)
        else:
            assert isinstance(step, int)
            before = slots.tail
            slots.add_range(before.seq + step, Fate.GATED, 0.0)
            said |= {Position(before.epoch, seq): Fate.GATED for seq in range(before.seq + 1, slots.tail.seq + 1)}
        if waiting and data.draw(st.booleans()):
            at = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            said[at] = data.draw(st.sampled_from(FATES))
            slots.settle(at, said[at], frame(at.seq) if said[at] is Fate.INFERRED else None, 0.0)
        if data.draw(st.booleans()):
            commit()
    for at in waiting:
        said[at] = Fate.UNDECODABLE
        slots.settle(at, Fate.UNDECODABLE, None, 0.0)
    while slots.cursor != slots.tail:
        commit()
    assert committed == said
    assert slots.take_commit() is None
    assert slots.open == 0


def test_a_result_is_due_at_once_and_the_rest_lingers() -> None:
    slots = Slots(ORIGIN)
    slots.add_step(1, 5.0)
    assert slots.due(5.0) == 0.0
    slots.take_commit()
    slots.landed(5.0)
    slots.add_range(10, Fate.GATED, 6.0)
    assert slots.due(6.0) == pytest.approx(LINGER_S)
    slots.add(1, 11)
    assert slots.due(6.0 + LINGER_S) == pytest.approx(0.0)
    slots.settle(Position(1, 11), Fate.INFERRED, frame(11), 6.01)
    assert slots.due(6.01) == 0.0
    commit = slots.take_commit()
    assert commit is not None
    assert commit.runs == (Run(Fate.GATED, 1, 10), Run(Fate.INFERRED, 11, 11))


def test_nothing_is_due_while_the_first_seq_is_open() -> None:
    slots = Slots(Position(1, 0))
    slots.add(1, 1)
    slots.add(1, 2)
    slots.settle(Position(1, 2), Fate.INFERRED, frame(2), 0.0)
    assert slots.due(100.0) is None
    assert slots.take_commit() is None


def test_one_commit_is_bounded() -> None:
    slots = Slots(Position(1, 0))
    for seq in range(1, 2 * MAX_FRAMES + 2):
        slots.add(1, seq)
        slots.settle(Position(1, seq), Fate.INFERRED, frame(seq), 0.0)
    sizes = []
    while (commit := slots.take_commit()) is not None:
        sizes.append(len(commit.frames))
        slots.landed(0.0)
    assert sizes == [MAX_FRAMES, MAX_FRAMES, 1]
