"""Frames over the agent's `stream` uplink: all cameras on one TCP connection, cut into fragments, deficit round robin,
nothing thrown away. A lost packet holds up all that follows it until it has been sent again; a small window holds up
the sender. It goes fragment by fragment, which is what the agent decides by.

Left out: the handshakes, delayed acknowledgements, and that a retransmission shares a packet with
others. `docs/load-testing.md` has the error against real agents.
"""

from collections import deque
from heapq import heapify, heappop, heappush

import numpy as np

from fishladder.edge.schedule import fragment_size
from fishladder.loadtest.model.congestion import SEGMENT_BYTES, Law, window
from fishladder.loadtest.model.way import Way
from fishladder.loadtest.traffic import Outcome, Traffic
from fishladder.wire.unit import UNIT_HEADER_BYTES

SEGMENT_OVERHEAD_BYTES = 20 + 32  #: IPv4, TCP with time stamps
MESSAGE_OVERHEAD_BYTES = 12 + 8 + 22  #: of a fragment: its header, WebSocket's, and TLS's
_TELLING = 3  #: later segments that tell TCP of a loss
_AT_ONCE = 2  #: segments that an acknowledgement is for
_LEAST_RTO_US = 200_000.0
_QUEUE_POINTS = 4000


def stream_bytes(frame_bytes: float, fragment_bytes: int) -> float:
    """IP bytes of a frame on the wire."""
    whole = frame_bytes + UNIT_HEADER_BYTES
    message = whole + MESSAGE_OVERHEAD_BYTES * -(-whole // fragment_bytes)
    return message + SEGMENT_OVERHEAD_BYTES * -(-message // SEGMENT_BYTES)


def send_stream(traffic: Traffic, up: Way, down: Way, *, law: Law = "cubic") -> Outcome:
    return _Stream(traffic, up, down, law).run()


class _Stream:
    """One run. Times in microseconds; `now` only goes forward."""

    def __init__(self, traffic: Traffic, up: Way, down: Way, law: Law) -> None:
        self._traffic = traffic
        self._up = up
        self._queue = up.queue()
        self._down = down
        seconds = float(traffic.at_us[-1]) + 1e6 if len(traffic) else 1e6
        rate_bps = up.capacity.mean_bps(seconds)
        self._rtt_us = (up.direction.base_ms + down.direction.base_ms) * 1000
        self._window = window(law, self._rtt_us)
        # No larger than a part of what the path holds, or the window would be filled by one.
        held = rate_bps / 8e6 * self._rtt_us
        self._fragment = min(fragment_size(rate_bps / 8), max(int(held / 2), 2 * SEGMENT_BYTES))
        self._us_per_byte = 8e6 / rate_bps
        self._segment_us = (SEGMENT_BYTES + SEGMENT_OVERHEAD_BYTES) * self._us_per_byte
        self._by_segment = up.direction.discipline == "pie"
        self._in_flight = 0
        self._wait_us = 0.0
        self._acks: deque[tuple[float, int, float, float]] = deque()  # when, bytes, queueing, shortest round trip
        self._arrival_us: list[float] = []  # of each fragment
        self._again: list[tuple[float, int, int, float]] = []  # when to send again, fragment, packets, time-out
        self._latest_us = self._before_us = -float("inf")  # arrivals: of the last fragment, and of the one before
        self._limited_until_us = -float("inf")
        self._tail: tuple[int, float] | None = None
        self._packets = self._dropped = self._lost = 0
        self._waits: list[tuple[float, float]] = []

    def run(self) -> Outcome:
        traffic = self._traffic
        at_us, sizes, cameras = traffic.at_us.tolist(), traffic.size_bytes.tolist(), traffic.camera.tolist()
        pending: list[deque[tuple[int, int]]] = [deque() for _ in range(traffic.cameras)]
        turns: deque[int] = deque()
        last_fragment = np.zeros(len(traffic), np.int64)
        count, offered, now = len(traffic), 0, 0.0
        while offered < count or turns:
            if not turns:
                now = max(now, float(at_us[offered]))
            while offered < count and at_us[offered] <= now:
                camera = cameras[offered]
                if not pending[camera]:
                    turns.append(camera)
                pending[camera].append((offered, sizes[offered] + UNIT_HEADER_BYTES))
                offered += 1
            camera = turns.popleft()
            frame, left = pending[camera].popleft()
            take = min(left, self._fragment)
            now = self._send(now, take + MESSAGE_OVERHEAD_BYTES)
            if left > take:
                pending[camera].appendleft((frame, left - take))
            else:
                last_fragment[frame] = len(self._arrival_us) - 1
            if pending[camera]:
                turns.append(camera)
        self._resend_until(float("inf"))
        in_order = np.maximum.accumulate(np.array(self._arrival_us)) if count else np.zeros(0)
        every = max(len(self._waits) // _QUEUE_POINTS, 1)
        waits = np.array(self._waits[::every]).reshape(-1, 2)
        return Outcome(
            arrival_us=in_order[last_fragment] if count else np.zeros(0),
            packets=self._packets,
            packets_dropped=self._dropped,
            packets_lost=self._lost,
            queue_at_us=waits[:, 0],
            queue_us=waits[:, 1],
        )

    def _send(self, now: float, size: int) -> float:
        """One fragment, as soon as the window lets it go; when that was."""
        acks, ready_us = self._acks, now
        now = self._window.not_before(now)
        while acks and acks[0][0] <= now:
            self._acknowledge(acks[0][0])
        while acks and self._in_flight + size > self._window.bytes:
            now = max(now, acks[0][0])
            self._limited_until_us = now + self._rtt_us
            self._acknowledge(now)
        self._resend_until(now)
        fragment = len(self._arrival_us)
        self._before_us = self._latest_us
        segments = -(-size // SEGMENT_BYTES)
        leave_us, dropped = self._enqueue(now, size, segments)
        lost, first, arrived_us = dropped, segments - dropped, leave_us
        if dropped < segments:
            arrived_us, lost_here, first = self._cross(leave_us, segments - dropped)
            lost += lost_here
        ack_us = self._down.arrival_us(arrived_us)
        self._arrival_us.append(arrived_us)
        if self._tail is not None:  # what follows a lost tail tells of it
            self._hurry(*self._tail, ack_us)
            self._tail = None
        if lost:
            self._recover(now, fragment, lost, ack_us, tail=first > segments - _TELLING)
            if lost == segments:
                ack_us = max(ack_us, self._up.outage_ends_us(leave_us)) + self._rtt_us
        ack_us = max(ack_us, acks[-1][0] if acks else ack_us)
        self._acks.append((ack_us, size, self._wait_us, self._first_ack_us(leave_us, ack_us, segments) - now))
        self._window.sent(now, size, self._in_flight, held=now > ready_us)
        self._in_flight += size
        return now

    def _enqueue(self, now: float, size: int, segments: int) -> tuple[float, int]:
        """When the last that was not dropped leaves the queue, and how many segments were.

        PIE decides by packet; a long queue takes a fragment as one, which is faster.
        """
        wire = size + segments * SEGMENT_OVERHEAD_BYTES
        parts = segments if self._by_segment or wire > self._up.direction.queue_bytes // 8 else 1
        kept = self._offer(now, wire // parts, parts)
        leave_us = kept[-1] if kept else max(now, self._latest_us)
        # What the fragment found before it: its own time on the wire is no queue.
        self._wait_us = max(leave_us - now - wire * self._us_per_byte, 0.0)
        self._waits.append((now, self._wait_us))
        return leave_us, segments - len(kept) * (segments // parts)

    def _offer(self, now: float, size: int, count: int) -> list[float]:
        """When those packets leave that are not dropped."""
        kept = [leave_ms * 1000 for leave_ms in self._queue.offer_row(now / 1000, size, count)]
        self._packets += count
        self._dropped += count - len(kept)
        return kept

    def _cross(self, leave_us: float, segments: int) -> tuple[float, int, int]:
        """When the last arrives, in order; how many are lost, and the first of those."""
        arrived_us, lost, first = self._up.cross(leave_us, segments)
        self._latest_us = max(self._latest_us, arrived_us)
        self._lost += lost
        return self._latest_us, lost, first

    def _first_ack_us(self, leave_us: float, ack_us: float, segments: int) -> float:
        """When the first of its acknowledgements comes, which are for two segments each; the last does at `ack_us`."""
        if segments <= _AT_ONCE:
            return ack_us
        arrived_us = self._up.arrival_us(leave_us - (segments - _AT_ONCE) * self._segment_us)
        return self._down.arrival_us(max(arrived_us, self._before_us))

    def _recover(self, now: float, fragment: int, lost: int, ack_us: float, *, tail: bool) -> None:
        """Three later segments tell of a loss in a round trip; if none follow, a probe does after two."""
        self._window.lost(ack_us)
        seen_us = now + 2 * (ack_us - now) if tail else ack_us
        self._arrival_us[fragment] = float("inf")
        heappush(self._again, (seen_us, fragment, lost, max(_LEAST_RTO_US, 2 * self._rtt_us)))
        if tail:
            self._tail = (fragment, seen_us)

    def _hurry(self, fragment: int, probe_us: float, ack_us: float) -> None:
        for index, (at_us, which, segments, timeout_us) in enumerate(self._again):
            if which == fragment and at_us == probe_us and ack_us < at_us:
                self._again[index] = (ack_us, which, segments, timeout_us)
                heapify(self._again)
                return

    def _resend_until(self, now: float) -> None:
        while self._again and self._again[0][0] <= now:
            at_us, fragment, segments, timeout_us = heappop(self._again)
            kept = self._offer(at_us, SEGMENT_BYTES + SEGMENT_OVERHEAD_BYTES, segments)
            lost, arrived_us = segments - len(kept), at_us
            if kept:
                arrived_us, lost_here, _ = self._cross(kept[-1], len(kept))
                lost += lost_here
            if lost:
                heappush(self._again, (at_us + timeout_us, fragment, lost, min(2 * timeout_us, 120e6)))
            else:
                self._arrival_us[fragment] = arrived_us

    def _acknowledge(self, now: float) -> None:
        _, size, queue_us, round_us = self._acks.popleft()
        self._in_flight -= size
        limited = now <= self._limited_until_us
        self._window.acked(now, size, limited=limited, queue_us=queue_us, round_us=round_us)
