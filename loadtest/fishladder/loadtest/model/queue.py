"""The bottleneck: a finite first-in-first-out queue before a link that serves at some capacity, optionally through a
token bucket. Departures of packets whose arrivals are known come in one vectorised pass; where packets are dropped, or
where what is sent depends on what arrived, it goes packet by packet.
"""

from collections import deque

import numpy as np

from fishladder.loadtest.model.capacity import Capacity
from fishladder.loadtest.model.pie import Pie
from fishladder.loadtest.traffic import Bools, Floats, Ints

_NEVER = float("nan")


class Queue:
    """One packet after another, in order of time. `offer` says when a packet leaves, or nan if it is dropped.

    With a bucket of b bytes, full at rest, a packet leaves when the link without a bucket would have served it less
    b bytes of it: the work a token bucket still owes is that of the same queue with b bytes more of it gone.
    """

    def __init__(self, capacity: Capacity, queue_bytes: int, *, bucket_bytes: int = 0, pie: Pie | None = None) -> None:
        self.packets = self.dropped = 0
        self._capacity = capacity
        self._limit = queue_bytes
        self._bucket = bucket_bytes
        self._pie = pie
        self._finish = -float("inf")  # work done when all that was accepted is
        self._leave_us = 0.0
        self._waiting: deque[tuple[float, int]] = deque()
        self._backlog = 0

    def offer(self, at_us: float, size_bytes: int) -> float:
        """`at_us` must not be before that of the last packet."""
        self.packets += 1
        waiting = self._waiting
        while waiting and waiting[0][0] <= at_us:
            self._backlog -= waiting.popleft()[1]
        if self._backlog + size_bytes > self._limit or (
            self._pie is not None
            and self._pie.drops(at_us, size_bytes, self._backlog, max(self._leave_us - at_us, 0.0))
        ):
            self.dropped += 1
            return _NEVER
        self._finish = max(self._finish, self._capacity.served_one(at_us)) + size_bytes
        self._leave_us = leave_us = max(at_us, self._capacity.when_one(self._finish - self._bucket))
        waiting.append((leave_us, size_bytes))
        self._backlog += size_bytes
        return leave_us


def departures(
    capacity: Capacity,
    at_us: Floats,
    size_bytes: Ints,
    queue_bytes: int,
    *,
    bucket_bytes: int = 0,
    pie: Pie | None = None,
) -> Floats:
    """When each packet leaves, nan where it was dropped; `at_us` ascending. The same as `Queue`, faster.

    Lindley's recursion, F = max(F', W) + S, is a running maximum of W less the work before it. A busy period in which
    the queue overflows begins empty and only gets shorter by dropping, so just these are gone through one by one.
    """
    if pie is not None:
        return _one_by_one(Queue(capacity, queue_bytes, bucket_bytes=bucket_bytes, pie=pie), at_us, size_bytes)
    if not len(at_us):
        return np.zeros(0)
    work = capacity.served(at_us)
    before = np.concatenate([[0], np.cumsum(size_bytes)])
    finish = np.maximum.accumulate(work - before[:-1]) + before[1:]
    leave_us = np.maximum(at_us, capacity.when(finish - bucket_bytes))
    overflows = _backlog(at_us, leave_us, before) + size_bytes > queue_bytes
    if not overflows.any():
        return leave_us
    idle = np.ones(len(at_us), bool)
    idle[1:] = work[1:] >= finish[:-1]  # nothing, and no debt of the bucket, is left from before
    period = np.cumsum(idle) - 1
    bad = np.isin(period, np.unique(period[overflows]))
    first = np.flatnonzero(bad & idle)
    last = np.concatenate([np.flatnonzero(idle)[1:], [len(at_us)]])[period[first]]
    for begin, end in zip(first.tolist(), last.tolist(), strict=True):
        queue = Queue(capacity, queue_bytes, bucket_bytes=bucket_bytes)
        leave_us[begin:end] = _one_by_one(queue, at_us[begin:end], size_bytes[begin:end])
    return leave_us


def _backlog(at_us: Floats, leave_us: Floats, before: Ints) -> Ints:
    """Bytes of earlier packets that have not left when each comes."""
    gone = np.searchsorted(leave_us, at_us, "right")
    index = np.arange(len(at_us))
    return np.asarray(before[:-1] - before[np.minimum(gone, index)])


def _one_by_one(queue: Queue, at_us: Floats, size_bytes: Ints) -> Floats:
    return np.array([queue.offer(at, size) for at, size in zip(at_us.tolist(), size_bytes.tolist(), strict=True)])


def dropped(leave_us: Floats) -> Bools:
    return np.isnan(leave_us)
