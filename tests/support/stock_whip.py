"""A minimal WHIP server on stock aiortc, as one writes it in an afternoon: what ours is compared with. As a program it
listens on `--port`, and says on stdout what came out of its decoders' queues: how many units, or each unit.

    python tests/support/stock_whip.py --port 8899
"""

import argparse
import asyncio
import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from fishladder.wire.bitstream import inspect
from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec

_QUEUE = "_RTCRtpReceiver__decoder_queue"


class Taken(NamedTuple):
    """A unit from a decoder's queue. `timestamp` counts from the first; `at` is Unix seconds."""

    camera: str
    codec: str
    data: bytes
    timestamp: int
    at: float


class _Tap:
    """In place of a receiver's decoder queue: hands encoded units on instead of having them decoded."""

    def __init__(self, camera: str, taken: Callable[[Taken], None]) -> None:
        self._camera, self._taken = camera, taken
        self._over = threading.Event()

    def put(self, task: Any) -> None:
        if task is None:
            self._over.set()
        else:
            codec, frame = task
            self._taken(Taken(self._camera, codec.name, frame.data, frame.timestamp, time.time()))

    def get(self) -> None:
        self._over.wait()


class StockWhip:
    """`taken` gets each unit, undecoded."""

    def __init__(self, taken: Callable[[Taken], None]) -> None:
        self.taken = taken
        self.url = ""
        self.sessions: dict[str, RTCPeerConnection] = {}
        self._runner: web.AppRunner | None = None

    async def post(self, request: web.Request) -> web.Response:
        camera = request.match_info["camera"]
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))

        def tracked(track: MediaStreamTrack) -> None:
            for receiver in peer.getReceivers():
                if receiver.track is track:
                    setattr(receiver, _QUEUE, _Tap(camera, self.taken))

        peer.on("track", tracked)
        await peer.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        name = secrets.token_urlsafe(16)
        self.sessions[name] = peer
        headers = {"Location": f"{request.path}/{name}", "Access-Control-Allow-Origin": "*"}
        return web.Response(status=201, text=peer.localDescription.sdp, content_type="application/sdp", headers=headers)

    async def options(self, _: web.Request) -> web.Response:
        allow = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "Authorization, Content-Type"}
        return web.Response(headers={**allow, "Access-Control-Allow-Methods": "POST, DELETE"})

    async def delete(self, request: web.Request) -> web.Response:
        peer = self.sessions.pop(request.match_info["session"], None)
        if peer is None:
            raise web.HTTPNotFound
        await peer.close()
        return web.Response()

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        path = "/whip/{site}/{camera}"
        app.router.add_post(path, self.post)
        app.router.add_route("OPTIONS", path, self.options)
        app.router.add_delete(path + "/{session}", self.delete)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "0.0.0.0", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        await asyncio.gather(*(peer.close() for peer in self.sessions.values()))
        if self._runner is not None:
            await self._runner.cleanup()


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--units", action="store_true", help="say a line for each unit")
    told = options.parse_args()
    units = 0

    def count(_: Taken) -> None:
        nonlocal units
        units += 1

    def say(it: Taken) -> None:
        try:
            key = inspect(Codec[it.codec.upper()], it.data).idr
        except WireError:
            key = False
        print(json.dumps([it.camera, len(it.data), it.timestamp, it.at, key]), flush=True)

    server = StockWhip(say if told.units else count)
    await server.start(told.port)
    print(json.dumps({"url": server.url}), flush=True)
    while True:
        await asyncio.sleep(0.2)
        if not told.units:
            print(units, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
