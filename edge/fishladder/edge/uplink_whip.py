"""The `whip` uplink: each camera's H.264 units pushed to a WHIP endpoint (RFC 9725) over WebRTC, for gateways that
are not ours. Nothing is acknowledged there, so nothing is kept: a unit handed over is gone, and one the link has no
room for is dropped with what depends on it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeAlias
from urllib.parse import urljoin

import aiohttp
import av
import structlog
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE, MediaStreamError, MediaStreamTrack
from aiortc.rtp import (
    RTCP_PSFB_APP,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)
from av.stream import Stream

from fishladder.edge import metrics
from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.gateway_address import GatewayAddress, answered, explain, origin
from fishladder.edge.rate.control import Order, Wish
from fishladder.edge.rate.whip_budget import Peer, WhipBudget
from fishladder.edge.redirects import guarded
from fishladder.runtime.lifecycle import Backoff
from fishladder.wire.errors import AuthRefused, ConfigError, UplinkError
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec, Flag

log = structlog.get_logger(__name__)

_SIGNAL_S = 15.0
_CONNECT_S = 20.0
_LINGER_S = 0.5
_CONTROL_S = 0.1
#: Units waiting for aiortc to take them: more means that the link does not carry them.
_MOST_WAITING = 30

# aiortc turns what receivers say (a wish for a keyframe, what comes through) into settings of its own encoder, which
# has bounds of its own and is not used here; this is where we hear of it.
for _name in ("_send_keyframe", "_handle_rtcp_packet"):
    if not hasattr(RTCRtpSender, _name):
        raise ImportError(f"this aiortc has no RTCRtpSender.{_name}: use the version fishladder asks for")


Packet: TypeAlias = "av.Packet[Stream]"


class _Track(MediaStreamTrack):
    """Hands units to aiortc as packets it has not to encode."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.waiting: deque[Packet] = deque()
        self._news = asyncio.Event()

    def put(self, packet: Packet) -> None:
        self.waiting.append(packet)
        self._news.set()

    async def recv(self) -> Packet:
        while not self.waiting:
            self._news.clear()
            await self._news.wait()
        if self.readyState != "live":
            raise MediaStreamError
        return self.waiting.popleft()


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
        self._track: _Track | None = None
        self._peer: Peer | None = None
        self._begun = False

    @property
    def pending(self) -> int:
        """Handed over to the peer connection, but not yet taken by it."""
        return len(self._track.waiting) if self._track else 0

    def attach(self, track: _Track, peer: Peer) -> None:
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
    order)` as links allow; `wish(index)` is what a camera would send, None if that cannot be changed.
    """

    def __init__(
        self,
        to: Sequence[GatewayAddress],
        cameras: Sequence[WhipCamera],
        *,
        on_keyframe: Callable[[int], None],
        on_rate: Callable[[int, Order], None] = lambda index, order: None,
        wish: Callable[[int], Wish | None] = lambda index: None,
    ) -> None:
        self._on_rate = on_rate
        self._wish = wish
        self.budget = WhipBudget()
        self._to = to
        self._cameras = cameras
        self._on_keyframe = on_keyframe
        self._up: set[int] = set()

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
            for index in range(len(self._cameras)):
                group.create_task(self._keep(index))

    async def _control(self) -> None:
        """Tell cameras what they may send."""
        while True:
            wishes = {index: wish for index in self._up if (wish := self._wish(index)) is not None}
            for index, order in self.budget.step(wishes, time.monotonic()):
                self._on_rate(index, order)
            await asyncio.sleep(_CONTROL_S)

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
        track = _Track()
        sender = peer.addTransceiver(track, direction="sendonly").sender
        sender._send_keyframe = lambda: self._on_keyframe(index)  # type: ignore[method-assign]
        rate = Peer()
        _listen(sender, rate)
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
        resource = ""
        try:
            await peer.setLocalDescription(await peer.createOffer())
            resource, answer = await _post(to, camera.url, peer.localDescription.sdp)
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
            self._up.add(index)
            self.budget.add(index, rate)
            camera.attach(track, rate)
            self._on_keyframe(index)
            await ended.wait()
            raise UplinkError(f"{to.url}: the peer is gone")
        finally:
            camera.detach()
            self.budget.remove(index)
            if index in self._up:
                self._up.discard(index)
                metrics.RECONNECTS.inc()
            await _close(peer)
            if resource:
                await _delete(to, resource)


def _listen(sender: RTCRtpSender, peer: Peer) -> None:
    """Hear what the receiver says of the way to it, before aiortc does."""
    handle = sender._handle_rtcp_packet

    async def heard(packet: AnyRtcpPacket) -> None:
        now_s = time.monotonic()
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == sender._ssrc:
                    peer.report(report.fraction_lost / 256)
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            with suppress(ValueError):  # another message of that kind
                bps, sources = unpack_remb_fci(packet.fci)
                if sender._ssrc in sources:
                    peer.remb(bps, now_s)
        await handle(packet)

    sender._handle_rtcp_packet = heard  # type: ignore[method-assign]


async def _close(peer: RTCPeerConnection) -> None:
    """Close a connection, and end the tasks that aiortc leaves waiting for one that will never be made."""
    try:
        await peer.close()
    finally:
        for task in asyncio.all_tasks():
            frame = getattr(task.get_coro(), "cr_frame", None)
            if frame is not None and frame.f_locals.get("self") is peer:
                task.cancel()


async def _first_of(*events: asyncio.Event, timeout_s: float) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _http(to: GatewayAddress, url: str) -> aiohttp.ClientSession:
    """For requests to `url`; the token goes to nobody but whom it is for. Raises `ConfigError`."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=to.tls() if to.url.startswith("https") else True),
        timeout=aiohttp.ClientTimeout(total=_SIGNAL_S),
        trace_configs=[guarded(to, follow=True)],
        headers=to.headers() if origin(url, "whip") == origin(to.url, "whip") else {},
    )


async def _post(to: GatewayAddress, url: str, offer: str) -> tuple[str, str]:
    """The session's resource and the answer. Raises `UplinkError`, `AuthRefused`, `ConfigError`."""
    try:
        async with (
            _http(to, url) as http,
            http.post(
                url,
                data=offer,
                headers={"Content-Type": "application/sdp"},
                proxy=to.proxy.url if to.proxy else None,
                proxy_headers=to.proxy.headers if to.proxy else None,
            ) as response,
        ):
            text = (await response.content.read(65536)).decode(errors="replace")
            if response.status != 201:
                error = answered(response.status, response.content_type, to)
                said = text.strip().splitlines()[:1] if response.content_type == "text/plain" else []
                raise type(error)(f"{error}{': ' if said else ''}{''.join(said)[:200]}")
            if "v=0" not in text:
                raise UplinkError(f"{to.url} answered with something that is no SDP")
            return urljoin(str(response.url), response.headers.get("Location", "")), text
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise explain(error, to) from None


async def _delete(to: GatewayAddress, resource: str) -> None:
    """Tell the other side; if it cannot be told it will notice by itself."""
    try:
        async with (
            asyncio.timeout(3),
            _http(to, resource) as http,
            http.delete(
                resource,
                proxy=to.proxy.url if to.proxy else None,
                proxy_headers=to.proxy.headers if to.proxy else None,
            ),
        ):
            pass
    except (aiohttp.ClientError, TimeoutError, OSError, ConfigError) as error:
        log.debug("could not end the whip session", server=to.url, error=type(error).__name__)
