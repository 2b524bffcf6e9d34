"""Serves the live page: a handful of files, read once, no third party's among them, under a policy that lets the
browser load and reach nothing else.
"""

import hashlib
from importlib.resources import files

from aiohttp import web

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"),
            *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"),
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",
}


class Page:
    """`/` and the files it loads, `/page/<name>`."""

    def __init__(self) -> None:
        folder = files("fishladder.gateway.page") / "files"
        self._files = {one.name: one.read_bytes() for one in folder.iterdir()}
        self._tags = {name: hashlib.sha256(body).hexdigest()[:16] for name, body in self._files.items()}

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/page/{name}", self._file)

    def index(self, request: web.Request) -> web.Response:
        return self._give(request, "index.html")

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound(text="there is no such file\n")
        return self._give(request, name)

    def _give(self, request: web.Request, name: str) -> web.Response:
        headers = HEADERS | {"ETag": f'"{self._tags[name]}"'}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = _TYPES[name.rpartition(".")[2]]
        return web.Response(body=self._files[name], headers=headers)
