"""The fluid bound: how many cameras would fit if frames were a liquid. It needs no simulation, and no real link does
better; the distance of N* to it is what bursts, loss and delay cost.
"""

import math

from fishladder.edge.schedule import fragment_size
from fishladder.loadtest.links.link import Direction, Link
from fishladder.loadtest.model.datagrams import OVERHEAD_BYTES, PAYLOAD_BYTES
from fishladder.loadtest.model.stream import stream_bytes
from fishladder.loadtest.model.way import Way
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.frames import EncodedSizes

_MANY = 1_000_000  #: cameras, of which none that adapts is left more than its floor
_LONG_US = 600e6  #: what a schedule's mean rate is taken over


def link_bps(direction: Direction) -> float:
    """Mean rate of a direction, its schedule apart."""
    return direction.trace.mean_bps if direction.trace else direction.rate_bps


def wire_bps(camera: CameraSpec, transport: str, up_bps: float, footage: EncodedSizes | None = None) -> float:
    """IP bits a second of one camera, which sends the frames of `footage` if there is any."""
    if footage is not None:
        sizes = footage.size_bytes.tolist()
        return sum(_on_wire(size, transport, up_bps) for size in sizes) / len(sizes) * camera.fps * 8
    key, other = (_on_wire(size, transport, up_bps) for size in (camera.i_bytes, camera.p_bytes))
    frames = camera.gop_frames
    return (key + other * (frames - 1)) / frames * camera.fps * 8


def _on_wire(size_bytes: float, transport: str, up_bps: float) -> float:
    if transport == "stream":
        return stream_bytes(size_bytes, fragment_size(up_bps / 8))
    return size_bytes + OVERHEAD_BYTES * -(-size_bytes // PAYLOAD_BYTES)


def mean_up_bps(link: Link) -> float:
    """What the uplink carries on average, with its schedule."""
    return Way(link, "up", 0).capacity.mean_bps(_LONG_US) if link.schedule else link_bps(link.up)


def load(scenario: Scenario, cameras: int) -> float:
    """The mean rate of so many cameras, with all headers, over that of the uplink."""
    up_bps = mean_up_bps(scenario.link)
    one_bps = wire_bps(scenario.camera_at(cameras), scenario.transport, up_bps, scenario.footage_at(cameras))
    return cameras * one_bps / up_bps


def fluid_bound(scenario: Scenario) -> int:
    """The most cameras whose mean rate, with all headers, is no more than that of the uplink; of cameras that adapt,
    when each is down at its floor.
    """
    return math.floor(_MANY / load(scenario, _MANY) + 1e-9)
