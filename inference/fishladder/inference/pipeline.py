"""The compute thread: decodes cameras' units in fair turns, prepares the pictures to analyse, runs the model on them
in batches. Jobs come from the event loop and reports go back to it; what they mean for a camera `progress` knows.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Condition
from typing import NamedTuple

import av
import structlog

from fishladder.inference import metrics
from fishladder.inference.batch import Batcher, Turns
from fishladder.inference.decode import CameraDecoder, Outcome, Picture
from fishladder.inference.model import Detector, Prepared
from fishladder.inference.progress import Job, Lose, Push, Restart
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position
from fishladder.wire.result import Detection, FrameResult, Hops

log = structlog.get_logger(__name__)
#: How many reports are collected before the event loop is told, while there is more to decode.
_REPORTS = 32


class Settlement(NamedTuple):
    """What became of a unit."""

    position: Position
    fate: Fate
    frame: FrameResult | None


class Worked(NamedTuple):
    """A job was done. `held`: how many units are in the decoder whose fate is still to come."""

    size_bytes: int
    held: int


Report = Settlement | Worked


class _Begun(NamedTuple):
    """A unit in the decoder and when it went in (wall clock)."""

    push: Push
    at_us: int


@dataclass(slots=True, eq=False)
class Lane:
    """One camera's place in the compute thread. `backfill`: only while no other has anything to do."""

    camera: str
    weight: float = 1.0
    backfill: bool = False
    spent: float = 0.0
    queue: deque[Job] = field(default_factory=deque)
    decoder: CameraDecoder = field(default_factory=CameraDecoder)
    begun: dict[int, _Begun] = field(default_factory=dict)

    @property
    def held(self) -> int:
        return self.decoder.pending

    def advance(self, job: Job) -> list[Outcome]:
        """Do a job; what comes of it."""
        match job:
            case Push():
                head = job.header
                if not job.context:
                    self.begun[head.seq] = _Begun(job, _wall_us())
                return self.decoder.push(
                    head.seq, codec=head.codec, payload=job.data, context=job.context, wanted=job.wanted
                )
            case Lose():
                return self.decoder.lose()
            case Restart():
                outcomes = self.decoder.drain()
                self.decoder = CameraDecoder(keyframes_only=job.keyframes_only)
                return outcomes


class _Ready(NamedTuple):
    """A picture as the model wants it."""

    lane: Lane
    begun: _Begun
    prepared: Prepared
    at_us: int


@dataclass(frozen=True, slots=True)
class _Turn:
    """The next job, and whose."""

    lane: Lane
    job: Job


