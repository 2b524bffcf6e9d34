"""The fluid bound: how many cameras would fit if frames were a liquid. It needs no simulation, and no real link does
better; the distance of N* to it is what bursts, loss and delay cost.
"""

import math

from fishladder.edge.schedule import fragment_size
from fishladder.loadtest.links.link import Direction, Link
from fishladder.loadtest.model.datagrams import OVERHEAD_BYTES, PAYLOAD_BYTES
from fishladder.loadtest.model.stream import stream_bytes
from fishladder.loadtest.model.way import Way
from fishladder.loadtest.sources.camera import CameraSpec

_LONG_US = 600e6  #: what a schedule's mean rate is taken over


def link_bps(direction: Direction) -> float:
    """Mean rate of a direction, its schedule apart."""
    return direction.trace.mean_bps if direction.trace else direction.rate_bps


def wire_bps(camera: CameraSpec, transport: str, up_bps: float) -> float:
    """IP bits a second of one camera."""
    if transport == "stream":
        fragment = fragment_size(up_bps / 8)
        key, other = stream_bytes(camera.i_bytes, fragment), stream_bytes(camera.p_bytes, fragment)
    else:
        key, other = (size + OVERHEAD_BYTES * -(-size // PAYLOAD_BYTES) for size in (camera.i_bytes, camera.p_bytes))
    frames = camera.gop_frames
    return (key + other * (frames - 1)) / frames * camera.fps * 8


def mean_up_bps(link: Link) -> float:
    """What the uplink carries on average, with its schedule."""
    return Way(link, "up", 0).capacity.mean_bps(_LONG_US) if link.schedule else link_bps(link.up)


def fluid_bound(link: Link, camera: CameraSpec, transport: str) -> int:
    """The most cameras whose mean rate, with all headers, is no more than that of the uplink."""
    up_bps = mean_up_bps(link)
    return math.floor(up_bps / wire_bps(camera, transport, up_bps) + 1e-9)
