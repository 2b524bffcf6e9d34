"""The gateway's HTTP routes: each asks `admission` who comes before anything of a body is read; what follows is up to
the uplink and WHIP.
"""

import asyncio
from collections.abc import Callable

from aiohttp import web

from fishladder.gateway.admission import Admission
from fishladder.gateway.api.app import Api, guarded
from fishladder.gateway.api.snapshots import Snapshots
from fishladder.gateway.limits import Limits
from fishladder.gateway.live.watch import Watch
from fishladder.gateway.page.serve import Page
from fishladder.gateway.tokens import KeyFile
from fishladder.gateway.uplink import Uplinks
from fishladder.gateway.whip import WhipSessions, allow_origins, options
from fishladder.runtime.admin import Health
from fishladder.runtime.store import Stores

_ABOUT = """This is a fishladder gateway. It takes in camera video, and shows it in a browser.

    GET  /                      the live page, in a browser
    GET  /v1/openapi.json       what the REST API can do, /v1/sites to begin with
    GET  /v1/uplink             WebSocket of `fishladder edge run`
    POST /whip/<site>/<camera>  WHIP (RFC 9725)
    GET  /healthz               the process is alive
    GET  /readyz                whether it can take in video, and how well that is kept

All but the last two need a token: `fishladder token create --site <site>`, with `--scope view` to look.
"""
_CAMERA = "/whip/{site}/{camera}"


class Routes:
    """`keys` None lets everybody in. Until `ready` is called, nobody is."""

    def __init__(self, keys: KeyFile | None, health: Callable[[], Health], limits: Limits) -> None:
        self.admission = Admission(keys)
        self._watch = Watch(self.admission, limits)
        self._api = Api(self.admission)
        self._page = Page()
        self._health = health
        self._limits = limits
        self._uplinks: Uplinks | None = None
        self._whips: WhipSessions | None = None

    def app(self) -> web.Application:
        app = web.Application(client_max_size=self._limits.offer_bytes)
        app.router.add_get("/", self._about)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/v1/uplink", self._uplink)
        app.router.add_route("OPTIONS", _CAMERA, options)
        app.router.add_post(_CAMERA, self._whip)
        app.router.add_route("OPTIONS", _CAMERA + "/{session}", options)
        app.router.add_delete(_CAMERA + "/{session}", self._whip_delete)
        app.router.add_get("/v1/live", guarded(self._watch.serve))
        self._api.add_to(app)
        self._page.add_to(app)
        app.on_response_prepare.append(allow_origins)
        return app

    def ready(self, stores: Stores, uplinks: Uplinks, whip: WhipSessions) -> None:
        """The stores are open."""
        self._watch.ready(stores)
        self._api.ready(Snapshots(stores))
        self._uplinks, self._whips = uplinks, whip

    async def close(self) -> None:
        """Whoever watches or follows goes."""
        await asyncio.gather(self._watch.close(), self._api.close())

    async def _about(self, request: web.Request) -> web.Response:
        if "text/html" in request.headers.get("Accept", ""):
            return self._page.index(request)
        return web.Response(text=_ABOUT)

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        health = self._health()
        return web.Response(status=200 if health.ready else 503, text=health.detail + "\n")

    async def _uplink(self, request: web.Request) -> web.StreamResponse:
        grant = self.admission.grant(request, "publish")
        if self._uplinks is None:
            raise unavailable()
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(
                status=426, text="this is the WebSocket of `fishladder edge run`\n", headers={"Upgrade": "websocket"}
            )
        return await self._uplinks.serve(request, grant)

    async def _whip(self, request: web.Request) -> web.Response:
        grant = self.admission.grant(request, "publish")
        if self._whips is None:
            raise unavailable()
        try:
            async with asyncio.timeout(self._limits.hello_s):
                await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the offer came too slowly\n") from None
        return await self._whips.create(request, grant)

    async def _whip_delete(self, request: web.Request) -> web.Response:
        grant = self.admission.grant(request, "publish")
        if self._whips is None:
            raise unavailable()
        return await self._whips.delete(request, grant)


def unavailable() -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(text="not ready yet, see /readyz\n", headers={"Retry-After": "2"})
