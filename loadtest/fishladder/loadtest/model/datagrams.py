"""Frames as datagrams, as WHIP and `calibrate` send them: cut into packets, sent at once or paced. A frame arrives when
its last packet does, and not at all if one is missing.
"""

from dataclasses import dataclass

import numpy as np

from fishladder.loadtest.model.way import Way
from fishladder.loadtest.traffic import Floats, Ints, Outcome, Traffic

PAYLOAD_BYTES = 1200  #: of a frame in one packet, as WebRTC stacks send it
OVERHEAD_BYTES = 20 + 8 + 12 + 10  #: IPv4, UDP, RTP, and SRTP's tag
_PACED_SHARE = 0.8  #: of the frame interval, over which a paced frame's packets are spread
_NACK_US = 20_000.0  #: from a gap to the request for what is missing
_QUEUE_POINTS = 4000


@dataclass(frozen=True)
class Packets:
    """Packets in order of time; `frame` is the index of the frame each belongs to."""

    at_us: Floats
    size_bytes: Ints  #: IP bytes
    frame: Ints


def packetise(traffic: Traffic, *, paced: bool = False) -> Packets:
    count = np.maximum(-(-traffic.size_bytes // PAYLOAD_BYTES), 1)
    frame = np.repeat(np.arange(len(traffic)), count)
    nth = np.arange(len(frame)) - np.repeat(np.cumsum(count) - count, count)
    size = np.full(len(frame), PAYLOAD_BYTES + OVERHEAD_BYTES, np.int64)
    last = nth == count[frame] - 1
    size[last] = (traffic.size_bytes - (count - 1) * PAYLOAD_BYTES) + OVERHEAD_BYTES
    at_us = traffic.at_us[frame].astype(float)
    if paced:
        at_us += nth / count[frame] * (_PACED_SHARE * 1e6 / traffic.fps)
        order = np.argsort(at_us, kind="stable")
        return Packets(at_us[order], size[order], frame[order])
    return Packets(at_us, size, frame)


def carry(packets: Packets, way: Way) -> tuple[Floats, Floats, int]:
    """Arrival of each packet (nan if it never came), its departure from the queue, and how many the line lost."""
    leave_us = way.departures(packets.at_us, packets.size_bytes)
    sent = ~np.isnan(leave_us)
    arrival_us = np.full(len(leave_us), np.nan)
    arrival_us[sent], lost = way.arrivals(leave_us[sent])
    return arrival_us, leave_us, int(lost.sum())


def send_datagrams(traffic: Traffic, way: Way, *, paced: bool = False, repair_us: float | None = None) -> Outcome:
    """With `repair_us`, the round trip, packets the line lost are asked for and sent again, once, as WebRTC does; that
    they load the queue again, and that those it dropped are asked for too, is left out.
    """
    packets = packetise(traffic, paced=paced)
    arrival_us, leave_us, lost = carry(packets, way)
    sent = ~np.isnan(leave_us)
    if repair_us is not None:
        missing = np.flatnonzero(sent & np.isnan(arrival_us))
        arrival_us[missing], _ = way.arrivals(leave_us[missing] + repair_us + _NACK_US)
    frames = np.full(len(traffic), -np.inf)
    with np.errstate(invalid="ignore"):
        np.maximum.at(frames, packets.frame, arrival_us)  # nan wins
    every = max(int(sent.sum()) // _QUEUE_POINTS, 1)
    return Outcome(
        arrival_us=frames,
        packets=len(packets.at_us),
        packets_dropped=int((~sent).sum()),
        packets_lost=lost,
        queue_at_us=packets.at_us[sent][::every],
        queue_us=(leave_us - packets.at_us)[sent][::every],
    )
