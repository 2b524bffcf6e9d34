"""The `whip` uplink: each camera's H.264 units pushed to a WHIP endpoint (RFC 9725) over WebRTC, for gateways that
are not ours. Nothing is acknowledged there, so nothing is kept: a unit handed over is gone, and one the link has no
room for is dropped with what depends on it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias
from urllib.parse import urljoin

import aiohttp
import av
import structlog
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE, MediaStreamError, MediaStreamTrack
from av.stream import Stream

from fishladder.edge import metrics
from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.gateway_address import GatewayAddress, answered, explain, origin
from fishladder.edge.redirects import guarded
from fishladder.runtime.lifecycle import Backoff
from fishladder.wire.errors import AuthRefused, ConfigError, UplinkError
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec, Flag

log = structlog.get_logger(__name__)

_SIGNAL_S = 15.0
_CONNECT_S = 20.0
_LINGER_S = 0.5
#: Units waiting for aiortc to take them: more means that the link does not carry them.
_MOST_WAITING = 30

# aiortc turns a receiver's wish for a keyframe into a flag for its own encoder; this is where we hear of it.
if not hasattr(RTCRtpSender, "_send_keyframe"):
    raise ImportError("this aiortc has no RTCRtpSender._send_keyframe: use the version fishladder asks for")


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
        self._begun = False

    @property
    def pending(self) -> int:
        """Handed over to the peer connection, but not yet taken by it."""
        return len(self._track.waiting) if self._track else 0

    def attach(self, track: _Track) -> None:
        self._track, self._begun, self.wants_keyframe = track, False, True

    def detach(self) -> None:
        self._track = None

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
        return True

    def append_range(self, count: int, fate: Fate, *, mono_us: int, wall_us: int) -> None:
        self.position += count


class WhipUplink:
    """Keeps a WHIP session for each camera. `on_keyframe(index)` is called when a receiver wants one."""

    def __init__(
        self, to: Sequence[GatewayAddress], cameras: Sequence[WhipCamera], *, on_keyframe: Callable[[int], None]
    ) -> None:
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
            for index in range(len(self._cameras)):
                group.create_task(self._keep(index))

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
            camera.attach(track)
            self._on_keyframe(index)
            await ended.wait()
            raise UplinkError(f"{to.url}: the peer is gone")
        finally:
            camera.detach()
            if index in self._up:
                self._up.discard(index)
                metrics.RECONNECTS.inc()
            await _close(peer)
            if resource:
                await _delete(to, resource)


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
