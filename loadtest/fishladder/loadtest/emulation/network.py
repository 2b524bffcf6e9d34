"""An emulated link: site, router, medium, head end and core as namespaces in a row. The router's egress to the medium
is the uplink's queue, the head end's the downlink's; the medium carries packets on by a relay for each direction.

    site s0 -- r0 router r1 -- m0 medium m1 -- h1 head h0 -- c0 core
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from fishladder.loadtest.emulation import offloads
from fishladder.loadtest.emulation.namespaces import Namespace
from fishladder.loadtest.emulation.relay import RelayReport, RelaySpec
from fishladder.loadtest.errors import CannotEmulate
from fishladder.loadtest.links.link import Direction, Link
from fishladder.loadtest.links.timeline import WAYS, Timeline, Way

SITE_ADDRESS = "10.200.1.2"
CORE_ADDRESS = "10.200.3.2"
#: What the relay carries, in bits a second; a direction above it is emulated at this rate. Downstream go little more
#: than acknowledgements.
RELAY_CEILING_BPS: dict[Way, float] = {"up": 200e6, "down": 100e6}
MTU_BYTES = 1500
_ETHERNET_BYTES = 14
#: The kernel's bucket holds at least a packet and what it sends in so long: with less, late timers cost rate.
_BURST_S = 0.001
_START_S = 20.0
_REPLY_S = 10.0


class QueueState(NamedTuple):
    """A kernel queue: packets and bytes it has sent, packets it has dropped, bytes in it now."""

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


@dataclass(frozen=True)
class Report:
    """One direction since `begin`: what the relay saw, and the kernel's queue before it, if it has one."""

    relay: RelayReport
    queue: QueueState | None

    @property
    def dropped(self) -> int:
        return self.relay.queue_dropped + (self.queue.dropped if self.queue else 0)


def emulated(link: Link) -> tuple[Link, tuple[str, ...]]:
    """The link as it can be emulated, and what is different, in words: rates above the relay's ceiling are capped."""
    notes = []
    for way in WAYS:
        direction: Direction = getattr(link, way)
        ceiling_bps = RELAY_CEILING_BPS[way]
        if direction.rate_bps > ceiling_bps:
            queue_bytes = round(direction.queue_ms * ceiling_bps / 8000)
            capped = replace(direction, rate_bps=ceiling_bps, queue_bytes=queue_bytes, trace=None)
            link = replace(link, up=capped) if way == "up" else replace(link, down=capped)
            notes.append(
                f"{way}link emulated at {ceiling_bps / 1e6:g} instead of {direction.rate_bps / 1e6:g} Mbit/s, with the "
                "same delay of a full queue: the relay carries no more"
            )
    steps = tuple(
        step if step.rate_bps is None else replace(step, rate_bps=min(step.rate_bps, RELAY_CEILING_BPS[step.direction]))
        for step in link.schedule
    )
    return replace(link, schedule=steps), tuple(notes)


def kernel_queue(direction: Direction) -> bool:
    """Whether the kernel's token bucket is this direction's queue; PIE and traces are the relay's."""
    return direction.discipline == "droptail" and direction.trace is None


def bucket_bytes(direction: Direction) -> int:
    """The burst the kernel's token bucket is given."""
    return max(direction.bucket_bytes, MTU_BYTES + round(direction.rate_bps / 8 * _BURST_S))


