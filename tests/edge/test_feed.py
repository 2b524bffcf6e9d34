"""One camera inside the agent: what it says of how its pictures are sent."""

import pytest

from fishladder.edge.cameras.kinds import CameraSettings
from fishladder.edge.capture import CaptureSettings, Command
from fishladder.edge.capture_records import Captured, CapturedUnit, Left, Opened
from fishladder.edge.child import Child
from fishladder.edge.clock import SystemClock
from fishladder.edge.feed import Feed
from fishladder.edge.gate import GateSettings
from fishladder.edge.rate.orders import Order
from fishladder.edge.rate.passing import ENCODED_STEPS
from fishladder.edge.ring import Ring
from fishladder.edge.session import Session
from fishladder.edge.uplink_status import Sending
from fishladder.wire.fates import Fate
from fishladder.wire.messages import CameraReport, Policy
from fishladder.wire.unit import Codec, Flag


def feed(gate: GateSettings | None = None) -> Feed:
    settings = CaptureSettings(CameraSettings("test:"), gate=gate)
    sink = Session("a/one", 0, Ring(1 << 20))
    return Feed("a/one", settings, sink, SystemClock(), lambda: None)


def tell(it: Feed, *fates: Fate | None) -> None:
    """Pictures and what became of them; None: it was sent."""
    for fate in fates:
        it.on_record(Captured(1))
        if fate is None:
            it.on_record(CapturedUnit(Codec.H264, Flag.CLEAN, 64, 64, 0, 1, 1, b"unit"))
        else:
            it.on_record(Left(fate))


def test_a_gate_is_closed_while_it_holds_back_and_its_sign_of_life_does_not_open_it() -> None:
    it = feed(GateSettings())
    assert it.sending is None
    it.on_record(Opened("encode", "h264", 64, 64, 10.0))
    assert it.sending == Sending("encode", True)
    tell(it, None, Fate.GATED, Fate.GATED)
    assert it.sending == Sending("encode", False)
    tell(it, None)
    assert it.sending == Sending("encode", False)
    tell(it, Fate.GATED, None, None)
    assert it.sending == Sending("encode", True)


def test_what_has_no_gate_says_none() -> None:
    it = feed()
    it.on_record(Opened("passthrough", "h264"))
    assert it.sending == Sending("passthrough", None)


def test_a_camera_wishes_for_no_more_pictures_than_the_stack_wants() -> None:
    it = feed()
    it.on_record(Opened("encode", "h264", 640, 480, 10.0))
    wish = it.wish(1.0)
    assert wish is not None
    assert wish.fps == 10.0
    it.obey(Policy(fps=3.0))
    wish = it.wish(1.0)
    assert wish is not None
    assert wish.fps == 3.0


def test_a_paused_camera_sends_nothing_and_goes_on_with_a_keyframe() -> None:
    it = feed()
    it.on_record(Opened("passthrough", "h264"))
    session = it.sink
    assert isinstance(session, Session)

    def came(flags: Flag) -> bool:
        """Whether a unit is kept to be sent."""
        before, at = session.held_bytes, session.position
        it.on_record(CapturedUnit(Codec.H264, flags, 64, 64, 0, at, at + 1, bytes(10_000)))
        assert session.position == at + 1, "every picture is numbered"
        return session.held_bytes > before + 9000

    assert came(Flag.CLEAN)
    it.obey(Policy(pause=True, cap_bps=100_000))
    assert it.report(3) == CameraReport(3, "passthrough", paused=True, cap_bps=100_000)
    assert not came(Flag(0))
    assert not came(Flag.CLEAN)
    it.obey(Policy())
    assert not came(Flag(0)), "what leans on pictures that were left out is left out"
    assert came(Flag.CLEAN)
    assert came(Flag(0))
    assert it.report(3) == CameraReport(3, "passthrough")


def test_a_cap_bounds_what_a_camera_wishes_for() -> None:
    it = feed()
    it.on_record(Opened("encode", "h264", 640, 480, 10.0))
    it.obey(Policy(cap_bps=200_000))
    wish = it.wish(1.0)
    assert wish is not None
    assert wish.most_bps == 200_000
    it.obey(Policy(pause=True))
    assert it.wish(1.0) is None


def test_what_the_link_allows_holds_for_a_camera_whose_settings_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """The uplink says it once; a new capture process has to hear it too, and so does one that is told meanwhile."""
    told: list[tuple[Child, Command]] = []
    monkeypatch.setattr(Child, "command", lambda child, command: told.append((child, command)))
    it = feed()
    it.limit(Order(300_000, fps=5.0, width=320))
    first = it.child
    it.change(CaptureSettings(CameraSettings("test:")))
    it.limit(Order(200_000))
    heard = [(command.bitrate_bps, command.thin_fps, command.width) for child, command in told if child is not first]
    assert heard == [(300_000, 5.0, 320), (200_000, 0.0, 0)]


def test_what_is_passed_on_is_not_said_to_be_thinned_out() -> None:
    it = feed()
    it.obey(Policy(fps=3.0, cap_bps=200_000))
    it.on_record(Opened("passthrough", "h264", 640, 480, 15.0))
    assert it.report(0) == CameraReport(0, "passthrough", cap_bps=200_000)
    it.settings = it.child.settings = CaptureSettings(CameraSettings("test:"), steps=())
    assert it.report(0) == CameraReport(0, "passthrough")
    it.on_record(Opened("encode", "h264", 640, 480, 15.0))
    assert it.report(0) == CameraReport(0, "encode", 3.0, cap_bps=200_000)


def test_what_is_encoded_anew_says_so_and_still_wishes_to_be_passed_on() -> None:
    it = feed()
    it.settings = it.child.settings = CaptureSettings(CameraSettings("test:"), steps=ENCODED_STEPS)
    it.obey(Policy(fps=3.0))
    it.on_record(Opened("passthrough", "h264", 640, 480, 15.0))
    before = it.wish(1.0)
    it.on_record(Opened("transcode", "h264", 640, 480, 15.0, "main stream"))
    wish = it.wish(1.0)
    assert wish is not None
    assert wish == before
    assert wish.passing is not None
    assert wish.passing.encoded_bps == it.child.settings.encoder.bitrate_bps
    assert (wish.width, wish.height, wish.fps) == (640, 480, 3.0)
    assert it.report(0) == CameraReport(0, "encode", 3.0)
    assert it.sending == Sending("encode")
