"""The queue of one direction, packet by packet: when each leaves, or that it is dropped. First in, first out, so a
packet's departure is known when it arrives. Time is an argument, in ms after the start, and never goes back.
"""

import math
from collections import deque

from fishladder.loadtest.links.link import OPPORTUNITY_BYTES, Trace
from fishladder.loadtest.links.pie import INTERVAL_MS, Pie
from fishladder.loadtest.links.timeline import Timeline


class Bottleneck:
    def __init__(self, timeline: Timeline, seed: str) -> None:
        self._timeline = timeline
        first = timeline.at(0.0).direction
        self._limit_bytes = first.queue_bytes
        self._bucket = float(first.bucket_bytes)
        self._tokens = self._bucket
        self._free_ms = 0.0  # when the server has sent all it has
        self._queue: deque[tuple[float, int]] = deque()  # departure, size
        self._queued_bytes = 0
        self._pie = Pie(first.pie_target_ms, first.queue_bytes, seed) if first.discipline == "pie" else None
        self._tick_ms = INTERVAL_MS
        self._opportunities = _Opportunities(first.trace) if first.trace else None
        self._rate_from_ms = 0.0
        self._rate_of(0.0)

    def offer(self, now_ms: float, size_bytes: int) -> float | None:
        """When a packet that arrives now has left (ms), or None if the queue drops it."""
        kept = self.offer_row(now_ms, size_bytes, 1)
        return kept[0] if kept else None

    def offer_row(self, now_ms: float, size_bytes: int, count: int) -> list[float]:
        """When packets that arrive now, one behind the other, have left (ms): those that the queue does not drop."""
        self._leave(now_ms)
        if now_ms >= self._rate_until_ms:
            self._rate_of(now_ms)
        pie, kept = self._pie, []
        if pie is not None:
            self._tick(pie, now_ms)
        for _ in range(count):
            if self._queued_bytes + size_bytes > self._limit_bytes:
                if pie is not None:
                    pie.overflowed()
                continue
            if pie is not None and pie.drops(size_bytes, self._queued_bytes):
                continue
            departs_ms = self._serve(now_ms, size_bytes)
            kept.append(departs_ms)
            if departs_ms > now_ms:  # else it has left already
                self._queue.append((departs_ms, size_bytes))
                self._queued_bytes += size_bytes
        return kept

    def _leave(self, now_ms: float) -> None:
        queue = self._queue
        while queue and queue[0][0] <= now_ms:
            self._queued_bytes -= queue.popleft()[1]

    def _rate_of(self, now_ms: float) -> None:
        self._rate_from_ms = now_ms
        self._bytes_per_ms = self._timeline.at(now_ms).direction.rate_bps / 8000
        change_ms = self._timeline.next_change_ms(now_ms)
        self._rate_until_ms = math.inf if change_ms is None else change_ms

    def _serve(self, now_ms: float, size_bytes: int) -> float:
        if self._opportunities is not None:
            self._free_ms = self._opportunities.serve(now_ms, size_bytes)
            return self._free_ms
        begin_ms = max(now_ms, self._free_ms)
        if self._bucket:
            if begin_ms > self._free_ms:
                self._tokens = min(self._bucket, self._tokens + self._earned(self._free_ms, begin_ms))
            if self._tokens >= size_bytes:
                self._tokens -= size_bytes
                self._free_ms = begin_ms
            else:
                self._free_ms = self._work(begin_ms, size_bytes - self._tokens)
                self._tokens = 0.0
        else:
            self._free_ms = self._work(begin_ms, size_bytes)
        return self._free_ms

    def _earned(self, from_ms: float, to_ms: float) -> float:
        """Bytes that could have been sent between, while nothing was, over changes of the rate."""
        if from_ms >= self._rate_from_ms and to_ms <= self._rate_until_ms:
            return (to_ms - from_ms) * self._bytes_per_ms
        earned = 0.0
        while from_ms < to_ms:
            change_ms = self._timeline.next_change_ms(from_ms)
            until_ms = to_ms if change_ms is None else min(change_ms, to_ms)
            earned += (until_ms - from_ms) * self._timeline.at(from_ms).direction.rate_bps / 8000
            from_ms = until_ms
        return earned

    def _work(self, begin_ms: float, size_bytes: float) -> float:
        """When so many bytes are sent, over changes of the rate to come."""
        if begin_ms < self._rate_until_ms:
            end_ms = begin_ms + size_bytes / self._bytes_per_ms
            if end_ms <= self._rate_until_ms:
                return end_ms
        while True:
            rate = self._timeline.at(begin_ms).direction.rate_bps / 8000
            change_ms = self._timeline.next_change_ms(begin_ms)
            end_ms = begin_ms + size_bytes / rate
            if change_ms is None or end_ms <= change_ms:
                return end_ms
            size_bytes -= (change_ms - begin_ms) * rate
            begin_ms = change_ms

    def _tick(self, pie: Pie, now_ms: float) -> None:
        while self._tick_ms <= now_ms:
            # What stands in the queue at that moment has left it by now only if the server was through with it.
            pie.tick(max(0.0, self._free_ms - self._tick_ms))
            self._tick_ms += INTERVAL_MS


class _Opportunities:
    """mahimahi's rule: an opportunity carries up to 1500 bytes of what waits then; the rest of it is lost if nothing
    else waits, and a packet that does not fit takes from the next.
    """

    def __init__(self, trace: Trace) -> None:
        self._at_ms = trace.at_ms
        self._period_ms = trace.at_ms[-1]
        self._index = 0
        self._left_bytes = 0
        self._now_ms = -1.0  # of the opportunity in hand

    def serve(self, arrives_ms: float, size_bytes: int) -> float:
        if self._now_ms < arrives_ms:
            self._left_bytes = 0
        while size_bytes > self._left_bytes:
            size_bytes -= self._left_bytes
            self._next(arrives_ms)
        self._left_bytes -= size_bytes
        return self._now_ms

    def _next(self, not_before_ms: float) -> None:
        count = len(self._at_ms)
        if self._time(self._index) < not_before_ms:
            rounds = int(not_before_ms // self._period_ms)
            self._index = max(self._index, (rounds - 1) * count if rounds else 0)
            while self._time(self._index) < not_before_ms:
                self._index += 1
        self._now_ms = self._time(self._index)
        self._index += 1
        self._left_bytes = OPPORTUNITY_BYTES

    def _time(self, index: int) -> float:
        return index // len(self._at_ms) * self._period_ms + self._at_ms[index % len(self._at_ms)]
