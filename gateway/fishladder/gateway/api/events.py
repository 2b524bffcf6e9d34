"""Results as they are committed, as Server-Sent Events. Each event's id is a bookmark: whoever comes back with it goes
on where he was, missing nothing that is still kept. A client that reads slowly holds up nobody but itself.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable

import structlog
from aiohttp import web

from fishladder.gateway import metrics
from fishladder.gateway.admission import Admission
from fishladder.gateway.api.endpoint import SITE, Parameter
from fishladder.gateway.asking import asking
from fishladder.gateway.limits import Occupancy
from fishladder.gateway.tokens import Grant, still_valid
from fishladder.view.bookmark import Bookmark
from fishladder.view.commits import read_after
from fishladder.view.reader import StateReader
from fishladder.wire.errors import StoreUnavailable, WireError
from fishladder.wire.ids import check_camera, check_name

log = structlog.get_logger(__name__)

_BLOCK_MS = 1000
#: Reads follow one another no closer than this: each looks for new cameras first.
_ROUND_S = 0.05
#: A comment is sent when nothing else was for so long, so that proxies keep the connection.
_ALIVE_S = 15.0
_SINCE = {"type": "integer", "minimum": 0, "maximum": 2**53}
_ID = {"type": "string", "maxLength": 16_384}
_EACH, _IN_ALL = 16, 128
#: A client that takes nothing for so long is cut off; it comes back with its bookmark.
_DEAF_S = 30.0


class Events:
    """`/v1/results`, for as long as clients stay."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._reader: StateReader | None = None
        self._occupancy = Occupancy(_EACH, _IN_ALL)
        self._following: set[asyncio.Task[None]] = set()
        self.parameters = (
            Parameter("site", "query", "Only this site's cameras.", SITE.schema),
            Parameter("camera", "query", "Only this camera, as <site>/<camera>.", {"type": "string", "maxLength": 129}),
            Parameter("since_ms", "query", "From this Unix time in milliseconds on.", _SINCE),
            Parameter("after", "query", "From after the event with this id; so does Last-Event-ID.", _ID),
        )

    def ready(self, reader: StateReader) -> None:
        self._reader = reader

    async def serve(self, request: web.Request) -> web.StreamResponse:
        grant = self._admission.viewer(request)
        reader = self._reader
        if reader is None:
            raise web.HTTPServiceUnavailable(text="not ready yet, see /readyz", headers={"Retry-After": "2"})
        which = _which(request, grant)
        mark = await _begin(request, reader)
        if not self._occupancy.enter(grant.holder):
            raise web.HTTPTooManyRequests(text="too many follow the results already", headers={"Retry-After": "30"})
        metrics.connections.labels("events").inc()
        try:
            response = web.StreamResponse(
                headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            )
            try:
                await response.prepare(request)
            except ConnectionError:
                return response  # he has gone
            following = asyncio.create_task(self._follow(request, response, reader, grant, which, mark), name="events")
            self._following.add(following)
            try:
                await asyncio.wait((following,))
            finally:
                self._following.discard(following)
                following.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):  # we go, or he is gone or, a time-out, deaf
                await following
            return response
        finally:
            metrics.connections.labels("events").dec()
            self._occupancy.leave(grant.holder)

    async def close(self) -> None:
        """Everybody goes, and comes back with a bookmark."""
        self._reader = None
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)

    async def _follow(
        self,
        request: web.Request,
        response: web.StreamResponse,
        reader: StateReader,
        grant: Grant,
        which: str | None,
        mark: Bookmark,
    ) -> None:
        await response.write(b": from here on\n\n")
        seen: dict[str, tuple[int, int]] = {}
        names: list[str] = []
        said_s = time.monotonic()
        while still_valid(grant) and request.transport is not None and not request.transport.is_closing():
            began_s = time.monotonic()
            try:
                async with asking(reader.state, "state store, reading results"):
                    commits = await read_after(reader, names, seen, block_ms=_BLOCK_MS)
                    # A camera is known before its first result is there, so these have none that came before `commits`.
                    now_known = [name for name in await reader.known_cameras(which) if grant.allows(name)]
                    if fresh := [name for name in now_known if name not in seen]:
                        seen |= {name: mark.seen(name) for name in fresh}
                        commits = []  # read again, together with the new ones
                    names = now_known
            except StoreUnavailable as error:
                log.warning("results are not followed any more", who=grant.holder, error=str(error))
                return  # the client comes back with its bookmark
            chunk: list[bytes] = []
            for commit in commits:
                seen[commit.camera] = commit.at
                mark = mark.past(commit.camera, commit.at)
                chunk.append(b"id: %s\nevent: result\ndata: %s\n\n" % (str(mark).encode(), commit.raw))
            if not chunk and time.monotonic() - said_s > _ALIVE_S:
                chunk.append(b": alive\n\n")
            if chunk:
                said_s = time.monotonic()
                async with asyncio.timeout(_DEAF_S):
                    await response.write(b"".join(chunk))
            pause_s = _ROUND_S if names else _BLOCK_MS / 1000
            await asyncio.sleep(max(0.0, began_s + pause_s - time.monotonic()))


def _which(request: web.Request, grant: Grant) -> str | None:
    """The site or camera asked for. Raises 400 and 403."""
    site, camera = request.query.get("site"), request.query.get("camera")
    checks: list[tuple[str, Callable[[str], str], Callable[[str], bool]]] = []
    if site is not None:
        checks.append((site, check_name, grant.allows_site))
    if camera is not None:
        checks.append((camera, check_camera, grant.allows))
    for name, check, allowed in checks:
        try:
            check(name)
        except WireError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        if not allowed(name):
            raise web.HTTPForbidden(text=f"the token does not cover {name}")
    return camera or site


async def _begin(request: web.Request, reader: StateReader) -> Bookmark:
    """Where to begin: at the bookmark, at the time asked for, or now. Raises 400 and `StoreUnavailable`."""
    mark, since = request.headers.get("Last-Event-ID") or request.query.get("after"), request.query.get("since_ms")
    try:
        if mark:
            return Bookmark.parse(mark)
        if since is not None:
            since_ms = float(since)
            if not (0 <= since_ms <= 2**53 and since_ms == math.floor(since_ms)):
                raise ValueError
            return Bookmark(int(since_ms))
    except WireError as error:
        raise web.HTTPBadRequest(text=str(error)) from None
    except ValueError:
        raise web.HTTPBadRequest(text=f"since_ms is a whole number of milliseconds, not {since!r}") from None
    async with asking(reader.state, "state store, reading its clock"):
        seconds, micros = await reader.state.time()
    return Bookmark(seconds * 1000 + micros // 1000 + 1)
