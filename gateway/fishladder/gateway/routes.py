"""The gateway's HTTP routes: who may come in is checked here, before anything of a body is read; what follows is up to
the uplink and WHIP.
"""

import time
from collections.abc import Callable

import structlog
from aiohttp import web

from fishladder.gateway import metrics
from fishladder.gateway.tokens import Grant, KeyFile, bearer, verify
from fishladder.gateway.uplink import Uplinks
from fishladder.gateway.whip.endpoint import WhipSessions
from fishladder.gateway.whip.problem import problems
from fishladder.gateway.whip.routes import WhipRoutes
from fishladder.runtime.admin import Health
from fishladder.wire.errors import AuthRefused

log = structlog.get_logger(__name__)

_ABOUT = """This is a fishladder gateway. It takes in camera video.

    GET  /v1/uplink             WebSocket of `fishladder edge run`
    POST /whip/<site>/<camera>  WHIP (RFC 9725)
    GET  /healthz               the process is alive
    GET  /readyz                whether it can take in video, and how well that is kept

The first two need a token: `fishladder token create --site <site>`.
"""
#: Refused tokens are logged this often at most: whoever guesses shall not fill the log.
_SAY_REFUSED_S = 1.0
_NO_AUTH = Grant("anyone", None, scope=("publish", "view"))


class Routes:
    """`keys` None lets everybody in. Until `ready` is called, nobody is."""

    def __init__(self, keys: KeyFile | None, health: Callable[[], Health]) -> None:
        self._keys = keys
        self._health = health
        self._uplinks: Uplinks | None = None
        self._whip = WhipRoutes(self.authorize)
        self._said = 0.0
        self._unsaid = 0

    def app(self, *, body_bytes: int) -> web.Application:
        app = web.Application(client_max_size=body_bytes, middlewares=[problems])
        app.router.add_get("/", self._about)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/v1/uplink", self._uplink)
        self._whip.add_to(app)
        return app

    def ready(self, uplinks: Uplinks, whip: WhipSessions) -> None:
        """The stores are open."""
        self._uplinks, self._whip.sessions = uplinks, whip

    async def _about(self, _: web.Request) -> web.Response:
        return web.Response(text=_ABOUT)

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        health = self._health()
        return web.Response(status=200 if health.ready else 503, text=health.detail + "\n")

    async def _uplink(self, request: web.Request) -> web.StreamResponse:
        grant = self.authorize(request)
        if self._uplinks is None:
            raise unavailable()
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(
                status=426, text="this is the WebSocket of `fishladder edge run`\n", headers={"Upgrade": "websocket"}
            )
        return await self._uplinks.serve(request, grant)

    def authorize(self, request: web.Request) -> Grant:
        """Who asks. Raises 401 or 403."""
        if self._keys is None:
            return _NO_AUTH
        try:
            grant = verify(self._keys, bearer(request.headers.get("Authorization")))
        except AuthRefused as error:
            self._refused(request, str(error))
            raise web.HTTPUnauthorized(text=f"{error}\n", headers={"WWW-Authenticate": "Bearer"}) from None
        if "publish" not in grant.scope:
            self._refused(request, "not a token to publish")
            raise web.HTTPForbidden(text="the token does not allow publishing\n")
        return grant

    def _refused(self, request: web.Request, reason: str) -> None:
        metrics.refused.labels("token").inc()
        now = time.monotonic()
        if now - self._said < _SAY_REFUSED_S:
            self._unsaid += 1
            return
        log.warning("refused", peer=request.remote, path=request.path[:200], reason=reason, more=self._unsaid)
        self._said, self._unsaid = now, 0


def unavailable() -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(text="not ready yet, see /readyz\n", headers={"Retry-After": "2"})
