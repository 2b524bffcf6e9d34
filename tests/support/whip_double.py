"""A small WHIP server for tests of the agent: it answers offers with a real peer connection, decodes what comes, and
notes which pictures it saw by the counter in their pixels.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from fishladder.edge.cameras.pattern import counter


class WhipDouble:
    def __init__(self) -> None:
        self.url = ""
        self.token = "good"
        self.seen: dict[str, list[int]] = {}
        self.deleted: list[str] = []
        self.peers: dict[str, RTCPeerConnection] = {}
        self.offers: list[str] = []
        self.spoil: dict[str, tuple[str, str]] = {}  # what to replace in a camera's answer, and by what
        self._ever: list[RTCPeerConnection] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def post(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, text="no such token\n")
        if request.content_type != "application/sdp":
            return web.Response(status=415)
        camera = request.match_info["camera"]
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peers[camera] = peer
        self._ever.append(peer)
        peer.on("track", lambda track: self._watch(camera, track))
        offer = await request.text()
        self.offers.append(offer)
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        where = {"Location": f"/resource/{camera}"}
        answer = peer.localDescription.sdp.replace(*self.spoil.get(camera, ("", "")))
        return web.Response(status=201, text=answer, content_type="application/sdp", headers=where)

    async def delete(self, request: web.Request) -> web.Response:
        self.deleted.append(request.match_info["camera"])
        return web.Response()

    async def ask_keyframe(self, camera: str) -> None:
        receiver: RTCRtpReceiver = self.peers[camera].getReceivers()[0]
        for source in receiver.getSynchronizationSources():
            await receiver._send_rtcp_pli(source.source)

    async def close(self) -> None:
        """End all sessions, also those that never came up."""
        for peer in self._ever:
            await peer.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _watch(self, camera: str, track: MediaStreamTrack) -> None:
        async def watch() -> None:
            try:
                while True:
                    frame = await track.recv()
                    self.seen.setdefault(camera, []).append(counter(frame.to_ndarray(format="gray")))  # type: ignore[union-attr]
            except MediaStreamError:
                return

        task = asyncio.create_task(watch())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def whip_double() -> AsyncIterator[WhipDouble]:
    double = WhipDouble()
    app = web.Application()
    app.router.add_post("/whip/{site}/{camera}", double.post)
    app.router.add_delete("/resource/{camera}", double.delete)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    double.url = f"http://localhost:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    try:
        yield double
    finally:
        await double.close()
        await runner.cleanup()
