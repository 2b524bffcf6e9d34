"""Cross-origin requests: any page may ask, since tokens are in a header that no page sends by itself."""

from aiohttp import web

from fishladder.gateway.whip.problem import PATH

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After",
}


async def allow_origins(request: web.Request, response: web.StreamResponse) -> None:
    if request.path.startswith(PATH):
        response.headers.update(_CORS)


def preflight(methods: tuple[str, ...], accepts: dict[str, str]) -> web.Response:
    """What a client may send; browsers ask before they do."""
    return web.Response(
        status=200,
        headers={
            "Allow": ", ".join(methods),
            "Access-Control-Allow-Methods": ", ".join(methods),
            "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
            "Access-Control-Max-Age": "86400",
            **accepts,
        },
    )


def is_preflight(request: web.Request) -> bool:
    """A browser's own question, which must not cost anything (RFC 9725 section 4.6)."""
    return "Access-Control-Request-Method" in request.headers
