"""Frames as datagrams over an emulated link: the emulation's counterpart of `model.datagrams`, for `calibrate`, which
gives the very packets that were sent here to the model.
"""

from dataclasses import dataclass, replace

import numpy as np

from fishladder.loadtest.emulation.datagrams import exchange
from fishladder.loadtest.emulation.network import Network
from fishladder.loadtest.model.datagrams import Packets, packetise
from fishladder.loadtest.traffic import Floats, Outcome, Traffic

_SETTLE_S = 0.3


@dataclass(frozen=True)
class Carried:
    """`packets` and `traffic` as they were really sent (times in us after the link's start), when each packet came (nan
    = never), and the outcome frame by frame. Give `packets` and the network's `link` and `seed` to the model.
    """

    packets: Packets
    traffic: Traffic
    arrival_us: Floats
    outcome: Outcome


def carry_frames(network: Network, traffic: Traffic, *, paced: bool = False) -> Carried:
    """Send upstream; the link begins anew. Raises `CannotEmulate`."""
    packets = packetise(traffic, paced=paced)
    up = network.link.up
    settle_s = (up.queue_ms + up.delay_ms + 3 * up.jitter.ms + up.grant_ms) / 1000 + _SETTLE_S
    done = exchange(network, "up", packets.at_us.astype(np.int64), packets.size_bytes, settle_s=settle_s)
    report = network.report("up")
    sent_us, arrival_us = done.sent_ms * 1000, done.arrived_ms * 1000
    first = np.full(len(traffic), np.inf)
    np.minimum.at(first, packets.frame, sent_us)
    last = np.full(len(traffic), -np.inf)
    with np.errstate(invalid="ignore"):
        np.maximum.at(last, packets.frame, arrival_us)  # a packet that never came makes it nan
    return Carried(
        packets=Packets(sent_us, packets.size_bytes, packets.frame),
        traffic=replace(traffic, at_us=np.maximum.accumulate(np.rint(first).astype(np.int64))),
        arrival_us=arrival_us,
        outcome=Outcome(
            arrival_us=last,
            packets=report.offered,
            packets_dropped=report.dropped,
            packets_lost=report.relay.lost_count,
            lateness_us=first - traffic.at_us,
        ),
    )
