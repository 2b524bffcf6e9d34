"""The `whip` uplink: each camera's H.264 units pushed to a WHIP endpoint (RFC 9725) over WebRTC, for gateways that
are not ours. Nothing is acknowledged there, so nothing is kept: a unit handed over is gone, and one the link has no
room for is dropped with what depends on it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import structlog
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE

from fishladder.edge import metrics
from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.clock import Clock, ServerTime
from fishladder.edge.gateway_address import GatewayAddress
from fishladder.edge.limits.limiter import Limiter
from fishladder.edge.limits.settings import LimitsConfig
from fishladder.edge.limits.wire import Carried
from fishladder.edge.rate.orders import Order, Wish
from fishladder.edge.rate.whip_budget import Peer, WhipBudget
from fishladder.edge.whip_sender import Packet, Track, carried, close, listen, pace
from fishladder.edge.whip_signal import delete, post
from fishladder.runtime.lifecycle import Backoff
from fishladder.wire.errors import AuthRefused, ConfigError, UplinkError
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec, Flag

log = structlog.get_logger(__name__)

_CONNECT_S = 20.0
_LINGER_S = 0.5
_CONTROL_S = 0.1
#: What connections have carried is read so often.
_COUNT_S = 1.0
#: Units waiting for aiortc to take them: more means that the link does not carry them.
_MOST_WAITING = 30


class WhipCamera:
    """Where one camera's pictures go. While there is no peer, units are dropped until the first clean point after."""

    dropped_as = Fate.SHED
    abandoned = 0

    def __init__(self, camera: str, url: str) -> None:
        self.camera = camera
        self.url = url
        self.position = 0
        self.dropped = 0
        self.held_bytes = 0
        self.wants_keyframe = False
        self._track: Track | None = None
        self._peer: Peer | None = None
        self._begun = False

    @property
    def pending(self) -> int:
        """Handed over to the peer connection, but not yet taken by it."""
        return len(self._track.waiting) if self._track else 0

    def attach(self, track: Track, peer: Peer) -> None:
        self._track, self._peer, self._begun, self.wants_keyframe = track, peer, False, True

    def detach(self) -> None:
        self._track = self._peer = None

    def append_unit(self, unit: CapturedUnit, *, wall_us: int, ready_us: int) -> bool:
        self.position += 1
        if unit.flags & Flag.CLEAN:
            self.wants_keyframe = False
            self._begun = True
        track = self._track
        full = track is not None and len(track.waiting) >= _MOST_WAITING
        if track is None or not self._begun or full or unit.codec is not Codec.H264 or not unit.payload:
            self.dropped += 1
            self.wants_keyframe = track is not None and not full
            self._begun = False
            return False
        packet: Packet = av.Packet(unit.payload)
        packet.pts = unit.pts_us * VIDEO_CLOCK_RATE // 1_000_000
        packet.time_base = VIDEO_TIME_BASE
        track.put(packet)
        if self._peer is not None:
            self._peer.sent(len(unit.payload), time.monotonic())
        return True

    def append_range(self, count: int, fate: Fate, *, mono_us: int, wall_us: int) -> None:
        self.position += count


