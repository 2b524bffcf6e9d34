"""Progress: whatever a log holds and however it is read, each seq after the cursor is decoded or settled once, in
order, and the decoder is told of every gap in what it refers to.
"""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.inference.progress import IDLE_COLD_S, IDLE_S, Job, Lose, Progress, Push, Restart
from fishladder.wire.entry import EpochStart, LogEntry, LoggedUnit, Stamp
from fishladder.wire.fates import Fate, Run
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.messages import Policy
from fishladder.wire.unit import NO_FLAGS, Clock, Codec, Flag, Header, Range


def unit(epoch: int, seq: int, *, clean: bool = False, flags: Flag = NO_FLAGS, codec: Codec = Codec.H264) -> LoggedUnit:
    flags |= Flag.CLEAN if clean else NO_FLAGS
    header = Header(codec, flags, Clock.AGENT, 40_000, 0, 0, 0, epoch, seq, seq * 40_000, 0, 0)
    return LoggedUnit(header, Stamp(seq * 40_000, 0, 0), memoryview(b"x" * 100))


def entries(log: list[LogEntry]) -> list[tuple[Position, LogEntry]]:
    return [(entry.position, entry) for entry in log]


def gop(epoch: int, first: int, last: int, every: int = 10) -> list[LogEntry]:
    return [unit(epoch, seq, clean=(seq - 1) % every == 0) for seq in range(first, last + 1)]


def camera(cursor: Position = ORIGIN, policy: Policy | None = None) -> Progress:
    return Progress("site/camera", cursor, policy or Policy())


def pushed(jobs: list[Job], *, context: bool = False) -> list[int]:
    return [job.header.seq for job in jobs if isinstance(job, Push) and job.context is context]


def test_a_new_camera_begins_with_its_epoch() -> None:
    progress = camera()
    jobs = progress.take(entries([EpochStart(1, ORIGIN), *gop(1, 1, 3)]), 0.0, 0)
    assert isinstance(jobs[0], Restart)
    assert pushed(jobs) == [1, 2, 3]
    assert progress.slots.tail == Position(1, 3)
    commit = progress.slots.take_commit()
    assert commit is not None
    assert commit.to == Position(1, 0)


def test_a_take_over_decodes_from_the_clean_point_at_or_before_the_next_unit() -> None:
    progress = camera(Position(1, 25))
    jobs = progress.take(entries(gop(1, 1, 30)), 0.0, 0)
    assert pushed(jobs, context=True) == [21, 22, 23, 24, 25]
    assert pushed(jobs) == [26, 27, 28, 29, 30]


def test_no_context_where_the_next_unit_is_a_clean_point() -> None:
    progress = camera(Position(1, 20))
    jobs = progress.take(entries(gop(1, 11, 22)), 0.0, 0)
    assert pushed(jobs, context=True) == []
    assert pushed(jobs) == [21, 22]


def test_a_range_that_lies_partly_before_the_cursor_counts_from_there() -> None:
    progress = camera(Position(1, 7))
    progress.take(entries([Range(epoch=1, first=1, last=12, fate=Fate.GATED)]), 0.0, 0)
    commit = progress.slots.take_commit()
    assert commit is not None
    assert (commit.start, commit.to, commit.counts) == (Position(1, 7), Position(1, 12), [(Fate.GATED, 5)])


@pytest.mark.parametrize(
    "entry",
    [
        unit(1, 12, clean=True),
        unit(2, 1, clean=True),
        Range(epoch=1, first=12, last=20, fate=Fate.GATED),
        EpochStart(2, Position(1, 11)),
    ],
    ids=["unit", "unit of another epoch", "range", "epoch"],
)
def test_a_hole_after_what_was_read_means_the_log_is_lost(entry: LogEntry) -> None:
    progress = camera(Position(1, 5))
    progress.take(entries(gop(1, 1, 10)), 0.0, 0)
    assert progress.take(entries([entry]), 0.0, 0) == []
    assert progress.lost
    assert not progress.reached_by(entry, None)
    assert progress.found() == [], "the decoder is up to date: nothing has to be read again"
    assert progress.read_after == Position(1, 10)
    jobs = progress.take(entries(gop(1, 11, 13)), 0.0, 0)
    assert pushed(jobs) == [11, 12, 13]


