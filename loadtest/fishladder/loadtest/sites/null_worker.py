"""A worker that commits every unit as inferred without looking at it: reading, leases, commits and trimming are the
real worker's, only decoder and model are missing, so that two cores can run dozens of cameras. It writes down when each
frame came to the gateway (`python -m fishladder.loadtest.sites.null_worker DATA_DIR ARRIVALS`).
"""

import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av

from fishladder.inference.config import WorkerSettings
from fishladder.inference.model import Detector, Prepared
from fishladder.inference.pipeline import Lane, Pipeline, Report, Settlement, Worked
from fishladder.inference.progress import Job, Push
from fishladder.inference.worker import run_worker
from fishladder.loadtest.sites.payload import index_of
from fishladder.runtime.lifecycle import run_until_signal
from fishladder.runtime.logs import configure_logging
from fishladder.wire.fates import Fate
from fishladder.wire.ids import Position
from fishladder.wire.result import Detection, FrameResult, ModelId

_RECORD = struct.Struct("<qqq")


class Arrival(NamedTuple):
    """Unix microseconds: when the last byte of a frame came in at the gateway, and when it was written to the log."""

    frame: int  #: its number in the plan
    received_us: int
    written_us: int


def read_arrivals(path: Path) -> Iterator[Arrival]:
    data = path.read_bytes() if path.exists() else b""
    whole = len(data) // _RECORD.size * _RECORD.size
    return map(Arrival._make, _RECORD.iter_unpack(data[:whole]))


class NullPipeline(Pipeline):
    """Settles what is submitted at once."""

    def __init__(self, detector: Detector, *, arrivals: BinaryIO, **options: Any) -> None:
        super().__init__(detector, **options)
        self._arrivals = arrivals
        self._ended = threading.Event()

    def submit(self, lane: Lane, jobs: Sequence[Job]) -> None:
        reports: list[tuple[Lane, Report]] = []
        for job in jobs:
            if isinstance(job, Push) and not job.context:
                reports.append((lane, self._settlement(job)))
            reports.append((lane, Worked(job.size_bytes, 0)))
        self._arrivals.flush()
        self._deliver(reports)

    def _settlement(self, job: Push) -> Settlement:
        head, stamp = job.header, job.stamp
        if (index := index_of(job.data)) is not None:
            self._arrivals.write(_RECORD.pack(index, stamp.received_us, stamp.written_us))
        position = Position(head.epoch, head.seq)
        if not job.wanted:
            return Settlement(position, Fate.SAMPLED_OUT, None)
        return Settlement(position, Fate.INFERRED, FrameResult(head.seq, head.pts_us, stamp.captured_us, []))

    def run(self) -> None:
        self._ended.wait()

    def stop(self) -> None:
        self._ended.set()


class NullDetector:
    """It only has a name: the pipeline that commits everything asks nobody."""

    model = ModelId("none", "")
    provider = "none"
    input_size = (16, 16)

    def prepare(self, frame: av.VideoFrame) -> Prepared:
        raise AssertionError("nobody detects anything here")

    def infer(self, batch: Sequence[Prepared]) -> list[list[Detection]]:
        raise AssertionError("nobody detects anything here")


def main(data_dir: str, arrivals: str) -> None:
    configure_logging("info")
    settings = WorkerSettings(data_dir=data_dir, metrics_port=0, keep_bytes="256MB")
    with Path(arrivals).open("wb") as file:
        pipeline = partial(NullPipeline, arrivals=file)
        run_until_signal(
            lambda stopping: run_worker(
                settings, NullDetector(), redis=None, frames=None, stopping=stopping, pipeline=pipeline
            ),
            fast_loop=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
