"""Departures from the bottleneck of packets whose arrivals are all known, in one vectorised pass. It gives what
`links.bottleneck` gives, which is asked, packet by packet, only where packets may be dropped.
"""

import numpy as np

from fishladder.loadtest.links.bottleneck import Bottleneck
from fishladder.loadtest.links.timeline import Timeline
from fishladder.loadtest.model.capacity import Capacity
from fishladder.loadtest.traffic import Floats, Ints


def departures(timeline: Timeline, capacity: Capacity, seed: str, at_us: Floats, size_bytes: Ints) -> Floats:
    """When each packet leaves, nan where it was dropped; `at_us` ascending.

    Lindley's recursion, F = max(F', W) + S, is a running maximum of W less the work before it. With a token bucket of b
    bytes, full at rest, a packet leaves when the link without one would have served it less b bytes. A busy period in
    which the queue overflows begins empty and only gets shorter by dropping, so just those are gone through one by one.
    """
    it = timeline.at(0.0).direction
    if it.discipline == "pie":
        return _one_by_one(timeline, seed, at_us, size_bytes)
    if not len(at_us):
        return np.zeros(0)
    work = capacity.served(at_us)
    before = np.concatenate([[0], np.cumsum(size_bytes)])
    finish = np.maximum.accumulate(work - before[:-1]) + before[1:]
    leave_us = np.maximum(at_us, capacity.when(finish - it.bucket_bytes))
    overflows = _backlog(at_us, leave_us, before) + size_bytes > it.queue_bytes
    if not overflows.any():
        return leave_us
    idle = np.ones(len(at_us), bool)
    idle[1:] = work[1:] >= finish[:-1]  # nothing, and no debt of the bucket, is left from before
    period = np.cumsum(idle) - 1
    bounds = np.concatenate([np.flatnonzero(idle), [len(at_us)]])
    for bad in np.unique(period[overflows]).tolist():
        these = slice(bounds[bad], bounds[bad + 1])
        leave_us[these] = _one_by_one(timeline, seed, at_us[these], size_bytes[these])
    return leave_us


def _backlog(at_us: Floats, leave_us: Floats, before: Ints) -> Ints:
    """Bytes of earlier packets that have not left when each comes."""
    gone = np.searchsorted(leave_us, at_us, "right")
    index = np.arange(len(at_us))
    return np.asarray(before[:-1] - before[np.minimum(gone, index)])


def _one_by_one(timeline: Timeline, seed: str, at_us: Floats, size_bytes: Ints) -> Floats:
    queue = Bottleneck(timeline, seed)
    leave_us = np.full(len(at_us), np.nan)
    for index, (at_ms, size) in enumerate(zip((at_us / 1000).tolist(), size_bytes.tolist(), strict=True)):
        if (leave_ms := queue.offer(at_ms, size)) is not None:
            leave_us[index] = leave_ms * 1000
    return leave_us
