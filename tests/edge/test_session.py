"""One camera's side of the protocol: from where it sends, and what refusals, fences and lost stores make it do."""

import random
from pathlib import Path

import pytest

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.ring import Ring
from fishladder.edge.session import SUPERSEDED_RETRY_S, Session, State
from fishladder.edge.spool.journal import Journal
from fishladder.edge.spool.lane import Lane
from fishladder.edge.spool.store import Life, SpoolStore
from fishladder.wire.fates import Fate
from fishladder.wire.messages import CameraWelcome, Policy, Refusal
from fishladder.wire.unit import NO_FLAGS, UNIT_HEADER_BYTES, Codec, Flag, Range, Unit

WALL_US = 40 * 365 * 86_400 * 1_000_000  # this host believes it is 2010


@pytest.fixture
def session() -> Session:
    return Session("shop/door", 7, Ring(), rng=random.Random(1))


def capture(session: Session, count: int, *, gop: int = 5, size: int = 50) -> None:
    for _ in range(count):
        at = session.position
        flags = Flag.CLEAN if at % gop == 0 else NO_FLAGS
        unit = CapturedUnit(Codec.H264, flags, 64, 48, 40_000, at * 40_000, at * 40_000, bytes(size))
        session.append_unit(unit, wall_us=WALL_US + at * 40_000, ready_us=1500)


def welcome(session: Session, next: int = 1, committed: int = 0, epoch: int = 3) -> None:
    session.hello(0.0)
    assert session.welcomed(CameraWelcome(7, epoch, next, committed, Policy(fps=2))) is None


def sent(session: Session, offset_us: int | None = None) -> list[Unit | Range]:
    items = []
    while (item := session.take(10**9, offset_us)) is not None:
        items.append(item)
    return items


def test_hello_says_what_is_held_and_the_welcome_where_to_begin(session: Session) -> None:
    capture(session, 12)
    assert session.hello_due(0.0)
    hello = session.hello(0.0)
    assert (hello.camera, hello.channel, hello.epoch, hello.position, hello.oldest) == ("shop/door", 7, 0, 12, 1)
    assert hello.clean == [1, 6, 11]
    assert not session.hello_due(99.0)
    assert session.welcomed(CameraWelcome(7, 3, 6, 5)) is None
    assert [item.position.seq for item in sent(session)] == list(range(6, 13))
    assert session.state is State.OPEN


def test_nothing_is_sent_before_the_welcome(session: Session) -> None:
    capture(session, 3)
    assert sent(session) == []
    session.hello(0.0)
    assert sent(session) == []


def test_capture_times_are_the_gateways_whatever_this_hosts_clock_says(session: Session) -> None:
    capture(session, 2)
    welcome(session)
    offset_us = 1_790_000_000_000_000
    for seq, unit in enumerate(sent(session, offset_us)):
        assert isinstance(unit, Unit)
        assert unit.flags & Flag.SYNCED
        assert unit.wall_us + unit.offset_us == seq * 40_000 + offset_us


def test_without_an_answered_probe_units_are_not_called_synced(session: Session) -> None:
    capture(session, 1)
    welcome(session)
    [unit] = sent(session, None)
    assert isinstance(unit, Unit)
    assert not unit.flags & Flag.SYNCED


def test_what_a_gateway_lost_and_the_agent_forgot_is_declared_state_lost(session: Session) -> None:
    capture(session, 20)
    welcome(session)
    sent(session)
    session.acknowledged(20, 17)  # the ring now begins at the clean point 16
    session.disconnected()
    welcome(session, next=4, committed=3)
    first, *rest = sent(session)
    assert isinstance(first, Range)
    assert (first.first, first.last, first.fate, first.epoch) == (4, 15, Fate.STATE_LOST, 3)
    assert [item.position.seq for item in rest] == list(range(16, 21))
    assert session.state_lost == 12


def test_what_hangs_on_what_is_deferred_without_being_here_is_not_sent_live(tmp_path: Path) -> None:
    """The stack's state went back, and the clean point was forgotten: 15 refers to 11, which follows later."""
    session = Session("shop/door", 7, Ring(replay_bytes=100))
    lane = Lane(session, SpoolStore(tmp_path / "door.sqlite", 1), None, lambda: None)
    lane.restore()
    capture(session, 20)
    welcome(session)
    sent(session)
    session.acknowledged(20, 14)
    assert session.ring.oldest == 15
    session.fenced(1.0)
    welcome(session, next=4, committed=3)
    [deferred] = sent(session)
    assert isinstance(deferred, Range)
    assert (deferred.first, deferred.last, deferred.fate) == (4, 14, Fate.DEFERRED)
    assert session.ring.blocked
    assert session.ring.wants_keyframe
    lane.store.close()


