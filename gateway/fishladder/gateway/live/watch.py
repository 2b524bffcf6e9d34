"""`/v1/live`: the WebSocket on which a browser gets encoded pictures and results of the cameras it asks for. The
gateway hands on what is logged and decodes nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from fishladder.gateway import metrics
from fishladder.gateway.admission import Admission
from fishladder.gateway.limits import Limits
from fishladder.gateway.live.places import WatchPlaces
from fishladder.gateway.live.tail import CameraTail
from fishladder.gateway.live.viewer import Viewer
from fishladder.gateway.pulse import Pulse
from fishladder.gateway.tokens import Grant, still_valid
from fishladder.runtime.store import Stores
from fishladder.wire.errors import WireError
from fishladder.wire.ids import check_camera

log = structlog.get_logger(__name__)

#: Cameras of one socket, and so of one page.
MAX_CAMERAS = 64
#: A viewer that takes nothing for so long is cut off.
_DEAF_S = 15.0
_LOOK_S = 5.0
_MAX_HEARD_BYTES = 1024


class Watch:
    """All who watch in this process. Each camera is followed once, and only while somebody watches it."""

    def __init__(self, admission: Admission, limits: Limits) -> None:
        self._admission = admission
        self._stores: Stores | None = None
        self._places = WatchPlaces(limits, shared=admission.open)
        self._tails: dict[str, tuple[CameraTail, asyncio.Task[None]]] = {}
        self._open: set[web.WebSocketResponse] = set()

    def ready(self, stores: Stores) -> None:
        """The stores are open."""
        self._stores = stores

    async def close(self) -> None:
        """Everybody goes; browsers come again by themselves."""
        self._stores = None
        going = (socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(self._open))
        await asyncio.gather(*going, return_exceptions=True)
        for _, task in self._tails.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._tails.values()), return_exceptions=True)
        self._tails.clear()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """`?camera=<site>/<camera>`, repeated; `?pictures=clean` for those only that need no other. A browser does not
        tell its page why a WebSocket was refused: asked for without one, it is refused for the same reason, if any.
        """
        grant = self._admission.viewer(request)
        if self._stores is None:
            raise web.HTTPServiceUnavailable(text="not ready yet, see /readyz", headers={"Retry-After": "2"})
        cameras = self._cameras(request, grant)
        if full := self._places.enter(grant.holder, cameras):
            raise web.HTTPTooManyRequests(text=full, headers={"Retry-After": "30"})
        metrics.connections.labels("live").inc()
        socket = web.WebSocketResponse(autoping=False, timeout=2.0, compress=False, max_msg_size=_MAX_HEARD_BYTES)
        try:
            if request.headers.get("Upgrade", "").lower() != "websocket":
                raise web.HTTPUpgradeRequired(text="this is the WebSocket of the live page")
            transport = request.transport
            if transport is None:
                return web.Response()
            try:
                await socket.prepare(request)
            except ConnectionError:
                return web.Response()  # he has gone
            self._open.add(socket)
            viewer = Viewer(clean_only=request.query.get("pictures") == "clean")
            async with self._joined(viewer, cameras):
                await self._send(socket, viewer, cameras, grant, transport)
            return socket
        finally:
            self._open.discard(socket)
            metrics.connections.labels("live").dec()
            self._places.leave(grant.holder, cameras)

    def _cameras(self, request: web.Request, grant: Grant) -> list[str]:
        """The cameras asked for. Raises 400 and 403."""
        cameras = list(dict.fromkeys(request.query.getall("camera", [])))
        if not 0 < len(cameras) <= MAX_CAMERAS:
            raise web.HTTPBadRequest(text=f"ask for 1 to {MAX_CAMERAS} cameras, as ?camera=<site>/<camera>")
        for camera in cameras:
            try:
                check_camera(camera)
            except WireError as error:
                raise web.HTTPBadRequest(text=str(error)) from None
            if not grant.allows(camera):
                raise web.HTTPForbidden(text=f"the token does not cover {camera}")
        return cameras

    @asynccontextmanager
    async def _joined(self, viewer: Viewer, cameras: list[str]) -> AsyncIterator[None]:
        """Follow the cameras for this viewer while the block runs."""
        for index, camera in enumerate(cameras):
            if camera not in self._tails:
                assert self._stores is not None
                tail = CameraTail(self._stores, camera)
                self._tails[camera] = tail, asyncio.create_task(tail.run(), name=f"watching {camera}")
            self._tails[camera][0].join(viewer, index)
        try:
            yield
        finally:
            ending: list[asyncio.Task[None]] = []
            for camera in self._tails.keys() & set(cameras):
                tail, task = self._tails[camera]
                tail.leave(viewer)
                if not tail.watched:
                    del self._tails[camera]
                    task.cancel()
                    ending.append(task)
            await asyncio.gather(*ending, return_exceptions=True)

    async def _send(
        self,
        socket: web.WebSocketResponse,
        viewer: Viewer,
        cameras: list[str],
        grant: Grant,
        transport: asyncio.Transport,
    ) -> None:
        """Until he goes, is deaf, or may look no longer."""
        hello = {"type": "hello", "now_ms": time.time_ns() // 1_000_000, "cameras": cameras}
        pulse = Pulse(socket, time.monotonic())
        viewer_gone = asyncio.create_task(self._hear(socket, pulse), name="viewer listens")
        skipped = 0
        try:
            async with asyncio.timeout(_DEAF_S):
                await socket.send_str(msgspec.json.encode(hello).decode())
            while not viewer_gone.done() and still_valid(grant):
                if not await pulse.beat(time.monotonic()):
                    raise TimeoutError
                take = asyncio.ensure_future(viewer.take())
                await asyncio.wait((take, viewer_gone), timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if not take.done():
                    take.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await take
                    continue
                async with asyncio.timeout(_DEAF_S):
                    for message in take.result():
                        if isinstance(message, str):
                            await socket.send_str(message)
                        else:
                            await socket.send_bytes(message)
                metrics.viewer_skipped.inc(viewer.skipped - skipped)
                skipped = viewer.skipped
        except (TimeoutError, OSError):
            transport.abort()
        finally:
            viewer_gone.cancel()
            await asyncio.gather(viewer_gone, return_exceptions=True)
        if not socket.closed:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION if not still_valid(grant) else WSCloseCode.OK)

    async def _hear(self, socket: web.WebSocketResponse, pulse: Pulse) -> None:
        """Nothing is to be said; returns when the viewer goes."""
        async for message in socket:
            pulse.heard(time.monotonic())
            if not await pulse.answer(message) and message.type is WSMsgType.ERROR:
                return
