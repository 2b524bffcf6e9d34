"""WHIP (RFC 9725) over HTTP: a client posts an offer for one camera, gets an answer and a session of its own, tells it
more by PATCH, and ends it by DELETE. What each request may not have is decided here; the session itself is `session`.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from aiohttp import web

from fishladder.gateway import metrics
from fishladder.gateway.bodies import body, media_type
from fishladder.gateway.intake import Intake
from fishladder.gateway.limits import Limits, Places
from fishladder.gateway.publisher import TooMuch
from fishladder.gateway.tokens import Grant
from fishladder.gateway.webrtc.addresses import MediaSettings
from fishladder.gateway.webrtc.answer import CannotServe
from fishladder.gateway.webrtc.sdp import read_fragment
from fishladder.gateway.whip.problem import too_many, unavailable
from fishladder.gateway.whip.rates import Rates
from fishladder.gateway.whip.session import NotThisIceSession, Session
from fishladder.gateway.whip.settings import WhipSettings
from fishladder.gateway.whip.siblings import Siblings
from fishladder.wire.errors import UplinkError, WireError
from fishladder.wire.ids import check_camera

log = structlog.get_logger(__name__)

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
POST_METHODS = ("POST", "OPTIONS")
SESSION_METHODS = ("PATCH", "DELETE", "OPTIONS")
_LOOK_S = 0.25
#: The loop runs late by so much on average: who comes now would get a bad service, and make that of others worse.
_OVERLOADED_S = 1.0


class WhipSessions:
    """All WHIP sessions of one process."""

    def __init__(
        self, intake: Intake, limits: Limits, settings: WhipSettings, media: MediaSettings, siblings: Siblings
    ) -> None:
        self._intake = intake
        self._limits = limits
        self._settings = settings
        self._media = media
        self._siblings = siblings
        self._places = Places(limits, limits.whip_sessions)
        self._posts = Rates(limits.whip_posts_per_s, limits.whip_burst)
        self._changes = Rates(limits.whip_posts_per_s * 2, limits.whip_burst * 2)
        self._sessions: dict[str, Session] = {}
        self._closing = False
        self._late_s = 0.0

    def __len__(self) -> int:
        return len(self._sessions)

    async def create(self, request: web.Request, grant: Grant) -> web.Response:
        """Answer an offer. Raises aiohttp's 307, 4xx and 503, each with a sentence that says why."""
        camera = _camera(request)
        if not grant.allows(camera):
            metrics.refused.labels("forbidden").inc()
            raise web.HTTPForbidden(text=f"the token does not cover {camera}")
        if (kind := media_type(request)) != SDP:
            raise web.HTTPUnsupportedMediaType(text=f"an offer is {SDP}, not {kind or 'something without a type'}")
        if (wait_s := self._posts.wait_s(grant.holder, time.monotonic())) > 0:
            metrics.refused.labels("rate").inc()
            raise too_many("too many offers in too short a time", wait_s)
        self._admit(request)
        if not self._places.enter(grant):
            metrics.refused.labels("connections").inc()
            raise too_many("this token has as many sessions as it may have", 30)
        session = answer = None
        try:
            offer = await self._text(request, "offer")
            with _as_http(camera):
                session = Session(self._intake, self._limits.of(grant.site), camera, grant, offer)
                answer = await session.begin(self._media)
        finally:
            if answer is None:
                self._places.leave(grant)
                if session is not None:
                    await session.close()
        name = self._siblings.new_session()
        self._sessions[name] = session
        session.task = asyncio.create_task(self._run(name, session), name=f"whip {camera}")
        response = web.Response(status=201, text=answer, content_type=SDP)
        response.headers["Location"] = f"/whip/{camera}/{name}"
        response.headers["ETag"] = session.etag
        self.add_links(response)
        return response

    async def change(self, request: web.Request, grant: Grant) -> web.Response:
        """PATCH: candidates, or an ICE restart (RFC 9725 section 4.3). The session survives whatever is refused."""
        session = self._find(request, grant)
        if session is None:
            return await self._elsewhere(request)
        if (wait_s := self._changes.wait_s(grant.holder, time.monotonic())) > 0:
            raise too_many("too many changes in too short a time", wait_s)
        if (kind := media_type(request)) != FRAGMENT:
            raise web.HTTPUnsupportedMediaType(text=f"a change is {FRAGMENT}, not {kind or 'something without a type'}")
        wanted = request.headers.get("If-Match")
        if wanted is None:
            raise web.HTTPPreconditionRequired(text="If-Match is missing: the session's ETag, or * for an ICE restart")
        anyway = wanted.strip() == "*"
        if not anyway and session.etag not in (tag.strip() for tag in wanted.split(",")):
            raise web.HTTPPreconditionFailed(text="If-Match names another ICE session than the present one")
        try:
            fragment = read_fragment(await self._text(request, "fragment"))
            if anyway and session.asks_restart(fragment):
                told = session.restart(fragment)
                return web.Response(text=told, content_type=FRAGMENT, headers={"ETag": session.etag})
            session.trickle(fragment)
        except NotThisIceSession as error:
            raise web.HTTPUnprocessableEntity(text=str(error)) from None
        except WireError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return web.Response(status=204)

    async def delete(self, request: web.Request, grant: Grant) -> web.Response:
        """End a session, and with it ICE and DTLS. Raises 404."""
        session = self._find(request, grant)
        if session is None:
            return await self._elsewhere(request)
        if (wait_s := self._changes.wait_s(grant.holder, time.monotonic())) > 0:
            raise too_many("too many changes in too short a time", wait_s)
        session.peer.end("deleted")
        assert session.task is not None
        await asyncio.wait([session.task], timeout=5)
        return web.Response(text="ended\n")

    def add_links(self, response: web.StreamResponse) -> None:
        """The STUN and TURN servers clients may use."""
        for server in self._settings.ice_servers:
            response.headers.add("Link", server.link)

    async def look(self) -> None:
        """Measure for ever how late this process is."""
        clock = asyncio.get_running_loop().time
        while True:
            before = clock()
            await asyncio.sleep(_LOOK_S)
            self._late_s += 0.25 * (clock() - before - _LOOK_S - self._late_s)

    async def close(self) -> None:
        """End all of them, and take in no more."""
        self._closing = True
        tasks = [session.task for session in self._sessions.values() if session.task is not None]
        for session in self._sessions.values():
            session.peer.end("the gateway is going down")
        if tasks:
            await asyncio.wait(tasks, timeout=5)

    def _admit(self, request: web.Request) -> None:
        """Whether one more can be served here. Raises 307 where there is somebody else, else 503."""
        if self._closing:
            why, retry_s = "this gateway is going down", 2.0
        elif len(self._places) >= self._limits.whip_sessions:
            why, retry_s = "this gateway has as many sessions as it takes", 10.0
        elif self._late_s > _OVERLOADED_S:
            why, retry_s = "this gateway is overloaded", 5.0
        else:
            return
        metrics.refused.labels("load").inc()
        if self._settings.overflow:
            raise web.HTTPTemporaryRedirect(self._settings.overflow.rstrip("/") + request.path)
        raise unavailable(why, retry_s)

    async def _text(self, request: web.Request, what: str) -> str:
        """The body. Raises 400, 408, and 413 as the application says."""
        try:
            return (await body(request, what, within_s=self._limits.hello_s)).decode()
        except UnicodeDecodeError:
            raise web.HTTPBadRequest(text=f"the {what} is not UTF-8") from None

    def _find(self, request: web.Request, grant: Grant) -> Session | None:
        session = self._sessions.get(request.match_info["session"])
        camera = _camera(request)
        return session if session is not None and session.camera == camera and grant.allows(camera) else None

    async def _elsewhere(self, request: web.Request) -> web.Response:
        answer = await self._siblings.hand_on(request)
        if answer is None:
            raise web.HTTPNotFound(text="no such session")
        return answer

    async def _run(self, name: str, session: Session) -> None:
        metrics.connections.labels("whip").inc()
        reason = ""
        try:
            await session.run()
            reason = session.peer.left
        except UplinkError as error:
            reason = str(error)
        except Exception:
            log.exception("whip session failed", camera=session.camera)
            raise
        finally:
            metrics.connections.labels("whip").dec()
            del self._sessions[name]
            self._places.leave(session.grant)
            counts = session.peer.counts
            await session.close()
            log.info("whip session ended", camera=session.camera, reason=reason, **counts._asdict())


def _camera(request: web.Request) -> str:
    """The camera of a path. Raises 400."""
    camera = f"{request.match_info['site']}/{request.match_info['camera']}"
    try:
        check_camera(camera)
    except WireError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    return camera


@contextmanager
def _as_http(camera: str) -> Iterator[None]:
    """Refuse what a session could not be made of."""
    try:
        yield
    except CannotServe as error:
        log.warning("whip refused", camera=camera, error=str(error))
        raise web.HTTPUnprocessableEntity(text=str(error)) from None
    except WireError as error:
        log.warning("whip refused", camera=camera, error=str(error))
        raise web.HTTPBadRequest(text=f"the offer cannot be used: {error}") from None
    except TooMuch as error:
        log.warning("whip refused", camera=camera, error=str(error))
        raise too_many(str(error), error.retry_s) from None
    except UplinkError as error:
        log.warning("whip refused", camera=camera, error=str(error))
        raise unavailable(str(error), 2) from None
