"""The worker's metrics, all of them."""

import contextlib

from prometheus_client import Counter, Gauge, Histogram

from fishladder.wire.fates import Fate
from fishladder.wire.ids import site_of
from fishladder.wire.result import FrameResult

#: Cameras that get labels of their own in one process; any more share one.
MAX_LABELLED = 512
_HOP_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)

fates = Counter("fishladder_worker_fates", "Seqs settled by a commit.", ["site", "camera", "reason"])
hops = Histogram("fishladder_worker_hop_seconds", "Where inferred frames' time went.", ["hop"], buckets=_HOP_BUCKETS)
lag = Gauge("fishladder_worker_lag_seconds", "Age of the last committed result, from its capture.", ["partition"])
batch_size = Histogram(
    "fishladder_worker_batch_frames", "Pictures inferred together.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
commit = Histogram("fishladder_worker_commit_seconds", "One round of commits, store included.", buckets=_HOP_BUCKETS)
leases = Gauge("fishladder_worker_leases", "Partitions held.")
lease_moves = Counter("fishladder_worker_lease_moves", "Partitions taken, left to another and lost.", ["how"])
for _how in ("took", "left", "lost"):
    lease_moves.labels(_how)  # from 0 on: an alert goes by what it has grown
cameras = Gauge("fishladder_worker_cameras", "Cameras of the partitions held.")
read_bytes = Counter("fishladder_worker_read_bytes", "Payload bytes read from frame logs.")
backlog_bytes = Gauge("fishladder_worker_backlog_bytes", "Payload bytes read and not yet decoded.")
asked_level = Gauge("fishladder_worker_asked_level", "Part of the wanted pictures that is asked for (weight 1).")
resets = Counter("fishladder_worker_resets", "Cameras begun anew at their cursor.")
poison = Counter("fishladder_worker_poison_units", "Units found to crash their worker.")

_labelled: set[str] = set()


def count_fate(camera: str, fate: Fate, count: int) -> None:
    if camera not in _labelled:
        if len(_labelled) >= MAX_LABELLED:
            camera = "other/other"
        else:
            _labelled.add(camera)
    fates.labels(site_of(camera), camera.partition("/")[2], fate.label).inc(count)


def forget_partition(partition: int) -> None:
    """Another worker knows its lag from now on."""
    with contextlib.suppress(KeyError):  # nothing was committed
        lag.remove(partition)


def observe_frame(frame: FrameResult, partition: int, now_us: int) -> None:
    """A frame's result is committed."""
    since_capture_s = max((now_us - frame.captured_us) / 1e6, 0.0)
    lag.labels(partition).set(since_capture_s)
    if frame.hops is None:
        return
    spent_s = 0.0
    for hop in frame.hops.__struct_fields__:
        took_s = getattr(frame.hops, hop) / 1000
        hops.labels(hop).observe(took_s)
        spent_s += took_s
    hops.labels("commit").observe(max(since_capture_s - spent_s, 0.0))
