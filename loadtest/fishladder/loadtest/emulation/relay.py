"""The medium of one direction as a process: takes frames from one interface, and puts each out at another when the link
says so, or never. It runs inside the medium's namespace (`python -m fishladder.loadtest.emulation.relay`), is told what
to be in its first line of input, takes `begin NS STILL` and `report` in the next, and ends with its input.
"""

import os
import select
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec

from fishladder.loadtest.emulation.hurry import hurry
from fishladder.loadtest.emulation.packets import ETHERNET_BYTES, Receiver, Sender
from fishladder.loadtest.links.bottleneck import Bottleneck
from fishladder.loadtest.links.impairments import way_seed
from fishladder.loadtest.links.link import Link
from fishladder.loadtest.links.medium import Medium
from fishladder.loadtest.links.timeline import Timeline

_CONTROL = 0  #: stdin
_IPV4 = b"\x08\x00"
_HELD = 100_000  #: most frames on the way
_LISTED = 10_000  #: most lost packets that are listed one by one
_LATE = 65_536  #: as many packets' lateness is kept
_LONE_NS = 5_000_000  #: with nothing sent for so long before it, a packet is alone
#: From this rate on packets go in handfuls: waking for each would leave the rest of a small machine too little.
_FAST_BPS = 50e6
_HANDFUL_NS = 250_000


class RelaySpec(msgspec.Struct, frozen=True):
    """`queue`: the relay is the bottleneck's queue as well, else the kernel's stands before it."""

    link: Link
    way: Literal["up", "down"]
    seed: int
    source: str
    sink: str
    queue: bool


@dataclass
class RelayReport:
    """Since `begin`. `lost` lists the packets lost on the line by their number (from 0) in order of departure."""

    packets: int = 0
    ip_bytes: int = 0
    queue_dropped: int = 0
    lost_count: int = 0
    lost: list[int] = field(default_factory=list)
    forwarded: int = 0
    overrun: int = 0  #: the relay itself could not keep up
    late_median_us: float = 0.0  #: sent after it was due
    late_p99_us: float = 0.0
    late_max_us: float = 0.0
    late_lone_us: float = 0.0  #: median of packets that came alone
    realtime: bool = False
    by_netem: bool = False  #: not from a relay, so without `lost` and lateness

    def lost_as(self, scheduled: Sequence[int]) -> bool:
        """Whether exactly these packets were lost, as far as they are listed."""
        return self.lost_count == len(scheduled) and self.lost == list(scheduled[:_LISTED])


class Relay:
    def __init__(self, spec: RelaySpec) -> None:
        self._spec = spec
        self._receiver = Receiver(spec.source)
        self._sender = Sender(spec.sink)
        self._held: deque[tuple[int, bytes]] = deque()  # due, frame
        self._realtime = hurry()
        self._begin(time.monotonic_ns(), still=False)

    def _begin(self, start_ns: int, *, still: bool) -> None:
        spec = self._spec
        timeline = Timeline(replace(spec.link, schedule=()) if still else spec.link, spec.way)
        seed = way_seed(spec.seed, spec.way)
        direction = timeline.at(0.0).direction
        self._start_ns = start_ns
        self._timeline = timeline
        self._queue = Bottleneck(timeline, seed) if spec.queue else None
        # The kernel's bucket lets a packet go when its first bit would, and a line delivers its last.
        self._serialises = not spec.queue and not direction.bucket_bytes
        self._medium = Medium(timeline, seed)
        self._handful_ns = _HANDFUL_NS if direction.rate_bps >= _FAST_BPS else 0
        self._departures = 0
        self._report = RelayReport(realtime=self._realtime)
        self._late: deque[int] = deque(maxlen=_LATE)
        self._late_lone: deque[int] = deque(maxlen=_LATE)
        self._sent_ns = start_ns

    def run(self) -> None:
        """Relay until the input ends."""
        pending = b""
        waits_on = [self._receiver.fileno(), _CONTROL]
        receiver, held, send = self._receiver, self._held, self._sender.send
        monotonic_ns = time.monotonic_ns
        while True:
            busy = False
            for at_ns, frame in receiver.frames():
                self._take(at_ns, frame)
                busy = True
            now_ns = monotonic_ns()
            while held and held[0][0] <= now_ns + self._handful_ns // 2:
                due_ns, frame = held.popleft()
                with suppress(OSError):
                    send(frame)
                now_ns = monotonic_ns()
                self._late.append(now_ns - due_ns)
                if due_ns - self._sent_ns > _LONE_NS:
                    self._late_lone.append(now_ns - due_ns)
                self._sent_ns = now_ns
                self._report.forwarded += 1
            if busy and self._handful_ns:
                time.sleep(self._handful_ns / 1e9)
            timeout_s = max(0, held[0][0] - monotonic_ns()) / 1e9 if held else None
            readable, _, _ = select.select(waits_on, [], [], timeout_s)
            if _CONTROL in readable:
                got = os.read(_CONTROL, 65_536)
                if not got:
                    return
                *lines, pending = (pending + got).split(b"\n")
                for line in lines:
                    self._obey(line.split())

    def _take(self, at_ns: int, frame: bytes) -> None:
        if frame[12:14] != _IPV4:
            return
        report = self._report
        size_bytes = len(frame) - ETHERNET_BYTES
        report.packets += 1
        report.ip_bytes += size_bytes
        at_ms = max(0.0, (at_ns - self._start_ns) / 1e6)
        departs_ms: float | None = at_ms
        if self._queue is not None:
            departs_ms = self._queue.offer(at_ms, size_bytes)
        elif self._serialises:
            departs_ms = at_ms + size_bytes * 8000 / self._timeline.at(at_ms).direction.rate_bps
        if departs_ms is None:
            report.queue_dropped += 1
            return
        arrives_ms = self._medium.cross(departs_ms)
        if arrives_ms is None:
            if report.lost_count < _LISTED:
                report.lost.append(self._departures)
            report.lost_count += 1
        elif len(self._held) < _HELD:
            self._held.append((self._start_ns + int(arrives_ms * 1e6), frame))
        else:
            report.overrun += 1
        self._departures += 1

    def _obey(self, words: list[bytes]) -> None:
        match words:
            case [b"begin", start_ns, still]:
                self._receiver.overrun()
                self._begin(int(start_ns), still=still == b"1")
            case [b"report"]:
                pass
            case _:
                raise ValueError(f"unknown command {words!r}")
        report = self._report
        report.overrun += self._receiver.overrun()
        if late := sorted(self._late):
            report.late_median_us = late[len(late) // 2] / 1000
            report.late_p99_us = late[int(0.99 * (len(late) - 1))] / 1000
            report.late_max_us = late[-1] / 1000
        if lone := sorted(self._late_lone):
            report.late_lone_us = lone[len(lone) // 2] / 1000
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()


def main() -> None:
    first = b""
    while not first.endswith(b"\n"):  # nothing follows it before we are ready
        got = os.read(_CONTROL, 1 << 20)
        if not got:
            return
        first += got
    relay = Relay(msgspec.json.decode(first, type=RelaySpec))
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.buffer.flush()
    relay.run()


if __name__ == "__main__":
    main()
