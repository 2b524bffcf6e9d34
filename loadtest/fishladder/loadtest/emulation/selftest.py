"""Is the emulated link the link that was asked for? Before every run each direction is measured with datagrams (rate,
base delay, delay of a full queue, losses) and held against what the link, computed packet by packet, promises for just
these datagrams.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

import numpy as np

from fishladder.loadtest.emulation.datagrams import MAX_IP_BYTES, Exchange, Floats, Ints, exchange
from fishladder.loadtest.emulation.kernel_queue import is_kernels
from fishladder.loadtest.emulation.network import Network, Report
from fishladder.loadtest.errors import SelfTestInvalid
from fishladder.loadtest.links.impairments import loss_schedule, way_seed
from fishladder.loadtest.links.link import Direction
from fishladder.loadtest.links.reference import arrivals_ms
from fishladder.loadtest.links.timeline import WAYS, Way

REFUSED = 0.05  #: no result is reported above this error of rate or delays
REFUSED_RTT_MS = 2.0  #: on short lines, where 5% is less than a scheduler's whim
_BASE_PACKETS, _BASE_BYTES, _BASE_GAP_MS = 60, 100, 23.0
_LOSS_PACKETS, _LOSS_BYTES = 1000, 60
_LOSS_GAP_MS = 0.5
_FLOOD_PACKETS = 150
_FILLED = 0.7
_FLOOD_MS = (600.0, 2500.0)


class Measured(NamedTuple):
    """A number as the link promises it and as it was found."""

    expected: float
    found: float

    @property
    def error(self) -> float:
        """Relative; infinite where nothing was expected and something found."""
        if self.found == self.expected:
            return 0.0
        return (self.found - self.expected) / self.expected if self.expected else math.inf


@dataclass(frozen=True)
class WayTest:
    """One direction. `owd_ms` is the base delay; `full_ms` what a full queue adds to it (under PIE and traces: what a
    flood adds); `lost` the packets lost of the `probes` before the flood.
    """

    way: Way
    rate_bps: Measured
    owd_ms: Measured
    full_ms: Measured
    probes: int
    lost: Measured
    as_scheduled: bool  #: exactly those packets that the seed says; of netem, about as many
    filled: bool  #: the flood was enough to fill the queue
    relay_late_ms: float  #: median of single packets; taken off `owd_ms.found` already
    overrun: int


@dataclass(frozen=True)
class SelfTest:
    link: str
    seed: int
    ways: tuple[WayTest, ...]
    notes: tuple[str, ...]  #: what is emulated differently from what was asked

    @property
    def rtt_ms(self) -> Measured:
        return Measured(sum(way.owd_ms.expected for way in self.ways), sum(way.owd_ms.found for way in self.ways))

    def faults(self) -> Iterator[str]:
        """Why no result may be reported over this emulation; none if all is well."""
        rtt = self.rtt_ms
        if abs(rtt.error) > REFUSED and abs(rtt.found - rtt.expected) > REFUSED_RTT_MS:
            yield f"its round trip takes {rtt.found:.1f} instead of {rtt.expected:.1f} ms"
        for way in self.ways:
            if abs(way.rate_bps.error) > REFUSED:
                rate = way.rate_bps
                yield f"its {way.way}link carries {rate.found / 1e6:.3g} instead of {rate.expected / 1e6:.3g} Mbit/s"
            full = way.full_ms
            if not way.filled:
                yield f"its {way.way}link could not be filled: the sender of the test is too slow"
            elif abs(full.error) > REFUSED and abs(full.found - full.expected) > REFUSED_RTT_MS:
                yield f"its full {way.way}link queue delays by {full.found:.1f} instead of {full.expected:.1f} ms"
            if way.overrun:
                yield f"its {way.way}link relay could not keep up and lost {way.overrun} packets"
            elif not way.as_scheduled:
                yield f"its {way.way}link lost {way.lost.found:g} packets, not the {way.lost.expected:g} it should"

    def insist(self) -> None:
        """Raise `SelfTestInvalid` if there is a fault."""
        if faults := list(self.faults()):
            raise SelfTestInvalid(
                f"the emulation of {self.link} is not that link on this machine now: {'; '.join(faults)}. "
                "Is the machine busy? Use --backend model, or run again when it is quiet"
            )


def self_test(network: Network) -> SelfTest:
    """Of the link as it is at the start of its schedule. Takes some seconds for each direction; begins the link anew
    before each. One that fails is tried once more: on a machine with neighbours a test is disturbed now and then.
    """
    for _ in range(2):
        ways = tuple(_test(network, way) for way in WAYS)
        test = SelfTest(network.asked.name, network.seed, ways, network.notes)
        if not any(test.faults()):
            break
    return test


def _test(network: Network, way: Way) -> WayTest:
    direction: Direction = network.link.up if way == "up" else network.link.down
    at_us, sizes, probes, full_from_us = _plan(direction)
    settle_s = (direction.base_ms + direction.jitter.ms * 3 + direction.queue_ms) / 1000 + 0.2
    done = exchange(network, way, at_us, sizes, settle_s=settle_s, still=True)
    report = network.report(way)
    expected = arrivals_ms(replace(network.link, schedule=()), way, network.seed, done.sent_ms, sizes)
    return _judge(
        network, way, direction, done, expected, report, sizes, probes, int(np.searchsorted(at_us, full_from_us))
    )


def _plan(direction: Direction) -> tuple[Ints, Ints, int, float]:
    """Single packets, then (where there is loss) many small ones at half the rate, then a flood; how many come before
    the flood, and from when on (us) the flood finds a full queue.
    """
    random = Random(1)  # noqa: S311 - spreads probes over grants and jitter
    now_ms = 0.0
    at_ms: list[float] = []
    sizes: list[int] = []
    for _ in range(_BASE_PACKETS):
        now_ms += _BASE_GAP_MS * random.uniform(0.8, 1.2)
        at_ms.append(now_ms)
        sizes.append(_BASE_BYTES)
    if direction.loss.rate:
        gap_ms = max(_LOSS_GAP_MS, _LOSS_BYTES * 8000 / direction.rate_bps / 0.5)
        for _ in range(_LOSS_PACKETS):
            now_ms += gap_ms
            at_ms.append(now_ms)
            sizes.append(_LOSS_BYTES)
    now_ms += 50
    probes = len(at_ms)
    excess = 2.0 if direction.rate_bps <= 20e6 else 1.3 if direction.rate_bps <= 100e6 else 1.15
    packet_ms = MAX_IP_BYTES * 8000 / direction.rate_bps
    fill_ms = 1.2 * direction.queue_ms / (excess - 1) + direction.bucket_bytes * 8000 / direction.rate_bps
    window_ms = min(max(_FLOOD_PACKETS * packet_ms, _FLOOD_MS[0]), _FLOOD_MS[1])
    full_from_ms = now_ms + fill_ms
    for index in range(math.ceil((fill_ms + window_ms) / packet_ms * excess)):
        at_ms.append(now_ms + index * packet_ms / excess)
        sizes.append(MAX_IP_BYTES)
    return (np.array(at_ms) * 1000).astype(np.int64), np.array(sizes, np.int64), probes, full_from_ms * 1000


def _judge(
    network: Network,
    way: Way,
    direction: Direction,
    done: Exchange,
    expected: Floats,
    report: Report,
    sizes: Ints,
    probes: int,
    full: int,
) -> WayTest:
    late_ms, lone_ms = report.relay.late_mean_us / 1000, report.relay.late_lone_us / 1000
    base = slice(0, _BASE_PACKETS)
    owd = Measured(
        float(np.nanmedian(expected[base] - done.sent_ms[base])),
        float(np.nanmedian(done.arrived_ms[base] - done.sent_ms[base])) - lone_ms,
    )
    flood = slice(full, len(sizes))
    found_rate = _rate_bps(done.arrived_ms[flood], sizes[flood])
    missing = np.flatnonzero(np.isnan(done.arrived_ms[:probes])).tolist()
    scheduled = loss_schedule(
        direction.loss, way_seed(network.seed, way), report.relay.forwarded + report.relay.lost_count
    )
    return WayTest(
        way=way,
        rate_bps=Measured(_rate_bps(expected[flood], sizes[flood]), found_rate),
        owd_ms=owd,
        full_ms=Measured(
            float(np.nanmean(expected[flood] - done.sent_ms[flood])) - owd.expected,
            float(np.nanmean(done.arrived_ms[flood] - done.sent_ms[flood])) - late_ms - owd.found,
        ),
        probes=probes,
        lost=Measured(sum(index < probes for index in scheduled), len(missing)),
        as_scheduled=_likely(direction.loss.rate, probes, len(missing))
        if report.relay.by_netem
        else missing == [index for index in scheduled if index < probes] and report.relay.lost_as(scheduled),
        filled=float(np.nanmean(expected[flood] - done.sent_ms[flood])) - owd.expected
        > _FILLED * (direction.queue_ms if is_kernels(direction) else 0.0),
        relay_late_ms=lone_ms,
        overrun=report.relay.overrun,
    )


def _likely(rate: float, packets: int, lost: int) -> bool:
    """Whether netem, which draws by itself, may have lost so many: within 10 % or three standard deviations."""
    expected = rate * packets
    return abs(lost - expected) <= max(0.1 * expected, 3 * math.sqrt(expected * (1 - rate)))


def _rate_bps(arrived_ms: Floats, sizes: Ints) -> float:
    """The slope of bytes over time of arrival, so that the jitter of the first and last does not count."""
    came = ~np.isnan(arrived_ms)
    if came.sum() < 2:
        return 0.0
    slope, _ = np.polyfit(np.cumsum(sizes[came]), arrived_ms[came], 1)
    return float(8000 / slope)
