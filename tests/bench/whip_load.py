"""Pushes encoded 720p30 to a WHIP endpoint in several sessions, as a browser would: with transport-wide numbers on
every packet. The sender of `whip_cpu.py` and `whip_sessions.py`.

    python tests/bench/whip_load.py URL SESSIONS SECONDS [TOKEN]
"""

import asyncio
import itertools
import sys
from fractions import Fraction
from pathlib import Path
from weakref import WeakKeyDictionary

sys.path.insert(0, str(Path(__file__).parents[1]))

import aiohttp
import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, codecs, rtp
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpHeaderExtensionParameters
from yarl import URL

from fishladder.gateway.webrtc.rtp import TRANSPORT_CC

FPS, BIT_RATE = 30, 1_650_000
_TRIES = 8


def number_packets() -> None:
    """Teach this process's aiortc to offer transport-wide congestion control, and to number its packets."""
    codecs.HEADER_EXTENSIONS["video"].append(RTCRtpHeaderExtensionParameters(id=5, uri=TRANSPORT_CC))
    for codec in codecs.CODECS["video"]:
        codec.rtcpFeedback.append(RTCRtcpFeedback(type="transport-cc"))
    counts: WeakKeyDictionary[rtp.HeaderExtensionsMap, itertools.count[int]] = WeakKeyDictionary()
    plain = rtp.HeaderExtensionsMap.set

    def numbered(self: rtp.HeaderExtensionsMap, values: rtp.HeaderExtensions) -> tuple[int, bytes]:
        count = counts.setdefault(self, itertools.count())
        values.transport_sequence_number = next(count) & 0xFFFF
        return plain(self, values)

    rtp.HeaderExtensionsMap.set = numbered  # type: ignore[method-assign]


def clip(seconds: int = 2) -> list[bytes]:
    """Units of 720p30 at about 1.65 Mbit/s, which begin with a keyframe."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 1280, 720, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.bit_rate = Fraction(1, FPS), Fraction(FPS), BIT_RATE
    encoder.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x264-params": f"vbv-maxrate=1650:vbv-bufsize=800:keyint={FPS * seconds}",
    }
    encoder.profile = "Constrained Baseline"
    random = np.random.default_rng(7)
    scene = np.kron(random.integers(40, 200, (30, 60), np.uint8), np.ones((36, 36), np.uint8))
    units = []
    for index in range(FPS * seconds):
        picture = np.roll(scene, index * 3, axis=1)[:1080, :1280].copy()
        picture[:720] += random.integers(0, 12, (720, 1280), np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        units += [bytes(packet) for packet in encoder.encode(frame)]
    return units + [bytes(packet) for packet in encoder.encode(None)]


class Clip(MediaStreamTrack):
    """Units over and over, at their pace."""

    kind = "video"

    def __init__(self, units: list[bytes]) -> None:
        super().__init__()
        self._units = itertools.cycle(units)
        self._number = 0
        self._began = asyncio.get_running_loop().time()

    async def recv(self) -> av.Packet:
        at = self._began + self._number / FPS
        await asyncio.sleep(max(at - asyncio.get_running_loop().time(), 0))
        packet = av.Packet(next(self._units))
        packet.pts, packet.time_base = self._number * 90_000 // FPS, Fraction(1, 90_000)
        self._number += 1
        return packet


async def offered(http: aiohttp.ClientSession, url: str, offer: str, headers: dict[str, str]) -> tuple[str, URL]:
    """The answer, and where the session is. One that is told to come again later does."""
    for _ in range(_TRIES):
        async with http.post(url, data=offer, headers=headers) as reply:
            text = await reply.text()
            if reply.status == 201:
                return text, reply.url.join(URL(reply.headers["Location"]))
            wait_s = reply.headers.get("Retry-After")
            if wait_s is None:
                break
        print(f"{reply.status}, to come again in {wait_s} s: {text}", file=sys.stderr)
        await asyncio.sleep(float(wait_s))
    raise SystemExit(f"{url} answers {reply.status}: {text}")


async def push(http: aiohttp.ClientSession, url: str, token: str, units: list[bytes], seconds: float) -> None:
    """One session from offer to DELETE."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        sender = peer.addTransceiver(Clip(units), direction="sendonly")
        sender.setCodecPreferences(
            [one for one in codecs.get_capabilities("video").codecs if one.mimeType == "video/H264"]
        )
        await peer.setLocalDescription(await peer.createOffer())
        headers = {"Content-Type": "application/sdp"} | ({"Authorization": f"Bearer {token}"} if token else {})
        answer, session = await offered(http, url, peer.localDescription.sdp, headers)
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await asyncio.sleep(seconds)
        async with http.delete(session, headers=headers):
            pass
    finally:
        await peer.close()


async def main() -> None:
    url, sessions, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    token = sys.argv[4] if len(sys.argv) > 4 else ""
    number_packets()
    units = clip()
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        for number in range(sessions):
            group.create_task(push(http, f"{url}/whip/load/c{number}", token, units, seconds))


if __name__ == "__main__":
    asyncio.run(main())
