"""Who may come in: the one place where a request's token is looked at, before anything of its body is read. Every route
asks here, with the scope it needs and, where there is one, the camera.
"""

import time
from collections.abc import Callable

import structlog
from aiohttp import web

from fishladder.gateway import metrics
from fishladder.gateway.tokens import SCOPES, Grant, KeyFile, Scope, bearer, verify
from fishladder.wire.errors import AuthRefused, ConfigError, WireError
from fishladder.wire.ids import check_camera

log = structlog.get_logger(__name__)

#: Holds the token a person has given the live page.
VIEW_COOKIE = "fishladder_view"
#: Refusals are logged this often at most: whoever guesses shall not fill the log.
_SAY_REFUSED_S = 1.0
_NO_AUTH = Grant("anyone", None, scope=SCOPES)


class Admission:
    """`keys` None lets everybody in."""

    def __init__(self, keys: KeyFile | None) -> None:
        self._keys = keys
        #: Told of requests with a good token, and whose; says whether that one may have another connection.
        self.on_known: Callable[[web.Request, str], bool] = lambda _, holder: True
        self._said = float("-inf")
        self._unsaid = 0

    @property
    def open(self) -> bool:
        """Whether everybody may do everything."""
        return self._keys is None

    def viewer(self, request: web.Request) -> Grant:
        """Who looks: by the header like anybody, or by the cookie the live page has, which is good for looking only.
        Raises as `grant` does, and 403 for a WebSocket another site's page opens.
        """
        token = None
        if "Authorization" not in request.headers:
            token = request.cookies.get(VIEW_COOKIE)
            # A page cannot choose these headers; what stands before us may have put its own name in place of ours.
            ours = {request.host, request.headers.get("X-Forwarded-Host", request.host)}
            if "Origin" in request.headers and request.headers["Origin"].partition("//")[2] not in ours:
                raise web.HTTPForbidden(text="only the gateway's own page may use its cookie\n")
        return self.grant(request, "view", token=token)

    def grant(self, request: web.Request, scope: Scope, *, token: str | None = None) -> Grant:
        """Who asks, if his token (the header's, unless it is given) is good and of `scope`. Raises 401, 403, or 503 if
        tokens cannot be checked.

        What of it he may see is then up to `Grant.allows` for each camera.
        """
        if self._keys is None:
            self.on_known(request, "")
            return _NO_AUTH
        try:
            grant = verify(self._keys, token or bearer(request.headers.get("Authorization")))
        except AuthRefused as error:
            self._refused(request, "token", str(error))
            raise web.HTTPUnauthorized(text=f"{error}\n", headers={"WWW-Authenticate": "Bearer"}) from None
        except ConfigError as error:
            log.error("tokens cannot be checked", error=str(error))
            raise web.HTTPServiceUnavailable(
                text="tokens cannot be checked at the moment\n", headers={"Retry-After": "2"}
            ) from None
        if not grant.may(scope):
            self._refused(request, "scope", f"not a token to {scope}")
            raise web.HTTPForbidden(text=f"the token's scope is {' '.join(grant.scope)}, this needs {scope}\n")
        if not self.on_known(request, grant.holder):
            self._refused(request, "connections", "the token has as many connections as it may have")
            raise web.HTTPTooManyRequests(
                text="this token has as many connections as it may have\n",
                headers={"Retry-After": "30"},
            )
        return grant

    def camera(self, request: web.Request, scope: Scope) -> tuple[Grant, str]:
        """The same for a route with {site} and {camera}, and that camera. Raises 400 for what is no camera's name, 403
        for one the token does not cover, whether it exists or not.
        """
        grant = self.grant(request, scope)
        camera = f"{request.match_info['site']}/{request.match_info['camera']}"
        try:
            check_camera(camera)
        except WireError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        if not grant.allows(camera):
            self._refused(request, "forbidden", f"the token does not cover {camera}")
            raise web.HTTPForbidden(text=f"the token does not cover {camera}\n")
        return grant, camera

    def _refused(self, request: web.Request, label: str, reason: str) -> None:
        metrics.refused.labels(label).inc()
        now = time.monotonic()
        if now - self._said < _SAY_REFUSED_S:
            self._unsaid += 1
            return
        log.warning("refused", peer=request.remote, path=request.path[:200], reason=reason, more=self._unsaid)
        self._said, self._unsaid = now, 0
