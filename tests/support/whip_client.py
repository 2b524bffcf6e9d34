"""A WHIP client on aiortc that sends units which were encoded before, each as it is, and notes when a keyframe is asked
for.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction

import aiohttp
import av
from aiortc import RTCCertificate, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from fishladder.wire.unit import Codec

_PROFILE = "42001f"  # what aiortc offers first
_MIME = {Codec.H264: "video/H264", Codec.VP8: "video/VP8"}


class EncodedTrack(MediaStreamTrack):
    """Gives out payloads at `fps`; ends with them."""

    kind = "video"

    def __init__(self, payloads: Iterator[bytes], fps: float = 25) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.over = asyncio.Event()
        self._payloads = payloads
        self._fps = fps

    async def recv(self) -> av.Packet:
        await asyncio.sleep(1 / self._fps)
        payload = next(self._payloads, None)
        if payload is None:
            self.over.set()
            await asyncio.sleep(3600)
            raise AssertionError
        packet = av.Packet(payload)
        packet.pts = round(len(self.sent) * 90_000 / self._fps)
        packet.time_base = Fraction(1, 90_000)
        self.sent.append(payload)
        return packet


@dataclass
class WhipClient:
    peer: RTCPeerConnection
    track: EncodedTrack
    status: int
    body: str
    headers: Mapping[str, str]  #: names in any case

    @property
    def connected(self) -> bool:
        return bool(self.peer.connectionState == "connected")


def profiled(sdp: str, profile_level_id: str) -> str:
    """An offer or answer that names another H.264 profile."""
    return re.sub("profile-level-id=[0-9a-f]{6}", f"profile-level-id={profile_level_id}", sdp)


@asynccontextmanager
async def whip(
    url: str,
    token: str | None,
    codec: Codec,
    payloads: Iterator[bytes],
    *,
    fps: float = 25,
    profile: str | None = None,
    rewrite: Callable[[str], str] = str,
    certificate: RTCCertificate | None = None,
    tls: ssl.SSLContext | bool = True,
) -> AsyncIterator[WhipClient]:
    """Post an offer, as `rewrite` makes it, and, if it is taken, send. `url` is that of the camera."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if certificate is not None:
        peer._RTCPeerConnection__certificates = [certificate]  # type: ignore[attr-defined]
    track = EncodedTrack(payloads, fps)
    try:
        transceiver = peer.addTransceiver(track, direction="sendonly")
        codecs = [it for it in RTCRtpSender.getCapabilities("video").codecs if it.mimeType == _MIME[codec]]
        transceiver.setCodecPreferences(codecs[:1])
        await peer.setLocalDescription(await peer.createOffer())
        offer = peer.localDescription.sdp
        if profile:
            offer = profiled(offer, profile)
        offer = rewrite(offer)
        headers = {"Content-Type": "application/sdp"} | ({"Authorization": f"Bearer {token}"} if token else {})
        async with aiohttp.ClientSession() as session, session.post(url, data=offer, headers=headers, ssl=tls) as reply:
            body = await reply.text()
            client = WhipClient(peer, track, reply.status, body, reply.headers)
        if client.status == 201:
            await peer.setRemoteDescription(RTCSessionDescription(profiled(body, _PROFILE), "answer"))
        yield client
    finally:
        track.stop()
        await peer.close()