@pytest.mark.parametrize(("spooled_to", "live"), [(12, []), (11, [13, 14, 15])])
def test_an_agent_that_was_killed_does_not_know_what_it_had_deferred(
    tmp_path: Path, spooled_to: int, live: list[int]
) -> None:
    """The stack has up to 12. If that is in the spool it may be as deferred, to which 13 to 15 refer; 16 is clean."""

    def lane_of(session: Session) -> Lane:
        lane = Lane(session, SpoolStore(tmp_path / "door.sqlite", 1), Journal(tmp_path / "ring"), lambda: None)
        lane.restore()
        return lane

    session = Session("shop/door", 7, Ring())
    lane = lane_of(session)
    capture(session, 15)
    welcome(session)
    spilled = [held for held in session.ring if 11 <= held.last <= spooled_to]
    assert lane.store.put(Life(lane.life.id, 3, 15), spilled)
    lane.store.close()

    session = Session("shop/door", 7, Ring())
    lane = lane_of(session)
    welcome(session, next=13, committed=9)
    assert [item.position.seq for item in sent(session)] == live
    assert session.ring.wants_keyframe
    capture(session, 1)
    if not live:
        assert session.ring.blocked
        session.ring.defer(15)
        [deferred, clean] = sent(session)
        assert isinstance(deferred, Range)
        assert (deferred.first, deferred.last, deferred.fate) == (13, 15, Fate.DEFERRED)
        assert clean.position.seq == 16
    lane.store.close()


def test_a_welcome_beyond_what_was_captured_is_not_believed(session: Session) -> None:
    capture(session, 5)
    session.hello(0.0)
    problem = session.welcomed(CameraWelcome(7, 3, 50, 0))
    assert problem is not None
    assert "50" in problem


def test_after_a_lost_connection_unacknowledged_units_are_sent_again(session: Session) -> None:
    capture(session, 8)
    welcome(session)
    sent(session)
    session.acknowledged(5, 0)
    session.disconnected()
    assert session.hello_due(0.0)
    welcome(session, next=6)
    assert [item.position.seq for item in sent(session)] == [6, 7, 8]


def test_a_fence_means_hello_at_once_and_then_more_slowly(session: Session) -> None:
    capture(session, 3)
    welcome(session)
    session.fenced(100.0)
    assert session.hello_due(100.0)
    assert sent(session) == []
    delays = []
    now = 100.0
    for _ in range(6):
        session.hello(now)
        session.welcomed(CameraWelcome(7, 3, 1))
        session.fenced(now)
        delays.append(session.hello_at_s - now)
        now = session.hello_at_s
    assert delays[-1] > 4 * delays[0] > 0
    session.hello(now)
    session.welcomed(CameraWelcome(7, 3, 1))
    session.fenced(now + 3600)
    assert session.hello_due(now + 3600)


def test_a_fence_instead_of_a_welcome_means_hello_again_and_more_slowly_if_it_stays_so(session: Session) -> None:
    capture(session, 3)
    session.hello(100.0)
    session.fenced(101.0)
    assert session.hello_due(101.0)
    session.hello(101.0)
    session.fenced(101.0)
    assert session.state is State.WAITING
    assert not session.hello_due(101.05)
    assert session.hello_due(102.0)
    welcome(session)
    assert [item.position.seq for item in sent(session)] == [1, 2, 3]


def test_acks_of_a_session_that_ended_are_ignored(session: Session) -> None:
    capture(session, 5)
    welcome(session)
    sent(session)
    session.fenced(1.0)
    session.acknowledged(5, 5)
    assert session.pending == 5


def test_superseded_forgets_the_epoch_and_comes_back_later(session: Session) -> None:
    capture(session, 9)
    welcome(session, epoch=3)
    session.disconnected()
    session.hello(50.0)
    session.refused(Refusal(7, "superseded", "another agent has it"), 50.0)
    assert not session.hello_due(50.0 + SUPERSEDED_RETRY_S - 0.1)
    assert session.hello_due(50.0 + SUPERSEDED_RETRY_S)
    assert session.wants_keyframe
    capture(session, 2)
    hello = session.hello(90.0)
    assert (hello.epoch, hello.position, hello.oldest) == (0, 2, 1)


@pytest.mark.parametrize(
    ("refusal", "least_s"),
    [
        (Refusal(7, "forbidden", "not yours"), 30.0),
        (Refusal(7, "invalid", "bad name"), 30.0),
        (Refusal(7, "unavailable", "no store", retry_s=2.5), 2.5),
        (Refusal(7, "limit", "too many"), 0.1),
    ],
)
def test_refusals_are_asked_again_when_it_makes_sense(session: Session, refusal: Refusal, least_s: float) -> None:
    session.hello(10.0)
    session.refused(refusal, 10.0)
    assert not session.hello_due(10.0 + least_s - 0.01)
    assert session.hello_due(10.0 + 61)
    session.disconnected()  # a reconnection does not make it ask sooner
    assert not session.hello_due(10.0 + least_s - 0.01)


def test_a_unit_over_the_gateways_limit_is_declared_instead(session: Session) -> None:
    capture(session, 1, size=5000)
    capture(session, 1, size=10)
    session.hello(0.0)
    session.welcomed(CameraWelcome(7, 3, 1), max_unit_bytes=2000)
    first, second = sent(session)
    assert isinstance(first, Range)
    assert first.fate is Fate.ENCODER
    assert isinstance(second, Unit)
    assert session.oversized == 1
    assert session.largest_bytes == 5000 + UNIT_HEADER_BYTES
    session.disconnected()
    session.hello(1.0)
    session.welcomed(CameraWelcome(7, 3, 1), max_unit_bytes=2000)
    assert len(sent(session)) == 2
    assert session.oversized == 1
