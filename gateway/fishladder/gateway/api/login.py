"""How a person's browser keeps the token: given once in the page's form, it comes back as a cookie that no script can
read and no other site's page can make the browser send. It is good for looking only: see `Admission.viewer`.

A cookie rather than a header from the page's own storage, because WebSockets and EventSource send no header, a token in
a URL ends up in logs, and what a script can read a script can steal.
"""

import time

import msgspec
from aiohttp import web

from fishladder.gateway.admission import VIEW_COOKIE, Admission
from fishladder.gateway.api.endpoint import Endpoint, answer
from fishladder.gateway.bodies import body, media_type
from fishladder.gateway.tokens import Grant


class Token(msgspec.Struct, frozen=True):
    token: str


class Viewer(msgspec.Struct, frozen=True):
    """Who looks, and what he may see. `site` null is all sites."""

    subject: str
    site: str | None
    cameras: list[str]
    expires_ms: int | None
    auth: bool  #: false: this gateway asks nobody for a token


class Login:
    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.endpoints = (
            Endpoint("GET", "/v1/session", "Whose token this is.", self._who, Viewer),
            Endpoint(
                "POST",
                "/v1/session",
                "Keep a token as the browser's cookie.",
                self._in,
                Viewer,
                takes=Token,
                anybody=True,
                errors=(401, 403),
            ),
            Endpoint("DELETE", "/v1/session", "Forget the browser's cookie.", self._out, None, anybody=True),
        )

    async def _who(self, request: web.Request) -> web.Response:
        return answer(self._viewer(self._admission.viewer(request)))

    async def _in(self, request: web.Request) -> web.Response:
        if media_type(request) != "application/json":  # other pages' forms cannot send this one
            raise web.HTTPBadRequest(text="send JSON")
        try:
            token = msgspec.json.decode(await body(request, "token"), type=Token).token.strip()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise web.HTTPBadRequest(text='send {"token": "..."}') from None
        grant = self._admission.grant(request, "view", token=token or None)
        response = answer(self._viewer(grant))
        if not self._admission.open:
            response.set_cookie(
                VIEW_COOKIE,
                token,
                max_age=max(int(grant.expires - time.time()), 0) if grant.expires is not None else None,
                path="/",
                httponly=True,
                samesite="Strict",
                secure=request.secure or request.headers.get("X-Forwarded-Proto") == "https",
            )
        return response

    async def _out(self, _: web.Request) -> web.Response:
        response = web.Response(status=204)
        response.del_cookie(VIEW_COOKIE, path="/", httponly=True, samesite="Strict")
        return response

    def _viewer(self, grant: Grant) -> Viewer:
        expires_ms = int(grant.expires * 1000) if grant.expires is not None else None
        return Viewer(grant.subject, grant.site, list(grant.cameras), expires_ms, not self._admission.open)