class Network:
    """Use `emulate` to get one. `site` and `core` are where agents and the stack run: `site.command(...)`."""

    def __init__(self, link: Link, seed: int, stack: ExitStack) -> None:
        self.asked = link
        self.link, self.notes = emulated(link)
        self.seed = seed
        self.site, self.router, self._medium, self.head, self.core = (
            stack.enter_context(Namespace(name)) for name in ("site", "router", "medium", "head end", "core")
        )
        self._lay()
        for way in WAYS:
            self._shape(way)
        self._relays = {way: _RelayProcess(self, way, self._medium, stack) for way in WAYS}
        self._schedule = stack.enter_context(_Schedule(self))
        self._before: dict[Way, QueueState] = {}
        self.begin()

    def begin(self) -> int:
        """Start the link anew: its schedule, its chances and its counts. Returns the start, CLOCK_MONOTONIC ns."""
        start_ns = time.monotonic_ns()
        for relay in self._relays.values():
            relay.ask(f"begin {start_ns}")
        self._before = {way: state for way in WAYS if (state := self.queue(way)) is not None}
        self._schedule.begin(start_ns)
        return start_ns

    def report(self, way: Way) -> Report:
        relay = self._relays[way].ask("report")
        now = self.queue(way)
        if now is not None and (before := self._before.get(way)) is not None:
            now = now.since(before)
        return Report(relay, now)

    def queue(self, way: Way) -> QueueState | None:
        """The kernel's queue of a direction at this moment, its counts since it was made; None if the relay has it."""
        if not kernel_queue(getattr(self.link, way)):
            return None
        where, interface = self._egress(way)
        said = where.queues(interface)
        found = re.search(r"Sent (\d+) bytes (\d+) pkt \(dropped (\d+).*?backlog (\d+)(\w*)b (\d+)p", said, re.DOTALL)
        if found is None:
            raise CannotEmulate(f"`tc -s qdisc` says nothing of the queue: {said!r}")
        scale = {"": 1, "K": 1024, "M": 1024 * 1024}[found[5]]
        return QueueState(int(found[2]), int(found[1]), int(found[3]), int(found[4]) * scale)

    def _egress(self, way: Way) -> tuple[Namespace, str]:
        return (self.router, "r1") if way == "up" else (self.head, "h1")

    def _lay(self) -> None:
        """Cables, addresses, routes; neighbours are fixed, so that nothing but the traffic is on the way."""
        for left, a, right, b in (
            (self.router, "r0", self.site, "s0"),
            (self.router, "r1", self._medium, "m0"),
            (self.head, "h1", self._medium, "m1"),
            (self.head, "h0", self.core, "c0"),
        ):
            one = f"address {_mac(a)} mtu {MTU_BYTES} gso_max_segs 1"
            other = f"address {_mac(b)} mtu {MTU_BYTES} gso_max_segs 1"
            left.ip(f"link add {a} {one} type veth peer name {b} {other} netns {right.pid}")
            for where, interface in ((left, a), (right, b)):
                _quiet(where, interface)
        near, far = "10.200.1.0/24", "10.200.3.0/24"
        for where, lines in (
            (self.site, _joined("s0", SITE_ADDRESS, "10.200.1.1", "r0", far)),
            (self.router, _joined("r0", "10.200.1.1", SITE_ADDRESS, "s0", None)),
            (self.router, _joined("r1", "10.200.2.1", "10.200.2.2", "h1", far)),
            (self.head, _joined("h1", "10.200.2.2", "10.200.2.1", "r1", near)),
            (self.head, _joined("h0", "10.200.3.1", CORE_ADDRESS, "c0", None)),
            (self.core, _joined("c0", CORE_ADDRESS, "10.200.3.1", "h0", near)),
            (self._medium, ["link set m0 up", "link set m1 up"]),
        ):
            where.ip(*lines)
        for where in (self.router, self.head):
            where.write("/proc/sys/net/ipv4/ip_forward", "1")

    def _shape(self, way: Way, direction: Direction | None = None) -> None:
        direction = direction or getattr(self.link, way)
        if kernel_queue(direction):
            where, interface = self._egress(way)
            where.tc(f"qdisc add dev {interface} {tbf(direction)}")


def tbf(direction: Direction) -> str:
    """The kernel's queue for a direction, as `tc` takes it: bytes are those of IP packets, and a packet in service
    counts as queued, as in `links.bottleneck`.
    """
    limit = direction.queue_bytes - (0 if direction.bucket_bytes else MTU_BYTES)
    rate = f"rate {direction.rate_bps:.0f}bit burst {bucket_bytes(direction)} limit {max(limit, MTU_BYTES)}"
    return f"stab overhead -{_ETHERNET_BYTES} linklayer ethernet root handle 1: tbf {rate}"