class WhipUplink:
    """Keeps a WHIP session for each camera. `on_keyframe(index)` is called when a receiver wants one, `on_rate(index,
    order)` as links and limits allow; `wish(index)` is what a camera would send, None if that cannot be changed. What
    the month has used is kept in `state`.
    """

    def __init__(
        self,
        to: Sequence[GatewayAddress],
        cameras: Sequence[WhipCamera],
        clock: Clock,
        *,
        on_keyframe: Callable[[int], None],
        on_rate: Callable[[int, Order], None] = lambda index, order: None,
        wish: Callable[[int], Wish | None] = lambda index: None,
        limits: LimitsConfig | None = None,
        state: Path | None = None,
    ) -> None:
        self._on_rate = on_rate
        self._wish = wish
        self.budget = WhipBudget()
        self._to = to
        self._cameras = cameras
        self._on_keyframe = on_keyframe
        self._up: dict[int, RTCRtpSender] = {}
        self._carried = Carried()  # by sessions that have ended
        self._server_time = ServerTime(clock)
        self.limiter = Limiter(
            limits or LimitsConfig(),
            directory=state,
            wall_s=lambda: clock.wall_us() / 1e6,
            gateway_s=self._server_time.now_s,
            clock=lambda: clock.mono_us() / 1e6,
        )

    @property
    def connected(self) -> bool:
        return len(self._up) == len(self._cameras)

    def wake(self) -> None:
        """Nothing to do: units are handed over as they come."""

    def flush(self) -> None:
        """Nothing is held back."""

    async def settled(self) -> None:
        """Wait until what was handed over has had time to leave."""
        while any(camera.pending for camera in self._cameras):  # noqa: ASYNC110 - aiortc takes them without a word
            await asyncio.sleep(0.05)
        await asyncio.sleep(_LINGER_S)

    async def run(self) -> None:
        """Runs until cancelled; each camera's trouble is its own."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._control(), name="whip-rate")
            group.create_task(self._count(), name="whip-count")
            for index in range(len(self._cameras)):
                group.create_task(self._keep(index))

    async def _control(self) -> None:
        """Tell cameras what they may send."""
        while True:
            limits, now_s = self.limiter, time.monotonic()
            wishes = {index: wish for index in self._up if (wish := self._wish(index)) is not None}
            for index, order in self.budget.step(wishes, now_s, limit_bps=limits.now.total_bps, yields=limits.yields):
                self._on_rate(index, order)
            limits.yield_to(self.budget.link_bps)
            await asyncio.sleep(_CONTROL_S)

    async def _count(self) -> None:
        """What all sessions have carried, for the limits."""
        while True:
            await asyncio.sleep(_COUNT_S)
            total = self._carried
            for sender in list(self._up.values()):
                total += await carried(sender)
            self.limiter.measured(total)

    async def _keep(self, index: int) -> None:
        backoff = Backoff(0.5, 30.0)
        slow = Backoff(30.0, 60.0)
        camera = self._cameras[index]
        while True:
            try:
                await self._session(index, backoff)
            except (AuthRefused, ConfigError) as error:
                delay_s, said = slow.next(), str(error)
            except UplinkError as error:
                delay_s, said = backoff.next(), str(error)
            log.warning("whip is down, will retry", camera=camera.camera, error=said, retry_s=round(delay_s, 1))
            await asyncio.sleep(delay_s)

    async def _session(self, index: int, backoff: Backoff) -> None:
        """One session, from its offer to its end, which is always an `UplinkError`."""
        camera, to = self._cameras[index], self._to[index]
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        track = Track()
        sender = peer.addTransceiver(track, direction="sendonly").sender
        sender._send_keyframe = lambda: self._on_keyframe(index)  # type: ignore[method-assign]
        rate = Peer()
        listen(sender, rate, time.monotonic)
        for transceiver in peer.getTransceivers():
            codecs = RTCRtpSender.getCapabilities("video").codecs
            transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType.lower() == "video/h264"])
        ended, up = asyncio.Event(), asyncio.Event()

        def changed() -> None:
            if peer.connectionState == "connected":
                up.set()
            elif peer.connectionState in ("failed", "closed"):
                ended.set()

        peer.on("connectionstatechange", changed)
        track.on("ended", ended.set)  # aiortc has stopped sending, whatever made it, and would not begin again
        resource = ""
        try:
            await peer.setLocalDescription(await peer.createOffer())
            resource, answer, server_s = await post(to, camera.url, peer.localDescription.sdp)
            self._server_time.heard(server_s)
            try:
                await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            except Exception as error:  # noqa: BLE001 - aiortc raises whatever a foreign answer makes it stumble over
                said = str(error) or type(error).__name__
                raise UplinkError(f"{to.url} gave an answer that cannot be used: {said}") from None
            await _first_of(up, ended, timeout_s=_CONNECT_S)
            if not up.is_set():
                raise UplinkError(f"{to.url}: the media connection could not be made (is UDP let through?)")
            log.info("whip is up", camera=camera.camera, server=to.url)
            backoff.reset()
            pace(sender, self.limiter)
            self._up[index] = sender
            self.budget.add(index, rate)
            camera.attach(track, rate)
            self._on_keyframe(index)
            await ended.wait()
            gone = "the peer is gone" if peer.connectionState != "connected" else "sending has stopped"
            raise UplinkError(f"{to.url}: {gone}")
        finally:
            camera.detach()
            self.budget.remove(index)
            if self._up.pop(index, None) is not None:
                self._carried += await carried(sender)
                metrics.RECONNECTS.inc()
            await close(peer)
            if resource:
                await delete(to, resource)


async def _first_of(*events: asyncio.Event, timeout_s: float) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
