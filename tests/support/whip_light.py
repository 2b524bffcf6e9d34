"""Sends one encoded clip in many WHIP sessions at the least cost to this process: aiortc shakes hands, then prepared
packets are numbered, encrypted and sent, and what comes back is not looked at. Says when all are connected and
begins when it is sent a line; then it says each second how many units it has sent and by how much it is late.

    python tests/support/whip_light.py URL SESSIONS SECONDS TOKEN
"""

import asyncio
import json
import re
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, codecs
from aiortc.codecs.h264 import H264Encoder
from support.whip_client import EncodedTrack
from whip_load import FPS, clip, number_packets, offered

from fishladder.gateway.webrtc.rtp import ABS_SEND_TIME, TRANSPORT_CC

_CONNECT_S = 60


class Session:
    """One session, in turn with the others: a unit of each, every 1/30 s."""

    def __init__(self, peer: RTCPeerConnection, answer: str) -> None:
        [it] = peer.getTransceivers()
        self._ssrc, self._dtls = it.sender._ssrc, it.sender.transport
        [self._kind, *_] = [int(number) for number in re.findall(r"a=rtpmap:(\d+) H264/", answer)]
        ids = {uri: int(number) for number, uri in re.findall(r"a=extmap:(\d+) (\S+)", answer)}
        self._numbered, self._stamped = ids[TRANSPORT_CC], ids.get(ABS_SEND_TIME, 0)
        self._seq = 0

    async def send(self, payloads: list[bytes], timestamp: int) -> None:
        stamp = int(time.time() * (1 << 18)) & 0xFFFFFF
        for left, payload in zip(range(len(payloads) - 1, -1, -1), payloads, strict=True):
            seq = self._seq = self._seq + 1 & 0xFFFF
            words = bytes((self._numbered << 4 | 1,)) + struct.pack(">H", seq)
            words += bytes((self._stamped << 4 | 2,)) + stamp.to_bytes(3, "big") if self._stamped else b""
            words += bytes(-len(words) % 4)
            kind = self._kind | (0 if left else 128)
            head = struct.pack(">BBHIIHH", 0x90, kind, seq, timestamp, self._ssrc, 0xBEDE, len(words) // 4)
            await self._dtls.transport._send(self._dtls._tx_srtp.protect(head + words + payload))


async def begin(http: aiohttp.ClientSession, url: str, token: str) -> tuple[RTCPeerConnection, Session]:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    it = peer.addTransceiver(EncodedTrack(iter(())), direction="sendonly")
    it.setCodecPreferences([one for one in codecs.get_capabilities("video").codecs if one.mimeType == "video/H264"])
    await peer.setLocalDescription(await peer.createOffer())
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {token}"}
    answer, _ = await offered(http, url, peer.localDescription.sdp, headers)
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    until = time.monotonic() + _CONNECT_S
    while peer.connectionState != "connected":
        if time.monotonic() > until:
            raise SystemExit(f"{url}: not connected within {_CONNECT_S} s")
        await asyncio.sleep(0.05)
    return peer, Session(peer, answer)


async def main() -> None:
    url, sessions, seconds, token = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    number_packets()
    packed = [H264Encoder._packetize(H264Encoder._split_bitstream(unit)) for unit in clip()]
    started = []
    for number in range(sessions):
        # Of its own connection each, so that the kernel spreads them over the gateway's processes.
        async with aiohttp.ClientSession() as http:
            started.append(await begin(http, f"{url}/c{number}", token))
    print(json.dumps("connected"), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    began, number, late_s = time.monotonic(), 0, 0.0
    while (at := number / FPS) < seconds:
        for index, (_, session) in enumerate(started):
            due = began + at + index / len(started) / FPS
            wait_s = due - time.monotonic()
            late_s = max(late_s, -wait_s)
            await asyncio.sleep(max(wait_s, 0))
            await session.send(packed[(number + 7 * index) % len(packed)], number * 90_000 // FPS)
        number += 1
        if number % FPS == 0:
            print(json.dumps([number * len(started), round(late_s, 3)]), flush=True)
            late_s = 0.0
    await asyncio.gather(*(peer.close() for peer, _ in started))


if __name__ == "__main__":
    asyncio.run(main())
