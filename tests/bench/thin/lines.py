"""The emulated line of a case with what a case may want besides: a congestion control of its own, sites further away
than others, and a look at the queue now and then.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from fishladder.loadtest.emulation import offloads
from fishladder.loadtest.emulation.namespaces import Namespace
from fishladder.loadtest.emulation.network import Network, emulate
from fishladder.loadtest.emulation.relay import RelaySpec
from fishladder.loadtest.emulation.relay_process import RelayProcess
from fishladder.loadtest.links.link import Direction, Link
from fishladder.loadtest.links.timeline import Way
from thin.cases import Case
from thin.link_figures import Look

_LOOK_S = 0.25


@dataclass
class Line:
    """`sites` are where agents run, one each where they are at different distances, else one for all."""

    network: Network
    sites: Sequence[Namespace]
    looks: dict[Way, list[Look]] = field(default_factory=dict)  #: at queues that are watched
    _stop: threading.Event = field(default_factory=threading.Event)

    def site(self, index: int) -> Namespace:
        return self.sites[index % len(self.sites)]

    def watch(self, *ways: Way) -> None:
        """Look at the queues of these directions until the end."""
        self.looks = {way: [] for way in ways}
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        next_s = time.monotonic()
        while not self._stop.wait(max(next_s - time.monotonic(), 0.0)):
            next_s += _LOOK_S
            for way, looks in self.looks.items():
                if (state := self.network.queue(way)) is not None:
                    looks.append(Look(time.time(), state.backlog_bytes, state.sent_bytes))

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def line(case: Case, seed: int) -> Iterator[Line]:
    with emulate(case.link(), seed=seed) as network, ExitStack() as stack:
        sites = [_far(network, index, ms, seed, stack) for index, ms in enumerate(case.delays_ms)]
        for site in sites or [network.site]:
            if case.congestion:
                gateway = site_gateway(sites.index(site)) if sites else "10.200.1.1"
                site.ip(f"route change 10.200.3.0/24 via {gateway} congctl lock {case.congestion}")
        yield Line(network, sites or [network.site])


def site_gateway(index: int) -> str:
    return f"10.201.{index}.1"


def _far(network: Network, index: int, delay_ms: float, seed: int, stack: ExitStack) -> Namespace:
    """Another site behind the same router: site s0 -- m0 medium m1 -- r<n> router."""
    site = stack.enter_context(Namespace(f"site {index}"))
    medium = stack.enter_context(Namespace(f"medium {index}"))
    at, name = f"10.201.{index}", f"r{index + 2}"
    macs = {end: f"02:01:00:{index:02x}:00:{n:02x}" for n, end in enumerate(("site", "m0", "m1", "router"))}
    more = "mtu 1500 gso_max_segs 1"
    site.ip(f"link add s0 address {macs['site']} {more} type veth peer name m0 {more} netns {medium.pid}")
    network.router.ip(
        f"link add {name} address {macs['router']} {more} type veth peer name m1 {more} netns {medium.pid}"
    )
    for where, interface in ((site, "s0"), (medium, "m0"), (medium, "m1"), (network.router, name)):
        where.write(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", "1")
        subprocess.run(where.command(sys.executable, "-S", offloads.__file__, interface), check=True)
    medium.ip("link set m0 up", "link set m1 up")
    site.ip(
        f"address add {at}.2/24 dev s0",
        "link set s0 up",
        f"neighbour replace {at}.1 lladdr {macs['router']} dev s0 nud permanent",
        f"route add 10.200.3.0/24 via {at}.1",
    )
    network.router.ip(
        f"address add {at}.1/24 dev {name}",
        f"link set {name} up",
        f"neighbour replace {at}.2 lladdr {macs['site']} dev {name} nud permanent",
    )
    network.head.ip(f"route add {at}.0/24 via 10.200.2.1")
    network.core.ip(f"route add {at}.0/24 via 10.200.3.1")
    way = Direction(1e9, 10_000_000, delay_ms=delay_ms)
    link = Link(f"way {index}", way, way)
    for direction, source, sink in (("up", "m0", "m1"), ("down", "m1", "m0")):
        spec = RelaySpec(link, direction, seed, source, sink, queue=True)  # type: ignore[arg-type]
        stack.callback(RelayProcess(medium, spec).close)
    return site
