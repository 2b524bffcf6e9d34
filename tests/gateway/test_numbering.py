"""Every unit of a WHIP client gets one seq and one place in the log: sent, or in a range."""

from hypothesis import given
from hypothesis import strategies as st

from fishladder.gateway.numbering import Numbering
from fishladder.wire.fates import Fate

steps = st.lists(
    st.one_of(
        st.sampled_from(["log", "declare"]),
        st.sampled_from([Fate.SHED, Fate.NO_PICTURE]),
        st.integers(0, 10).map(lambda back: ("lost", back)),
    ),
    max_size=80,
)


@given(steps)
def test_the_log_has_neither_holes_nor_doubles(done: list[object]) -> None:
    it, log = Numbering(), list[tuple[int, int, Fate | None]]()
    captured = 0

    def declare() -> None:
        log.extend((run.first, run.last, run.fate) for run in it.to_declare())

    for step in done:
        if step == "log":
            captured += 1
            declare()
            seq = it.number()
            log.append((seq, seq, None))
            assert not it.entry_wanted
        elif step == "declare":
            declare()
        elif isinstance(step, Fate):
            captured += 1
            it.give_up(step)
            assert it.entry_wanted or step is Fate.NO_PICTURE
        else:
            assert isinstance(step, tuple)
            # The log lost its end: everything from `first` on is wanted again.
            first = max(1, (log[-1][1] if log else 0) + 1 - step[1])
            log = [entry for entry in log if entry[1] < first]
            first = (log[-1][1] if log else 0) + 1
            it.lost(first)
            assert it.entry_wanted
    declare()
    at = 0
    for first, last, _ in log:
        assert first == at + 1
        assert last >= first
        at = last
    assert at == captured == it.position


def test_what_was_logged_and_lost_is_told_apart_from_what_was_shed() -> None:
    it = Numbering()
    for _ in range(3):
        it.number()
    it.give_up(Fate.SHED)
    it.give_up(Fate.SHED)
    it.lost(2)
    assert it.to_declare() == [(Fate.LOG_LOST, 2, 3), (Fate.SHED, 4, 5)]
