"""How a worker does, for its heartbeat: how much it has in hand, how fast it is, how far behind. Pure."""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from fishladder.inference.camera_run import CameraRun

#: Rates are over so many seconds.
_WINDOW_S = 10.0
#: A camera with something in hand and no commit for so long falls further behind each second.
_STUCK_US = 5_000_000


@dataclass(frozen=True, slots=True)
class Vitals:
    """`lag_ms`: how old the newest frame was when its result was committed, of the camera where that is most."""

    cameras: int = 0
    fps: float = 0.0
    lag_ms: int | None = None
    backlog_bytes: int = 0


@dataclass(slots=True)
class VitalSigns:
    """Asked about once a second."""

    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def take(self, runs: Collection[CameraRun], inferred: int, now: float, now_us: int) -> Vitals:
        """`inferred` frames so far; `now` is monotonic seconds, `now_us` the wall clock."""
        self._samples.append((now, inferred))
        while len(self._samples) > 2 and self._samples[1][0] <= now - _WINDOW_S:
            self._samples.popleft()
        then, before = self._samples[0]
        lags = [_lag_us(run, now_us) for run in runs if run.committed_us]
        return Vitals(
            len(runs),
            round((inferred - before) / (now - then), 1) if now > then else 0.0,
            max(lags) // 1000 if lags else None,
            sum(run.backlog_bytes for run in runs),
        )


def _lag_us(run: CameraRun, now_us: int) -> int:
    since_us = now_us - run.landed_us
    stuck = run.backlog_bytes > 0 and since_us > _STUCK_US
    return max(run.landed_us - run.committed_us, 0) + (since_us if stuck else 0)
