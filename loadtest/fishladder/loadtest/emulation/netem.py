"""The kernel's own network emulator as the medium of a direction, where the kernel has it and it can do what the link
asks: it carries rates that a relay in Python does not. It chooses what is lost by itself, so only the share is known.
"""

from fishladder.loadtest.emulation.kernel_queue import is_kernels, read_queue
from fishladder.loadtest.emulation.namespaces import Namespace
from fishladder.loadtest.emulation.relay import RelayReport
from fishladder.loadtest.errors import CannotEmulate
from fishladder.loadtest.links.link import Direction, Link
from fishladder.loadtest.links.timeline import Timeline, Way

_LIMIT_PACKETS = 1_000_000


def kernel_has_netem(where: Namespace) -> bool:
    """Finds out by trying on an interface that carries nothing."""
    try:
        where.tc("qdisc add dev lo root netem delay 1ms", "qdisc del dev lo root")
    except CannotEmulate:
        return False
    return True


def netem_can(link: Link, way: Way) -> bool:
    """Whether netem does what a direction asks: no grants, no jitter that lasts, no bursts of loss, nothing that
    changes, and a queue of the kernel's before it.
    """
    timeline = Timeline(link, way)
    it = timeline.at(0.0).direction
    steady = timeline.next_change_ms(0.0) is None
    return steady and is_kernels(it) and it.jitter.kind == "none" and not it.grant_ms and it.loss.burst <= 1


class NetemMedium:
    """Frames that come in at `source` go out at `sink`, later. With no delay and no loss there is no netem either."""

    def __init__(self, medium: Namespace, direction: Direction, source: str, sink: str) -> None:
        self._medium = medium
        self._sink = sink
        self._netem = bool(direction.delay_ms or direction.loss.rate or not direction.bucket_bytes)
        if self._netem:
            # With a rate netem keeps order, and a packet takes its time to be sent, as in the relay.
            rate = "" if direction.bucket_bytes else f"rate {direction.rate_bps:.0f}bit -14 "
            loss = f"loss random {direction.loss.rate * 100:.6f}%" if direction.loss.rate else ""
            delay = f"delay {direction.delay_ms * 1000:.0f}us"
            medium.tc(f"qdisc add dev {sink} root handle 1: netem limit {_LIMIT_PACKETS} {delay} {rate}{loss}")
        redirect = f"u32 match u32 0 0 action mirred egress redirect dev {sink}"
        medium.tc(
            f"qdisc add dev {source} handle ffff: ingress",
            f"filter add dev {source} parent ffff: protocol ip {redirect}",
        )
        self._before = RelayReport()
        self.begin(0, still=True)

    def begin(self, start_ns: int, *, still: bool) -> None:
        self._before = self._read()

    def report(self) -> RelayReport:
        now, before = self._read(), self._before
        return RelayReport(
            packets=now.packets - before.packets,
            ip_bytes=now.ip_bytes - before.ip_bytes,
            lost_count=now.lost_count - before.lost_count,
            forwarded=now.forwarded - before.forwarded,
            by_netem=True,
        )

    def close(self) -> None:
        """It goes with its namespace."""

    def _read(self) -> RelayReport:
        if not self._netem:
            return RelayReport()
        state = read_queue(self._medium, self._sink)
        return RelayReport(
            packets=state.packets + state.dropped,
            ip_bytes=state.sent_bytes,
            lost_count=state.dropped,
            forwarded=state.packets,
        )
