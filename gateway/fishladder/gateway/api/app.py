"""Ties the API together: its routes and its OpenAPI document, both made from the endpoints, and errors as JSON."""

import functools

import msgspec
import structlog
from aiohttp import web

from fishladder.gateway.admission import Admission
from fishladder.gateway.api.endpoint import Endpoint, problem
from fishladder.gateway.api.login import Login
from fishladder.gateway.api.openapi import document
from fishladder.gateway.api.rest import Handler, Rest
from fishladder.gateway.api.snapshots import Snapshots
from fishladder.wire.errors import StoreUnavailable

log = structlog.get_logger(__name__)


class Api:
    """Add its routes with `add_to`; until `ready` it answers 503."""

    def __init__(self, admission: Admission) -> None:
        self._rest = Rest(admission)
        self.endpoints: tuple[Endpoint, ...] = (*self._rest.endpoints, *Login(admission).endpoints)
        self._document = msgspec.json.encode(document(self.endpoints))

    def ready(self, snapshots: Snapshots) -> None:
        """The stores are open."""
        self._rest.ready(snapshots)

    async def close(self) -> None:
        """End what has no end by itself."""
        await self._rest.events.close()

    def add_to(self, app: web.Application) -> None:
        for one in self.endpoints:
            app.router.add_route(one.method, one.path, guarded(one.handler))
        app.router.add_get("/v1/openapi.json", self._openapi)

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type="application/json")


def guarded(handler: Handler) -> Handler:
    """A handler whose errors are JSON, and whose stores may be away."""

    @functools.wraps(handler)
    async def guard(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            kept = {name: error.headers[name] for name in ("WWW-Authenticate", "Retry-After") if name in error.headers}
            return problem(error.status, error.text or error.reason, kept)
        except StoreUnavailable as error:
            log.warning("not answered", path=request.path[:200], error=str(error))
            return problem(503, "the stores are not available at the moment", {"Retry-After": "2"})

    return guard
