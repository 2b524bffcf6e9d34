"""An emulated link: site, router, medium, head end and core as namespaces in a row. The router's egress to the medium
is the uplink's queue, the head end's the downlink's; the medium carries packets on, each direction by netem or a relay.

    site s0 -- r0 router r1 -- m0 medium m1 -- h1 head h0 -- c0 core
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from fishladder.loadtest.emulation import offloads
from fishladder.loadtest.emulation.kernel_queue import (
    MTU_BYTES,
    QueueSchedule,
    QueueState,
    change_queue,
    is_kernels,
    make_queue,
    read_queue,
)
from fishladder.loadtest.emulation.namespaces import Namespace
from fishladder.loadtest.emulation.netem import NetemMedium, kernel_has_netem, netem_can
from fishladder.loadtest.emulation.relay import RelayReport, RelaySpec
from fishladder.loadtest.emulation.relay_process import RelayProcess
from fishladder.loadtest.errors import CannotEmulate
from fishladder.loadtest.links.link import Direction, Link
from fishladder.loadtest.links.timeline import WAYS, Way

SITE_ADDRESS = "10.200.1.2"
CORE_ADDRESS = "10.200.3.2"
#: What the relay carries, in bits a second; a direction above it is emulated at this rate. Downstream go little more
#: than acknowledgements.
RELAY_CEILING_BPS: dict[Way, float] = {"up": 200e6, "down": 100e6}


@dataclass(frozen=True)
class Report:
    """One direction since `begin`: what the relay saw, and the kernel's queue before it, if it has one."""

    relay: RelayReport
    queue: QueueState | None

    @property
    def offered(self) -> int:
        """Packets that came to the queue, those it dropped among them."""
        return self.queue.packets + self.queue.dropped if self.queue else self.relay.packets

    @property
    def dropped(self) -> int:
        return self.relay.queue_dropped + (self.queue.dropped if self.queue else 0)


def emulated(link: Link, netem: Sequence[Way] = ()) -> tuple[Link, tuple[str, ...]]:
    """The link as it can be emulated, and what is different, in words: rates above the relay's ceiling are capped, but
    for the directions that are netem's.
    """
    notes = []
    for way in WAYS:
        direction: Direction = getattr(link, way)
        ceiling_bps = RELAY_CEILING_BPS[way]
        if direction.rate_bps > ceiling_bps and way not in netem:
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


class Network:
    """Use `emulate` to get one. `site` and `core` are where agents and the stack run: `site.command(...)`."""

    def __init__(self, link: Link, seed: int, stack: ExitStack) -> None:
        self.asked = link
        self.seed = seed
        self.site, self.router, self._medium, self.head, self.core = (
            stack.enter_context(Namespace(name)) for name in ("site", "router", "medium", "head end", "core")
        )
        netem = [way for way in WAYS if netem_can(link, way)] if kernel_has_netem(self._medium) else []
        self.link, self.notes = emulated(link, netem)
        self._lay()
        for way in WAYS:
            if is_kernels(direction := self._direction(way)):
                make_queue(*self._egress(way), direction)
        self._media = {way: self._medium_of(way, by_netem=way in netem) for way in WAYS}
        for medium in self._media.values():
            stack.callback(medium.close)
        self._schedule = QueueSchedule(self.link, lambda way, to: change_queue(*self._egress(way), to))
        stack.callback(self._schedule.end)
        self._before: dict[Way, QueueState] = {}
        self.begin()

    def begin(self, *, lead_s: float = 0.0, still: bool = False) -> int:
        """Start the link anew, `lead_s` from now: its schedule (unless it shall stay `still`), its chances and its
        counts. Returns the start, CLOCK_MONOTONIC ns.
        """
        start_ns = time.monotonic_ns() + int(lead_s * 1e9)
        for medium in self._media.values():
            medium.begin(start_ns, still=still)
        self._before = {way: state for way in WAYS if (state := self.queue(way)) is not None}
        self._schedule.begin(start_ns, still=still)
        return start_ns

    def report(self, way: Way) -> Report:
        self._schedule.check()
        now = self.queue(way)
        return Report(self._media[way].report(), None if now is None else now.since(self._before[way]))

    def queue(self, way: Way) -> QueueState | None:
        """The kernel's queue of a direction at this moment, its counts since it was made; None if the relay has it."""
        return read_queue(*self._egress(way)) if is_kernels(self._direction(way)) else None

    def _direction(self, way: Way) -> Direction:
        return self.link.up if way == "up" else self.link.down

    def _medium_of(self, way: Way, *, by_netem: bool) -> RelayProcess | NetemMedium:
        source, sink = ("m0", "m1") if way == "up" else ("m1", "m0")
        direction = self._direction(way)
        if by_netem:
            return NetemMedium(self._medium, direction, source, sink)
        return RelayProcess(
            self._medium, RelaySpec(self.link, way, self.seed, source, sink, queue=not is_kernels(direction))
        )

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
