"""The kernel's token bucket as the queue of a direction: what `tc` is told, what it has counted, and how it follows a
link's schedule while packets run through it.
"""

import re
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from fishladder.loadtest.emulation.namespaces import Namespace
from fishladder.loadtest.errors import CannotEmulate
from fishladder.loadtest.links.link import Direction, Link
from fishladder.loadtest.links.timeline import WAYS, Timeline, Way

MTU_BYTES = 1500
_ETHERNET_BYTES = 14
#: The bucket holds at least a packet and what is sent in so long: with less, late timers cost rate.
_BURST_S = 0.001
_STATISTICS = re.compile(r"Sent (\d+) bytes (\d+) pkt \(dropped (\d+).*?backlog (\d+)(K|M|)b (\d+)p", re.DOTALL)
_UNITS = {"": 1, "K": 1024, "M": 1024 * 1024}


class QueueState(NamedTuple):
    """Packets and bytes sent, packets dropped, bytes in the queue now."""

    packets: int
    sent_bytes: int
    dropped: int
    backlog_bytes: int

    def since(self, before: "QueueState") -> "QueueState":
        return QueueState(
            self.packets - before.packets,
            self.sent_bytes - before.sent_bytes,
            self.dropped - before.dropped,
            self.backlog_bytes,
        )


def is_kernels(direction: Direction) -> bool:
    """Whether the kernel's token bucket is this direction's queue; PIE and traces are the relay's."""
    return direction.discipline == "droptail" and direction.trace is None


def bucket_bytes(direction: Direction) -> int:
    """The burst the token bucket is given."""
    return max(direction.bucket_bytes, MTU_BYTES + round(direction.rate_bps / 8 * _BURST_S))


def make_queue(where: Namespace, interface: str, direction: Direction) -> None:
    """Bytes are those of IP packets. Raises `CannotEmulate`."""
    where.tc(f"qdisc add dev {interface} stab overhead -{_ETHERNET_BYTES} linklayer ethernet {_tbf(direction)}")


def change_queue(where: Namespace, interface: str, direction: Direction) -> None:
    """To another rate; what waits goes on waiting. Raises `CannotEmulate`."""
    where.tc(f"qdisc change dev {interface} {_tbf(direction)}")


def _tbf(direction: Direction) -> str:
    # A packet in service counts as queued, as in `links.bottleneck`; the relay lets it go when its last bit has.
    limit = direction.queue_bytes - (0 if direction.bucket_bytes else MTU_BYTES)
    rate = f"rate {direction.rate_bps:.0f}bit burst {bucket_bytes(direction)} limit {max(limit, MTU_BYTES)}"
    return f"root handle 1: tbf {rate}"


def read_queue(where: Namespace, interface: str) -> QueueState:
    """The counts of an interface's queue since it was made."""
    said = where.queues(interface)
    found = _STATISTICS.search(said)
    if found is None:
        raise CannotEmulate(f"`tc -s qdisc` says nothing of the queue of {interface}: {said!r}")
    return QueueState(int(found[2]), int(found[1]), int(found[3]), int(found[4]) * _UNITS[found[5]])


class QueueSchedule:
    """Calls `change(way, direction)` when the rate of a kernel's queue changes by the link's schedule. The relays
    follow the schedule by themselves.
    """

    def __init__(self, link: Link, change: Callable[[Way, Direction], None]) -> None:
        self._timelines = {way: Timeline(link, way) for way in WAYS if is_kernels(getattr(link, way))}
        self._change = change
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: CannotEmulate | None = None

    def begin(self, start_ns: int, *, still: bool) -> None:
        """From the start again; with `still` it stays there."""
        self.end()
        if all(timeline.next_change_ms(0.0) is None for timeline in self._timelines.values()):
            return
        for way, timeline in self._timelines.items():
            self._change(way, timeline.at(0.0).direction)
        if still:
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._follow, args=(start_ns,), name="link schedule")
        self._thread.start()

    def check(self) -> None:
        """Raises what a change has raised."""
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _follow(self, start_ns: int) -> None:
        done_ms = 0.0
        set_bps = {way: timeline.at(0.0).direction.rate_bps for way, timeline in self._timelines.items()}
        try:
            while changes := [ms for it in self._timelines.values() if (ms := it.next_change_ms(done_ms)) is not None]:
                done_ms = min(changes)
                if self._stop.wait(max(0.0, start_ns / 1e9 + done_ms / 1e3 - time.monotonic())):
                    return
                for way, timeline in self._timelines.items():
                    direction = timeline.at(done_ms).direction
                    if direction.rate_bps != set_bps[way]:
                        self._change(way, direction)
                        set_bps[way] = direction.rate_bps
        except CannotEmulate as error:
            self._error = error