class Pipeline:
    """`run` is the compute thread; everything else is for the event loop. `deliver` is called in the compute thread."""

    def __init__(
        self,
        detector: Detector,
        *,
        batch: int,
        batch_wait_s: float,
        deliver: Callable[[list[tuple[Lane, Report]]], None],
    ) -> None:
        self._detector = detector
        self._deliver = deliver
        self._wake = Condition()  # guards everything below
        self._batch: Batcher[_Ready] = Batcher(batch, batch_wait_s)
        self._turns: Turns[Lane] = Turns()
        self._waiting: set[Lane] = set()
        self._later: set[Lane] = set()  # the same of backfill
        self._at_work: set[Lane] = set()  # in hand, or with reports that are not delivered
        self._stopping = False
        self._busy_s = 0.0  # written by the compute thread alone
        self._done = 0
        self._reports: list[tuple[Lane, Report]] = []  # the compute thread's own

    def submit(self, lane: Lane, jobs: Sequence[Job]) -> None:
        """Queue jobs of one camera, in order."""
        if not jobs:
            return
        with self._wake:
            if not lane.queue:
                self._turns.enter(lane)
                (self._later if lane.backfill else self._waiting).add(lane)
            lane.queue.extend(jobs)
            self._wake.notify()

    def clear(self, lane: Lane) -> None:
        """Forget a camera's jobs that have not begun. What is in hand is still reported."""
        with self._wake:
            lane.queue.clear()
            self._waiting.discard(lane)
            self._later.discard(lane)

    def busy(self, lane: Lane) -> bool:
        """Whether something of a camera is in hand or queued; once it is not, everything was delivered."""
        with self._wake:
            return bool(lane.queue) or lane in self._at_work or self._batch.holds(lambda ready: ready.lane is lane)

    def worked(self) -> tuple[float, int]:
        """Seconds spent at work, and frames inferred, so far."""
        return self._busy_s, self._done

    def waiting(self, lanes: Sequence[Lane]) -> tuple[int | None, int]:
        """When the unit that waits longest of these came out of its log, None if none waits; and how many pictures to
        analyse wait.
        """
        with self._wake:
            waits = [job for lane in lanes for job in lane.queue if isinstance(job, Push)]
        return min((job.read_us for job in waits), default=None), sum(job.wanted for job in waits)

    def stop(self) -> None:
        """Make `run` return after what it does at the moment."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def run(self) -> None:
        """Work until `stop`. Raises what the model raises."""
        while True:
            match self._next():
                case None:
                    return
                case [*batch]:
                    self._infer(batch)
                    self._flush()
                case _Turn(lane, job):
                    self._work(lane, job)
                    if len(self._reports) >= _REPORTS or not self._waiting:
                        self._flush()

    def _next(self) -> list[_Ready] | _Turn | None:
        """Wait for something to do: a batch that is due, else the job whose turn it is; None = stop."""
        with self._wake:
            if not self._reports:
                self._at_work.clear()
            while not self._stopping:
                due_s = self._batch.wait(time.monotonic())
                if due_s == 0.0:
                    batch = self._batch.take(time.monotonic())
                    self._at_work.update(ready.lane for ready in batch)
                    return batch
                if lane := self._turns.pick(self._waiting or self._later):
                    job = lane.queue.popleft()
                    if not lane.queue:
                        self._waiting.discard(lane)
                        self._later.discard(lane)
                    self._at_work.add(lane)
                    return _Turn(lane, job)
                # What was queued may have been cleared since: then nothing else delivers before the wait.
                self._flush()
                self._at_work.clear()
                self._wake.wait(due_s)
            return None

    def _flush(self) -> None:
        if self._reports:
            self._deliver(self._reports)
            self._reports = []

    def _work(self, lane: Lane, job: Job) -> None:
        began = time.perf_counter()
        for outcome in lane.advance(job):
            self._take_outcome(lane, outcome)
        self._reports.append((lane, Worked(job.size_bytes, lane.held)))
        took_s = time.perf_counter() - began
        self._busy_s += took_s
        self._turns.charge(lane, took_s)

    def _take_outcome(self, lane: Lane, outcome: Outcome) -> None:
        begun = lane.begun.pop(outcome.seq)
        if not isinstance(outcome, Picture):
            self._settle(lane, begun.push, outcome.fate)
            return
        if _expired(begun.push, _wall_us()):
            self._settle(lane, begun.push, Fate.EXPIRED)
            return
        try:
            prepared = self._detector.prepare(outcome.frame)
        except (av.FFmpegError, ValueError) as error:
            log.warning("picture cannot be converted", camera=lane.camera, seq=outcome.seq, error=str(error))
            self._settle(lane, begun.push, Fate.UNDECODABLE)
            return
        with self._wake:
            self._batch.add(_Ready(lane, begun, prepared, _wall_us()), time.monotonic())

    def _infer(self, batch: list[_Ready]) -> None:
        started_us = _wall_us()
        fresh: list[_Ready] = []
        for ready in batch:
            if _expired(ready.begun.push, started_us):
                self._settle(ready.lane, ready.begun.push, Fate.EXPIRED)
            else:
                fresh.append(ready)
        if not fresh:
            return
        began = time.perf_counter()
        found = self._detector.infer([ready.prepared for ready in fresh])
        took_s = time.perf_counter() - began
        self._busy_s += took_s
        self._done += len(fresh)
        metrics.batch_size.observe(len(fresh))
        for ready, detections in zip(fresh, found, strict=True):
            self._turns.charge(ready.lane, took_s / len(fresh))
            frame = _result(ready, started_us, took_s * 1000, detections)
            self._settle(ready.lane, ready.begun.push, Fate.INFERRED, frame)

    def _settle(self, lane: Lane, push: Push, fate: Fate, frame: FrameResult | None = None) -> None:
        position = Position(push.header.epoch, push.header.seq)
        self._reports.append((lane, Settlement(position, fate, frame)))


def _wall_us() -> int:
    return time.time_ns() // 1000


def _expired(push: Push, now_us: int) -> bool:
    return push.expires_us is not None and now_us > push.expires_us


def _result(ready: _Ready, started_us: int, infer_ms: float, detections: list[Detection]) -> FrameResult:
    """What a frame's result says; clocks of two machines may disagree, so no hop is below 0.

    The compute thread is busy with the model nearly always, so that waiting for it to decode is waiting for inference.
    """
    head, stamp = ready.begun.push.header, ready.begun.push.stamp
    read_us, begun_us = ready.begun.push.read_us, ready.begun.at_us

    def ms(later_us: int, earlier_us: int) -> float:
        return round(max(later_us - earlier_us, 0) / 1000, 3)

    hops = Hops(
        capture=head.ready_us / 1000,
        uplink=ms(stamp.received_us, stamp.captured_us + head.ready_us),
        log=ms(stamp.written_us, stamp.received_us),
        wait=ms(read_us, stamp.written_us),
        decode=ms(ready.at_us, begun_us),
        batch=ms(begun_us, read_us) + ms(started_us, ready.at_us),
        infer=round(infer_ms, 3),
    )
    return FrameResult(head.seq, head.pts_us, stamp.captured_us, detections, hops)
