"""WHIP's HTTP routes: the token is looked at first, whatever the method; what is neither an endpoint's nor a session's
method is 405 (RFC 9725 section 4.2).
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from fishladder.gateway.tokens import Grant
from fishladder.gateway.whip.cors import allow_origins, is_preflight, preflight
from fishladder.gateway.whip.endpoint import FRAGMENT, POST_METHODS, SDP, SESSION_METHODS, WhipSessions
from fishladder.gateway.whip.problem import unavailable

_ENDPOINT = "/whip/{site}/{camera}"
_SESSION = _ENDPOINT + "/{session}"


class WhipRoutes:
    """`authorize` says who asks, or raises 401 or 403. Until `sessions` is set, everybody is told to come again."""

    def __init__(self, authorize: Callable[[web.Request], Grant]) -> None:
        self.sessions: WhipSessions | None = None
        self._authorize = authorize

    def add_to(self, app: web.Application) -> None:
        app.router.add_route("OPTIONS", _ENDPOINT, self._options)
        app.router.add_post(_ENDPOINT, self._post)
        app.router.add_route("*", _ENDPOINT, self._other_than(POST_METHODS))
        app.router.add_route("OPTIONS", _SESSION, self._session_options)
        app.router.add_patch(_SESSION, self._patch)
        app.router.add_delete(_SESSION, self._delete)
        app.router.add_route("*", _SESSION, self._other_than(SESSION_METHODS))
        app.on_response_prepare.append(allow_origins)

    async def _options(self, request: web.Request) -> web.Response:
        response = preflight(POST_METHODS, {"Accept-Post": SDP})
        if self.sessions is not None and not is_preflight(request) and "Authorization" in request.headers:
            self._authorize(request)
            self.sessions.add_links(response)
        return response

    async def _session_options(self, _: web.Request) -> web.Response:
        return preflight(SESSION_METHODS, {"Accept-Patch": FRAGMENT})

    async def _post(self, request: web.Request) -> web.Response:
        sessions, grant = self._admit(request)
        return await sessions.create(request, grant)

    async def _patch(self, request: web.Request) -> web.Response:
        sessions, grant = self._admit(request)
        return await sessions.change(request, grant)

    async def _delete(self, request: web.Request) -> web.Response:
        sessions, grant = self._admit(request)
        return await sessions.delete(request, grant)

    def _other_than(self, methods: tuple[str, ...]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def refuse(request: web.Request) -> web.Response:
            self._authorize(request)
            raise web.HTTPMethodNotAllowed(request.method, methods, text=f"{request.method} has no meaning here")

        return refuse

    def _admit(self, request: web.Request) -> tuple[WhipSessions, Grant]:
        grant = self._authorize(request)
        if self.sessions is None:
            raise unavailable("not ready yet, see /readyz", 2)
        return self.sessions, grant