def test_a_log_lost_at_a_take_over_is_read_from_its_new_start() -> None:
    progress = camera(Position(1, 25))
    progress.take(entries(gop(1, 27, 30)), 0.0, 0)
    assert progress.lost
    assert isinstance(progress.found()[0], Restart)
    assert progress.read_after == ORIGIN
    jobs = progress.take(entries(gop(1, 21, 30)), 0.0, 0)
    assert pushed(jobs, context=True) == [21, 22, 23, 24, 25]
    assert pushed(jobs) == [26, 27, 28, 29, 30]


def test_an_empty_log_is_lost_if_its_owner_wrote_more() -> None:
    progress = camera(Position(1, 25))
    assert progress.reached_by(None, None)
    assert progress.reached_by(None, Position(1, 25))
    assert not progress.reached_by(None, Position(1, 26))
    assert not progress.reached_by(None, Position(2, 0))


def test_an_epoch_that_ended_before_what_was_read_is_stepped_over() -> None:
    """An agent reports its position each second, so what it says may lag behind what it sent."""
    progress = camera(Position(1, 0))
    progress.take(entries(gop(1, 1, 10)), 0.0, 0)
    progress.take(entries([EpochStart(2, Position(1, 8)), *gop(2, 1, 2)]), 0.0, 0)
    assert progress.slots.tail == Position(2, 2)


def test_deferred_ranges_are_passed_over_and_committed_as_such() -> None:
    progress = camera(Position(1, 5))
    progress.take(entries([Range(epoch=1, first=4, last=9, fate=Fate.DEFERRED)]), 0.0, 0)
    commit = progress.slots.take_commit()
    assert commit is not None
    assert commit.to == Position(1, 9)
    assert commit.runs == (Run(Fate.DEFERRED, 6, 9),)


@pytest.mark.parametrize(
    ("fate", "sampled", "loses"),
    [
        (Fate.GATED, False, False),
        (Fate.SAMPLED_OUT, False, False),
        (Fate.SHED, True, False),
        (Fate.SHED, False, True),
        (Fate.SPOOL_FULL, True, True),
        (Fate.LOG_LOST, False, True),
        (Fate.STATE_LOST, True, True),
    ],
)
def test_the_decoder_is_told_of_lost_references(fate: Fate, sampled: bool, loses: bool) -> None:
    flags = Flag.SAMPLED if sampled else NO_FLAGS
    progress = camera(Position(1, 0))
    log = [unit(1, 1, clean=True, flags=flags), Range(epoch=1, first=2, last=4, fate=fate), unit(1, 5, flags=flags)]
    jobs = progress.take(entries(log), 0.0, 0)
    assert any(isinstance(job, Lose) for job in jobs) is loses
    assert pushed(jobs) == [1, 5]


def test_an_idle_decoder_is_emptied_and_filled_again() -> None:
    progress = camera(Position(1, 0))
    progress.take(entries(gop(1, 1, 15)), 10.0, 0)
    assert progress.idle(10.0 + IDLE_S - 0.01) == []
    assert [type(job) for job in progress.idle(10.0 + IDLE_S)] == [Restart]
    assert progress.take(entries([unit(1, 16)]), 20.0, 0) == []
    assert progress.read_after == ORIGIN, "it is read again from the start of the log"
    jobs = progress.take(entries(gop(1, 11, 16)), 20.0, 0)
    assert pushed(jobs, context=True) == [11, 12, 13, 14, 15]
    assert pushed(jobs) == [16]


def test_a_clean_point_after_silence_needs_no_second_reading() -> None:
    progress = camera(Position(1, 0))
    progress.take(entries(gop(1, 1, 20)), 10.0, 0)
    progress.idle(12.0)
    assert pushed(progress.take(entries(gop(1, 21, 22)), 20.0, 0)) == [21, 22]


def test_a_decoder_that_cannot_be_filled_again_is_left_alone_for_longer() -> None:
    progress = camera(Position(1, 0))
    progress.take(entries([unit(1, seq) for seq in range(1, 5)]), 10.0, 0)
    assert progress.idle(10.0 + IDLE_S) == []
    assert progress.idle(10.0 + IDLE_COLD_S) != []


