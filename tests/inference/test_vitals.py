"""What a worker says of how it does."""

from fishladder.inference.camera_run import CameraRun
from fishladder.inference.leases import Lease
from fishladder.inference.pipeline import Lane
from fishladder.inference.progress import Progress
from fishladder.inference.vitals import VitalSigns
from fishladder.wire.ids import ORIGIN
from fishladder.wire.messages import Policy

NOW_US = 1_800_000_000_000_000


def run(committed_us: int, landed_us: int, backlog: int = 0) -> CameraRun:
    it = CameraRun("a/one", Lease(0, "t", 0.0), Progress("a/one", ORIGIN, Policy()), Lane("a/one"))
    it.committed_us, it.landed_us, it.backlog_bytes = committed_us, landed_us, backlog
    return it


def test_the_lag_is_that_of_the_camera_furthest_behind() -> None:
    quick = run(NOW_US - 80_000, NOW_US)
    slow = run(NOW_US - 900_000, NOW_US)
    assert VitalSigns().take([quick, slow], 0, 1.0, NOW_US).lag_ms == 900
    assert VitalSigns().take([run(0, 0)], 0, 1.0, NOW_US).lag_ms is None


def test_a_camera_that_is_stuck_falls_behind_and_one_that_sends_nothing_does_not() -> None:
    a_minute_ago = NOW_US - 60_000_000
    assert VitalSigns().take([run(a_minute_ago, a_minute_ago + 1000, 5)], 0, 1.0, NOW_US).lag_ms == 60_000
    assert VitalSigns().take([run(a_minute_ago, a_minute_ago + 1000)], 0, 1.0, NOW_US).lag_ms == 1


def test_its_rate_is_that_of_the_last_seconds() -> None:
    signs = VitalSigns()
    for second in range(60):
        vitals = signs.take([], second * 20 if second < 30 else 600 + (second - 30) * 5, float(second), NOW_US)
    assert vitals.fps == 5.0
