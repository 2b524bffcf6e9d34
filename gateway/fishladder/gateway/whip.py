"""WHIP (RFC 9725) without trickle ICE: a client posts an offer for one camera, gets an answer and a resource to delete,
and its video goes into the log until it leaves or its peer is gone.
"""

import asyncio
import secrets
import time

import structlog
from aiohttp import web

from fishladder.gateway import metrics
from fishladder.gateway.intake import Intake
from fishladder.gateway.limits import Limits, Places
from fishladder.gateway.publisher import Publisher
from fishladder.gateway.rtc import NoCommonCodec, Receiver
from fishladder.gateway.rtp import Assembled
from fishladder.gateway.tokens import Grant, still_valid
from fishladder.wire.errors import UplinkError, WireError
from fishladder.wire.ids import check_camera
from fishladder.wire.unit import Codec

log = structlog.get_logger(__name__)

_SDP = "application/sdp"
_TICK_S = 0.5
#: Units on their way from the network to the log; far more than there ever are unless something hangs.
_WAITING_UNITS = 512
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag",
}


class WhipSessions:
    """All WHIP sessions of one process."""

    def __init__(self, intake: Intake, limits: Limits) -> None:
        self._intake = intake
        self._limits = limits
        self._places = Places(limits, limits.whip_sessions)
        self._sessions: dict[str, _Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    async def create(self, request: web.Request, grant: Grant) -> web.Response:
        """Answer an offer. Raises aiohttp's 4xx and 503, each with a sentence that says why."""
        camera = f"{request.match_info['site']}/{request.match_info['camera']}"
        try:
            check_camera(camera)
        except WireError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        if not grant.allows(camera):
            metrics.refused.labels("forbidden").inc()
            raise web.HTTPForbidden(text=f"the token does not cover {camera}\n")
        if request.content_type != _SDP:
            raise web.HTTPUnsupportedMediaType(text=f"an offer is {_SDP}, not {request.content_type}\n")
        if not self._places.enter(grant):
            metrics.refused.labels("connections").inc()
            raise web.HTTPTooManyRequests(text="too many sessions\n", headers={"Retry-After": "30"})
        session = _Session(self._intake, self._limits.of(grant.site), camera, grant)
        answer = None
        try:
            offer = (await request.read()).decode()
            answer = await session.begin(offer)
        except (WireError, UplinkError, UnicodeDecodeError) as error:
            log.warning("whip refused", camera=camera, error=str(error))
            raise _as_http(error) from None
        finally:
            if answer is None:
                self._places.leave(grant)
                await session.close()
        name = secrets.token_urlsafe(24)
        self._sessions[name] = session
        session.task = asyncio.create_task(self._run(name, session), name=f"whip {camera}")
        where = {"Location": f"/whip/{camera}/{name}", "ETag": f'"{secrets.token_hex(8)}"'}
        return web.Response(status=201, text=answer, content_type=_SDP, headers=where)

    async def delete(self, request: web.Request, grant: Grant) -> web.Response:
        """End a session. Raises 404."""
        session = self._sessions.get(request.match_info["session"])
        camera = f"{request.match_info['site']}/{request.match_info['camera']}"
        if session is None or session.camera != camera or not grant.allows(camera):
            raise web.HTTPNotFound(text="no such session\n")
        session.receiver.end("deleted")
        assert session.task is not None
        await asyncio.wait([session.task], timeout=5)
        return web.Response(text="ended\n")

    async def close(self) -> None:
        """End all of them."""
        tasks = [session.task for session in self._sessions.values() if session.task is not None]
        for session in self._sessions.values():
            session.receiver.end("the gateway is going down")
        if tasks:
            await asyncio.wait(tasks, timeout=5)

    async def _run(self, name: str, session: "_Session") -> None:
        metrics.connections.labels("whip").inc()
        try:
            await session.run()
            log.info("whip session ended", camera=session.camera, reason=session.receiver.left)
        except UplinkError as error:
            log.info("whip session ended", camera=session.camera, reason=str(error))
        except Exception:
            log.exception("whip session failed", camera=session.camera)
            raise
        finally:
            metrics.connections.labels("whip").dec()
            del self._sessions[name]
            self._places.leave(session.grant)
            await session.close()


class _Session:
    """One client: its peer, and its camera's way into the log."""

    def __init__(self, intake: Intake, limits: Limits, camera: str, grant: Grant) -> None:
        self.camera = camera
        self.grant = grant
        self.task: asyncio.Task[None] | None = None
        self.receiver = Receiver(self._arrived, limits.unit_bytes)
        self._limits = limits
        self._units: asyncio.Queue[tuple[Codec, Assembled]] = asyncio.Queue(_WAITING_UNITS)
        self._publisher = Publisher(intake, camera, grant.holder, limits.unit_bytes, self.receiver.want_keyframe)
        self._heard = time.monotonic()
        self._dropped = False

    async def begin(self, offer: str) -> str:
        """The answer to an offer. Raises `WireError` for the offer, `UplinkError` for the camera."""
        answer = await self.receiver.answer(offer)
        await self._publisher.open()
        return answer

    async def run(self) -> None:
        """Until the client leaves. Raises `UplinkError` if the session is ended for another reason."""
        loops = (self._publish(), self._publisher.keep_open(), self._watch(), self.receiver.ended.wait())
        tasks = [asyncio.ensure_future(loop) for loop in loops]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Idempotent as far as the peer goes; the publisher is closed once."""
        await self.receiver.close()
        while not self._units.empty():
            self._publisher.take(*self._units.get_nowait())
        self._publisher.close()

    def _arrived(self, codec: Codec, unit: Assembled) -> None:
        self._heard = time.monotonic()
        if self._units.full():  # never numbered, so it counts as lost before capture
            self._dropped = True
            return
        if self._dropped:
            unit, self._dropped = unit._replace(after_loss=True), False
        self._units.put_nowait((codec, unit))

    async def _publish(self) -> None:
        while True:
            self._publisher.take(*await self._units.get())

    async def _watch(self) -> None:
        """Report, and end a session whose peer never came, fell silent, or whose token has expired."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._publisher.report()
            if time.monotonic() - self._heard > self._limits.silent_s:
                raise UplinkError(f"no video for {self._limits.silent_s:g} s")
            if not still_valid(self.grant):
                raise UplinkError("the token has expired or was revoked")


async def options(_: web.Request) -> web.Response:
    """What a client may send; browsers ask before they do."""
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": "POST, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": "Authorization, Content-Type",
            "Access-Control-Max-Age": "86400",
            "Accept-Post": _SDP,
        },
    )


async def allow_origins(request: web.Request, response: web.StreamResponse) -> None:
    """Tokens are in a header that no page sends by itself, so any page may ask."""
    if request.path.startswith("/whip/"):
        response.headers.update(_CORS)


def _as_http(error: Exception) -> web.HTTPException:
    match error:
        case NoCommonCodec():
            return web.HTTPUnprocessableEntity(text=f"{error}\n")
        case UplinkError():
            return web.HTTPServiceUnavailable(text=f"{error}\n", headers={"Retry-After": "2"})
        case UnicodeDecodeError():
            return web.HTTPBadRequest(text="the offer is not UTF-8\n")
    return web.HTTPBadRequest(text=f"{error}\n")
