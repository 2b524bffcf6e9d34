"""How wrong the model is: the same packets, at the times at which they were really sent, over the kernel's queue and
through the model, and the difference of what came of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from fishladder.loadtest.emulation.frames import carry_frames
from fishladder.loadtest.emulation.kernel_queue import MTU_BYTES, bucket_bytes, is_kernels
from fishladder.loadtest.emulation.network import Network, emulate
from fishladder.loadtest.links.link import Link
from fishladder.loadtest.model.datagrams import Packets, carry
from fishladder.loadtest.model.fluid import link_bps, wire_bps
from fishladder.loadtest.model.way import Way
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.frames import draw
from fishladder.loadtest.traffic import Floats, decodable

#: What the model promises: percentage points of loss, and ms of the median and the 99th percentile of the delay.
LOSS_POINTS, P50_MS, P99_MS = 0.3, 3.0, 5.0
_CAMERAS = 4
#: Mean load of the two runs a link gets: below saturation and above it.
LOADS = (0.8, 1.1)


@dataclass(frozen=True)
class Calibration:
    """One run; delays are of packets that arrived in both."""

    link: str
    load: float
    packets: int
    loss: tuple[float, float]  #: fraction, emulated and modelled
    p50_ms: tuple[float, float]
    p99_ms: tuple[float, float]
    decodable: tuple[float, float]
    lateness_p99_ms: float

    @property
    def loss_points(self) -> float:
        return (self.loss[1] - self.loss[0]) * 100

    @property
    def p50_error_ms(self) -> float:
        return self.p50_ms[1] - self.p50_ms[0]

    @property
    def p99_error_ms(self) -> float:
        return self.p99_ms[1] - self.p99_ms[0]

    @property
    def within(self) -> bool:
        return (
            abs(self.loss_points) <= LOSS_POINTS
            and abs(self.p50_error_ms) <= P50_MS
            and abs(self.p99_error_ms) <= P99_MS
        )


def calibrate(link: Link, *, seconds: float, seed: int, progress: Callable[[str], None]) -> Iterator[Calibration]:
    """A run for each of `LOADS`. Raises `CannotEmulate`."""
    with emulate(link, seed=seed) as network:
        up_bps = link_bps(network.link.up)
        for load in LOADS:
            progress(f"{link.name} at {load:.0%} load")
            spec = CameraSpec(bitrate_bps=min(up_bps / _CAMERAS, 1e9))
            spec = replace(
                spec, bitrate_bps=spec.bitrate_bps * load * up_bps / _CAMERAS / wire_bps(spec, "whip", up_bps)
            )
            sent = carry_frames(network, draw(spec, _CAMERAS, seconds, seed), paced=True)
            arrival_us = _modelled(network, sent.packets)
            frames = np.full(len(sent.traffic), -np.inf)
            with np.errstate(invalid="ignore"):
                np.maximum.at(frames, sent.packets.frame, arrival_us)
            both = ~np.isnan(sent.arrival_us) & ~np.isnan(arrival_us)
            real_ms = (sent.arrival_us - sent.packets.at_us)[both] / 1000
            model_ms = (arrival_us - sent.packets.at_us)[both] / 1000
            yield Calibration(
                link=link.name,
                load=load,
                packets=len(arrival_us),
                loss=(float(np.isnan(sent.arrival_us).mean()), float(np.isnan(arrival_us).mean())),
                p50_ms=(float(np.percentile(real_ms, 50)), float(np.percentile(model_ms, 50))),
                p99_ms=(float(np.percentile(real_ms, 99)), float(np.percentile(model_ms, 99))),
                decodable=(
                    fmean(decodable(sent.traffic, sent.outcome).tolist()),
                    fmean(decodable(sent.traffic, replace(sent.outcome, arrival_us=frames)).tolist()),
                ),
                lateness_p99_ms=float(np.percentile(sent.outcome.lateness_us, 99)) / 1000,
            )


def _modelled(network: Network, packets: Packets) -> Floats:
    """When each packet arrives in the model of what the emulation does: the kernel's token bucket cannot be empty, it
    lets a packet go when its first bit would, and the relay adds the time to its last.
    """
    link, up = network.link, network.link.up
    bare = is_kernels(up) and not up.bucket_bytes
    if bare:
        room = max(up.queue_bytes - MTU_BYTES, MTU_BYTES)  # the packet in service has left the kernel's queue
        link = replace(link, up=replace(up, bucket_bytes=bucket_bytes(up), queue_bytes=room))
    arrival_us, _, _ = carry(packets, Way(link, "up", network.seed))
    return arrival_us + packets.size_bytes * (8e6 / up.rate_bps) if bare else arrival_us
