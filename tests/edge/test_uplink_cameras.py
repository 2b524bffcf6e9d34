"""All cameras of an agent on one connection: what their waiting says of the link, and what it does not."""

from pathlib import Path

import pytest
from support.fluid_site import QUEUES

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.clock import OffsetEstimator
from fishladder.edge.rate.control import FIRST_BPS, RateControl
from fishladder.edge.rate.orders import Wish
from fishladder.edge.rate.passing import Flow, Passing, PassingRung
from fishladder.edge.ring import Ring
from fishladder.edge.session import Session
from fishladder.edge.spool.lane import Lane
from fishladder.edge.spool.spill import LATE_US
from fishladder.edge.spool.store import SpoolStore
from fishladder.edge.uplink_cameras import UplinkCameras
from fishladder.wire.messages import Ack, CameraWelcome, Policy, Welcome
from fishladder.wire.unit import NO_FLAGS, Codec, Flag

FPS, UNIT_BYTES = 10, 2000
TICK_US = 20_000


class Hands:
    """A clock that is moved by hand."""

    us = 1_000_000

    def mono_us(self) -> int:
        return self.us

    def wall_us(self) -> int:
        return self.us


def on_one_connection(sessions: list[Session], clock: Hands) -> UplinkCameras:
    return UplinkCameras(
        sessions,
        clock,
        OffsetEstimator(),
        on_policy=lambda channel, policy: None,
        on_keyframe=lambda channel: None,
        agent="test",
        renews=False,
    )


def captured_now(session: Session, clock: Hands, size: int, *, key: bool) -> None:
    flags = Flag.CLEAN if key else NO_FLAGS
    unit = CapturedUnit(Codec.H264, flags, 64, 48, 100_000, clock.us, clock.us, bytes(size))
    session.append_unit(unit, wall_us=clock.us, ready_us=0)


@pytest.mark.parametrize("slower", [True, False])
def test_where_the_link_has_just_become_slower_nothing_is_put_on_top(
    slower: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a picture of which little has gone the rest does not follow, and what comes next waits."""
    clock, held_back = Hands(), False
    monkeypatch.setattr(RateControl, "holds_back", lambda self, now_s: held_back)
    session = Session("shop/door", 0, Ring())
    cameras = on_one_connection([session], clock)
    cameras.remember({0: Lane(session, SpoolStore(tmp_path / "door.sqlite", 1), None, lambda: None)}, "boot", 0)
    cameras.connected()
    cameras.hellos(clock.us / 1e6, anyway=True)
    cameras.welcomed(Welcome(1, "test", [CameraWelcome(0, 1, 1, 0, Policy())], [], 1 << 20), clock.us / 1e6)
    scheduler = cameras.scheduler
    scheduler.fragment_bytes = 1200
    scheduler.grant(1 << 20)
    session.late_us = LATE_US
    captured_now(session, clock, 1000, key=True)
    assert scheduler.next() is not None
    captured_now(session, clock, 15_000, key=False)
    assert scheduler.next() is not None
    held_back = slower
    clock.us += 50_000
    assert len(cameras.hopeless()) == int(slower)
    assert (scheduler.next() is None) == slower


def test_what_waited_while_its_camera_was_refused_says_nothing_of_the_link() -> None:
    """Two cameras of four seconds' pictures, on a fast link: the second is let in later, stores were away."""
    clock = Hands()
    sessions = [Session(f"shop/{name}", channel, Ring()) for channel, name in enumerate(("door", "till"))]
    cameras = on_one_connection(sessions, clock)
    main = Flow(FPS * UNIT_BYTES * 8.0, FPS * UNIT_BYTES * 2.0)
    wish = Wish(1.0, main.bps * 1.1, FPS, 0, 0, Passing(main))
    cameras.connected()
    cameras.hellos(clock.us / 1e6, anyway=True)
    captured, least_bps, rungs = 0, cameras.rate.estimator.rate_bps, set()
    on_their_way = [[0, 0]] * 3
    for tick in range(round(10e6 / TICK_US)):
        clock.us += TICK_US
        if tick * TICK_US >= captured * 1_000_000 // FPS:
            flags = Flag.CLEAN if captured % 20 == 0 else NO_FLAGS
            for session in sessions:
                unit = CapturedUnit(Codec.H264, flags, 64, 48, 100_000, clock.us, clock.us, bytes(UNIT_BYTES))
                session.append_unit(unit, wall_us=clock.us, ready_us=0)
            captured += 1
        for channel, at_us in enumerate((0, 4_000_000)):
            if tick == at_us // TICK_US:
                granted = CameraWelcome(channel, 1, 1, 0, Policy())
                cameras.welcomed(Welcome(1, "test", [granted], [], 1 << 20), clock.us / 1e6)
                cameras.scheduler.grant(1 << 30)
        while cameras.scheduler.next() is not None:
            cameras.handed()
        on_their_way = [[session.ring.next - 1 for session in sessions], *on_their_way[:-1]]
        cameras.acknowledged(Ack([(channel, seq, 0) for channel, seq in enumerate(on_their_way[-1])]), clock.us / 1e6)
        for _, order in cameras.orders(lambda channel, weight: wish, QUEUES):
            rungs.add(order.passing)
        least_bps = min(least_bps, cameras.rate.estimator.rate_bps)
    assert all(session.ring.logged == captured for session in sessions)
    assert least_bps >= 2 * FIRST_BPS, "nothing has brought it down"
    assert rungs == {PassingRung()}
