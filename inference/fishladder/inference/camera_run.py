"""A camera as this worker works on it, from taking its partition (or beginning anew) to leaving it: its progress, its
place in the compute thread, and what of it is under way.
"""

import time
from dataclasses import dataclass, field

from fishladder.inference.leases import Lease
from fishladder.inference.pipeline import Lane, Settlement, Worked
from fishladder.inference.progress import Job, Progress, Push
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.ids import ORIGIN, Position
from fishladder.wire.messages import Asked, Policy

#: An entry's size before any was read, in bytes.
_FIRST_GUESS = 16_384.0


@dataclass(slots=True, eq=False)
class CameraRun:
    camera: str
    lease: Lease
    progress: Progress
    lane: Lane
    log_key: str = ""
    leaving: bool = False  #: nothing more is read
    paused: bool = False  #: enough was read ahead
    backlog_bytes: int = 0  #: read and not yet decoded
    entry_bytes: float = _FIRST_GUESS  #: what an entry has lately
    read_at: float = 0.0  #: when entries came last, monotonic seconds
    trimmed_to: Position = ORIGIN
    keep_from: Position = ORIGIN
    keyframe_wanted: bool = False
    keyframe_asked_at: float = 0.0
    forgotten_at: float = 0.0
    committed_us: int = 0  #: when the newest frame with a committed result was captured, and when that landed
    landed_us: int = 0
    policy: Policy = field(default_factory=Policy)  #: what is desired of it; its progress has what is in force
    asked: Asked = field(default_factory=Asked)
    asked_at: float = 0.0
    seen_at: float = field(default_factory=time.monotonic)  #: when something was seen in it last
    came: int = 0  #: wanted pictures since this was last looked at, and how many a second there have been
    came_fps: float = 0.0
    _jobs: int = 0
    _held: int = 0

    def __post_init__(self) -> None:
        self.log_key = keys.log(self.partition, self.camera)

    @property
    def partition(self) -> int:
        return self.lease.partition

    @property
    def holds_back(self) -> bool:
        """The decoder has done all its jobs and still owes fates."""
        return self._held > 0 and self._jobs == 0

    def submitted(self, jobs: list[Job]) -> None:
        self._jobs += len(jobs)
        self.backlog_bytes += sum(job.size_bytes for job in jobs)
        self.came += sum(isinstance(job, Push) and job.wanted for job in jobs)

    def report(self, report: Settlement | Worked, now: float) -> None:
        """Take in what the compute thread says."""
        if isinstance(report, Worked):
            self._jobs -= 1
            self._held = report.held
            self.backlog_bytes -= report.size_bytes
            return
        self.progress.settle(report.position, report.fate, report.frame, now)
        if report.frame is not None and report.frame.detections:
            self.seen_at = now
        if report.fate in (Fate.NO_REFERENCE, Fate.UNDECODABLE):
            self.keyframe_wanted = True