def test_policies() -> None:
    assert [job.wanted for job in _pushes(Policy(fps=5), NO_FLAGS)] == [seq % 5 == 0 for seq in range(1, 11)]
    assert all(job.wanted for job in _pushes(Policy(fps=5), Flag.SAMPLED))
    assert all(job.wanted for job in _pushes(Policy(), NO_FLAGS))
    fresh = _pushes(Policy(policy="fresh", deadline_ms=100), NO_FLAGS)
    assert [job.expires_us for job in fresh] == [seq * 40_000 + 100_000 for seq in range(1, 11)]
    assert all(job.expires_us is None for job in _pushes(Policy(deadline_ms=100), NO_FLAGS))


def _pushes(policy: Policy, flags: Flag) -> list[Push]:
    log: list[LogEntry] = [unit(1, seq, clean=seq == 1, flags=flags) for seq in range(1, 11)]
    jobs = camera(Position(1, 0), policy).take(entries(log), 0.0, 0)
    return [job for job in jobs if isinstance(job, Push)]


def test_a_policy_that_analyses_other_pictures_begins_with_a_new_decoder() -> None:
    progress = camera(Position(1, 0))
    progress.take(entries(gop(1, 1, 5)), 0.0, 0)
    assert progress.set_policy(Policy(fps=3)) == []
    [restart] = progress.set_policy(Policy(analyse="keyframes"))
    assert restart == Restart(keyframes_only=True)


@dataclass
class Decoder:
    """What a decoder would see: it must not be given a unit whose reference it lacks without being told."""

    at: int | None = None
    exact: bool = False
    decoded: list[Position] = field(default_factory=list)
    inexact: list[Position] = field(default_factory=list)

    def do(self, job: Job) -> None:
        match job:
            case Restart() | Lose():
                self.at, self.exact = None, False
            case Push():
                head = job.header
                clean = bool(head.flags & Flag.CLEAN)
                if not clean:
                    assert self.at is None or head.seq == self.at + 1, f"{head.seq} follows {self.at} unannounced"
                self.exact |= clean
                self.at = head.seq
                if not job.context:
                    self.decoded.append(Position(head.epoch, head.seq))
                    if not self.exact:
                        self.inexact.append(Position(head.epoch, head.seq))


#: Groups of pictures: their length, and whether a gate leaves some out behind them.
histories = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=8)


@given(histories, st.integers(0, 1 << 32), st.integers(0, 3))
def test_every_seq_once_from_any_cursor_with_any_reads_and_silences(
    history: list[tuple[int, bool]], seed: int, silences: int
) -> None:
    """Two epochs of groups of pictures and clean points; a take-over at any position; reads of any size; decoders
    emptied at any time. All pictures are decoded once and exactly.
    """
    log: list[LogEntry] = []
    at = ORIGIN
    for epoch in (1, 2):
        log.append(EpochStart(epoch, at))
        seq = 0
        for length, gated in history:
            log += [unit(epoch, seq + step, clean=step == 1) for step in range(1, length + 1)]
            seq += length
            if gated:
                log.append(Range(epoch=epoch, first=seq + 1, last=seq + 3, fate=Fate.GATED))
                seq += 3
        at = Position(epoch, seq)
    rng = random.Random(seed)
    cursor = rng.choice([entry.position for entry in log])
    progress = camera(cursor)
    decoder = Decoder()
    now = 0.0
    while progress.slots.tail != at:
        rest = [pair for pair in entries(log) if pair[0] > progress.read_after]
        jobs = progress.take(rest[: rng.randrange(1, 10)], now, 0)
        assert not progress.lost
        if silences and rng.random() < 0.2:
            silences -= 1
            now += 20.0
            jobs += progress.idle(now)
        for job in jobs:
            decoder.do(job)
    units = [entry.position for entry in log if isinstance(entry, LoggedUnit) and entry.position > cursor]
    assert decoder.decoded == units
    assert decoder.inexact == []
    for position in units:
        progress.settle(position, Fate.INFERRED, None, 0.0)
    while progress.slots.take_commit() is not None:
        progress.slots.landed(0.0)
    assert progress.slots.cursor == at
