"""Measures the line this machine is on, through a gateway's own door and with the agent's own uplink: first idle, then
with as much as goes through, then with little. What TCP cannot show is said, not guessed.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from socket import socket
from statistics import median

import av

from fishladder.edge.agent import Agent
from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.config import EdgeConfig
from fishladder.loadtest.sites.agents import agent_to_play, all_open
from fishladder.loadtest.sites.reach import insist
from fishladder.loadtest.sites.tcp_info import TcpInfo, busiest, fill_queues, read
from fishladder.wire.errors import UplinkError
from fishladder.wire.unit import Codec, Flag

CAMERA = "loadtest-measure"
_IDLE_S, _QUIET_S, _DRAIN_S = 3.0, 8.0, 30.0
_OPEN_S = 30.0
_TICK_S = 0.02
#: The beginning of a load is slow start.
_SETTLED_SHARE = 0.4
_AHEAD_S = 2.0
_AHEAD_BYTES = (128_000, 16_000_000)
_UNIT_BYTES = (8_000, 256_000)
_PACKET_BYTES = 1_200
_IDLE_BPS = 40_000
#: Little, and no more units than this process can make in time however fast the line is.
_QUIET_SHARE, _QUIET_MOST_BPS = 0.25, 10_000_000
#: NAL type 12: decoders pass over it.
_FILLER = b"\x00\x00\x00\x01\x0c"
#: The mean deviation of a normal distribution is 0.8 of its standard deviation.
_SIGMA = 1.25


@dataclass(frozen=True)
class Measurement:
    """Bits are those of IP packets. `overflowed`: the queue was seen to drop, so `queue_ms` is its depth, else only as
    far as it was filled. `lost` of `segments` had to be sent again while little was sent.
    """

    rate_bps: float
    rtt_ms: float
    jitter_ms: float
    queue_ms: float
    overflowed: bool
    lost: int
    segments: int
    congestion_control: str


async def measure(config: EdgeConfig, load_s: float, say: Callable[[str], None]) -> Measurement:
    """`config` has one camera, which pictures of nothing are sent for. Raises `UplinkError`,
    `NotReachable`.
    """
    await insist(config.address)
    agent = agent_to_play(config)
    stopping = asyncio.Event()
    running = asyncio.create_task(agent.run(stopping))
    connection: socket | None = None
    try:
        await all_open(agent, _OPEN_S)
        source = _Source(agent)
        say(f"idle, {_IDLE_S:g} s ...")
        await source.quiet(_IDLE_BPS, _IDLE_S)
        connection = busiest()
        if connection is None:
            raise UplinkError(f"gateway {config.gateway}: the connection was lost while measuring")
        idle = read(connection)
        control = fill_queues(connection)
        say(f"as much as goes through, {load_s:g} s ...")
        load = _Load(connection)
        await source.fill(load, load_s)
        loaded = read(connection)
        say(f"waiting until it has arrived and was looked at, {_DRAIN_S:g} s at most ...")
        await source.drained()
        rate_bps = load.rate_bps()
        quiet_bps = min(rate_bps * _QUIET_SHARE, _QUIET_MOST_BPS)
        say(f"{rate_bps / 1e6:.3g} Mbit/s; then {quiet_bps / 1e6:.3g} of that, {_QUIET_S:g} s ...")
        before = read(connection)
        quiet = _Load(connection)
        await source.quiet(quiet_bps, _QUIET_S, quiet.look)
        await source.drained()
        after = read(connection)
        lost, segments = after.retransmitted - before.retransmitted, after.segments - before.segments
        # As many as chance may have taken, by the rule of three; more than that the queue dropped.
        by_chance = (lost + 3) / max(segments, 1) * (loaded.segments - idle.segments)
        usual_ms = min(quiet.usual_rtt_ms(), load.most_rtt_ms)
        return Measurement(
            rate_bps=rate_bps,
            rtt_ms=usual_ms,
            jitter_ms=after.rtt_deviation_ms * _SIGMA,
            queue_ms=load.most_rtt_ms - usual_ms,
            overflowed=loaded.retransmitted - idle.retransmitted > by_chance,
            lost=lost,
            segments=segments,
            congestion_control=control,
        )
    finally:
        if connection is not None:
            connection.close()
        stopping.set()
        await running


class _Load:
    """What TCP says while something is sent."""

    def __init__(self, connection: socket) -> None:
        self.most_rtt_ms = 0.0
        self._connection = connection
        self._seen: list[tuple[float, TcpInfo]] = []

    def look(self) -> None:
        info = read(self._connection)
        self.most_rtt_ms = max(self.most_rtt_ms, info.rtt_ms)
        self._seen.append((time.monotonic(), info))

    def usual_rtt_ms(self) -> float:
        """The median of TCP's smoothed estimates."""
        return median(info.rtt_ms for _, info in self._seen)

    def rate_bps(self) -> float:
        """Once it has settled."""
        settled = self._seen[int(len(self._seen) * _SETTLED_SHARE) :]
        if len(settled) < 2:
            return 0.0
        (began, first), (ended, last) = settled[0], settled[-1]
        return (last.ip_bytes - first.ip_bytes) * 8 / (ended - began)


class _Source:
    """Hands over units that decode to a small black picture and are as large as is wanted."""

    def __init__(self, agent: Agent) -> None:
        self._feed = agent.feeds[0]
        self._picture = _black()
        self._began = time.monotonic_ns()

    async def quiet(self, rate_bps: float, seconds: float, look: Callable[[], None] | None = None) -> None:
        """Single packets, evenly; `look` is called now and then."""
        ends = time.monotonic() + seconds
        due = time.monotonic()
        while (now := time.monotonic()) < ends:
            while now >= due:
                self._hand_over(_PACKET_BYTES)
                due += _PACKET_BYTES * 8 / rate_bps
            if look is not None:
                look()
            await asyncio.sleep(_TICK_S)

    async def fill(self, load: "_Load", seconds: float) -> None:
        """Always have some seconds' worth ready, more than any queue holds."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            load.look()
            ahead = min(max(load.rate_bps() / 8 * _AHEAD_S, _AHEAD_BYTES[0]), _AHEAD_BYTES[1])
            size_bytes = int(min(max(ahead / 16, _UNIT_BYTES[0]), _UNIT_BYTES[1]))
            while self._feed.sink.pending * size_bytes < ahead:
                self._hand_over(size_bytes)
            await asyncio.sleep(_TICK_S)

    async def drained(self) -> None:
        """Wait until all is committed, or for as long as is reasonable."""
        ends = time.monotonic() + _DRAIN_S
        while self._feed.sink.pending and time.monotonic() < ends:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_TICK_S)

    def _hand_over(self, size_bytes: int) -> None:
        now_us = time.monotonic_ns() // 1000
        payload = self._picture + _FILLER + b"\xff" * max(size_bytes - len(self._picture), 0) + b"\x80"
        pts_us = (time.monotonic_ns() - self._began) // 1000
        self._feed.on_record(CapturedUnit(Codec.H264, Flag.CLEAN, _SIDE, _SIDE, 0, pts_us, now_us, payload))


_SIDE = 64


def _black() -> bytes:
    """One H.264 picture with its parameter sets."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width = encoder.height = _SIDE
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 10)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "repeat-headers=1"}
    frame = av.VideoFrame(_SIDE, _SIDE, "yuv420p")
    for plane, value in zip(frame.planes, (16, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
