"""What is refused under /whip/ is refused with a problem document (RFC 9457) that says why, whatever refused it."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

PATH = "/whip/"
_TYPE = "application/problem+json"
_OF_THE_BODY = ("Content-Type", "Content-Length")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or not request.path.startswith(PATH):
            raise
        headers = {name: value for name, value in error.headers.items() if name not in _OF_THE_BODY}
        said = (error.text or "").strip()
        detail = said if said != f"{error.status}: {error.reason}" else ""
        body = {"type": "about:blank", "title": error.reason, "status": error.status, "detail": detail or error.reason}
        return web.Response(
            status=error.status,
            reason=error.reason,
            body=msgspec.json.encode(body),
            headers=headers,
            content_type=_TYPE,
        )


def too_many(why: str, retry_s: float) -> web.HTTPTooManyRequests:
    return web.HTTPTooManyRequests(text=why, headers={"Retry-After": str(max(1, round(retry_s)))})


def unavailable(why: str, retry_s: float) -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(text=why, headers={"Retry-After": str(max(1, round(retry_s)))})