class _Schedule:
    """Changes the kernel's queues as the link's schedule says; the relay follows it by itself."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, start_ns: int) -> None:
        self._end()
        ways: list[Way] = ["up", "down"]
        rates = {
            way: Timeline(self._network.link, way) for way in ways if kernel_queue(getattr(self._network.link, way))
        }
        if not self._network.link.schedule or not rates:
            return
        for way, timeline in rates.items():
            self._set(way, timeline.at(0.0).direction)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, args=(rates, start_ns), name="link schedule")
        self._thread.start()

    def _follow(self, rates: dict[Way, Timeline], start_ns: int) -> None:
        done_ms = 0.0
        set_bps = {way: timeline.at(0.0).direction.rate_bps for way, timeline in rates.items()}
        while True:
            changes = [ms for timeline in rates.values() if (ms := timeline.next_change_ms(done_ms)) is not None]
            if not changes:
                return
            done_ms = min(changes)
            if self._stop.wait(max(0.0, start_ns / 1e9 + done_ms / 1e3 - time.monotonic())):
                return
            for way, timeline in rates.items():
                direction = timeline.at(done_ms).direction
                if direction.rate_bps != set_bps[way]:
                    self._set(way, direction)
                    set_bps[way] = direction.rate_bps

    def _set(self, way: Way, direction: Direction) -> None:
        where, interface = self._network._egress(way)
        where.tc(f"qdisc change dev {interface} {tbf(direction).partition('ethernet ')[2]}")

    def _end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def __enter__(self) -> "_Schedule":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()


class _RelayProcess:
    """The relay of one direction. Its input ends with us, and so does it."""

    def __init__(self, network: Network, way: Way, medium: Namespace, stack: ExitStack) -> None:
        source, sink = ("m0", "m1") if way == "up" else ("m1", "m0")
        spec = RelaySpec(network.link, way, network.seed, source, sink, not kernel_queue(getattr(network.link, way)))
        self._way = way
        self._process = subprocess.Popen(  # noqa: S603
            medium.command(sys.executable, "-m", "fishladder.loadtest.emulation.relay"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        stack.callback(self._end)
        self._say(msgspec.json.encode(spec))
        if self._hear() != b"ready":
            raise CannotEmulate(f"the relay of the {way}link did not start; its message is above")

    def ask(self, command: str) -> RelayReport:
        self._say(command.encode())
        return msgspec.json.decode(self._hear(), type=RelayReport)

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # its silence is noticed next
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()

    def _hear(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CannotEmulate(f"the relay of the {self._way}link has ended; its message is above")
        return line.rstrip(b"\n")

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _mac(interface: str) -> str:
    return f"02:00:00:00:{ord(interface[0]):02x}:{int(interface[1]):02x}"


def _joined(interface: str, address: str, peer: str, peer_interface: str, beyond: str | None) -> list[str]:
    lines = [
        f"address add {address}/24 dev {interface}",
        f"link set {interface} up",
        f"neighbour replace {peer} lladdr {_mac(peer_interface)} dev {interface} nud permanent",
    ]
    if beyond:
        lines.append(f"route add {beyond} via {peer}")
    return lines


def _quiet(where: Namespace, interface: str) -> None:
    where.write(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", "1")
    done = subprocess.run(  # noqa: S603
        where.command(sys.executable, "-S", offloads.__file__, interface), capture_output=True, text=True
    )
    if done.returncode:
        raise CannotEmulate(f"offloads of {interface} cannot be switched off: {done.stderr.strip().splitlines()[-1]}")


@contextmanager
def emulate(link: Link, *, seed: int = 1) -> Iterator[Network]:
    """A network over which `link` lies; gone at the end, or when this process is. Raises `CannotEmulate`.

    The process must be allowed to create network namespaces: call `privileges.enter` first.
    """
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    with ExitStack() as stack:
        yield Network(link, seed, stack)
