"""A camera on stock aiortc at both ends: its H.264 encoder, its congestion control, its jitter buffer.

python -m thin.stock send URL FOOTAGE FPS WRITTEN | receive PORT FPS WRITTEN
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from av.video.frame import VideoFrame
from support.stock_whip import StockWhip, Taken

from fishladder.wire.bitstream import inspect
from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec
from thin.footage import pictures
from thin.frames import captured, record

_CLOCK = 90_000


class Footage(MediaStreamTrack):
    kind = "video"

    def __init__(self, path: Path, fps: int, written: Path) -> None:
        super().__init__()
        self._fps = fps
        self._pictures = self._all(path)
        self._log = written.open("wb", buffering=0)
        self._index = 0
        self._began_s: float | None = None

    def _all(self, path: Path) -> Iterator[VideoFrame]:
        while True:
            yield from pictures(path)

    async def recv(self) -> VideoFrame:
        if self._began_s is None:
            self._began_s = time.monotonic()
        # Pictures it is too late for are lost, as with any live camera.
        behind = int((time.monotonic() - self._began_s) * self._fps) - self._index
        for _ in range(max(behind, 0)):
            next(self._pictures)
            self._index += 1
        await asyncio.sleep(self._began_s + self._index / self._fps - time.monotonic())
        picture = next(self._pictures)
        picture.pts, picture.time_base = self._index * _CLOCK // self._fps, Fraction(1, _CLOCK)
        self._log.write(captured(self._index, time.time_ns() // 1000))
        self._index += 1
        return picture


async def send(url: str, footage: Path, fps: int, written: Path) -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = peer.addTransceiver(Footage(footage, fps, written), direction="sendonly")
    codecs = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([it for it in codecs if it.mimeType == "video/H264"])
    await peer.setLocalDescription(await peer.createOffer())
    async with aiohttp.ClientSession() as http, http.post(url, data=peer.localDescription.sdp) as answer:
        await peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
    await asyncio.Event().wait()


async def receive(port: int, fps: int, written: Path) -> None:
    with written.open("wb", buffering=0) as log:

        def taken(it: Taken) -> None:
            try:
                key = inspect(Codec[it.codec.upper()], it.data).idr
            except WireError:
                key = False
            log.write(record(round(it.timestamp * fps / _CLOCK), round(it.at * 1e6), it.data, key=key))

        server = StockWhip(taken)
        await server.start(port)
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    if role == "send":
        asyncio.run(send(rest[0], Path(rest[1]), int(rest[2]), Path(rest[3])))
    else:
        asyncio.run(receive(int(rest[0]), int(rest[1]), Path(rest[2])))
