"""The REST API: sites, cameras with their ledgers, workers, sinks, and what is wanted of a camera. Results as they come
are `events`' business. Who may see what: cameras by the token's site and patterns; workers and sinks belong to no site,
so only tokens for all sites see them.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from aiohttp import web

from fishladder.gateway.admission import Admission
from fishladder.gateway.api.endpoint import CAMERA, SITE, Endpoint, Parameter, answer
from fishladder.gateway.api.events import Events
from fishladder.gateway.api.snapshots import Snapshots
from fishladder.gateway.asking import asking
from fishladder.gateway.bodies import body
from fishladder.gateway.tokens import Grant
from fishladder.runtime import wanted
from fishladder.view.models import Cameras, CameraView, LedgerView, Overview, SinkView, SiteDetail, WorkerView
from fishladder.view.reader import StateReader
from fishladder.view.snapshot import Snapshot
from fishladder.wire.errors import WireError
from fishladder.wire.ids import check_camera, check_name, partition_of
from fishladder.wire.messages import Policy
from fishladder.wire.result import Result

log = structlog.get_logger(__name__)


class Sinks(msgspec.Struct, frozen=True):
    sinks: list[SinkView]


class Workers(msgspec.Struct, frozen=True):
    workers: list[WorkerView]


class Rest:
    """`snapshots` is None until the stores are open; everything is 503 until then."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._snapshots: Snapshots | None = None
        self.events = Events(admission)
        one, here = (SITE, CAMERA), "/v1/cameras/{site}/{camera}"
        get = functools.partial(Endpoint, "GET")
        self.endpoints = (
            get("/v1/sites", "All sites, workers and sinks, worst first.", self._overview, Overview),
            get("/v1/sites/{site}", "A site and its cameras, worst first.", self._site, SiteDetail, parameters=(SITE,)),
            get("/v1/cameras", "All cameras, or a site's.", self._cameras, Cameras, parameters=(_OF_SITE,)),
            get(here, "One camera.", self._camera, CameraView, parameters=one),
            get(f"{here}/ledger", "What became of every frame.", self._ledger, LedgerView, parameters=one),
            get(f"{here}/policy", "What is wanted of a camera.", self._policy, Policy, parameters=one),
            Endpoint(
                "PUT",
                f"{here}/policy",
                "Want something else of a camera; it hears of it at once. Needs the scope admin.",
                self._set_policy,
                Policy,
                takes=Policy,
                parameters=one,
            ),
            Endpoint(
                "PATCH",
                f"{here}/policy",
                "Change some of what is wanted of a camera. Needs the scope admin.",
                self._change_policy,
                Policy,
                takes=Policy,
                parameters=one,
            ),
            Endpoint(
                "POST",
                f"{here}/keyframe",
                "Have its agent send a keyframe now. Needs the scope admin.",
                self._ask_keyframe,
                None,
                parameters=one,
            ),
            get("/v1/workers", "Workers, worst first.", self._workers, Workers),
            get("/v1/sinks", "Where results are delivered, worst first.", self._sinks, Sinks),
            get(
                "/v1/results",
                "Results as they are committed, as Server-Sent Events named result.",
                self.events.serve,
                Result,
                parameters=self.events.parameters,
                stream="text/event-stream",
            ),
        )

    def ready(self, snapshots: Snapshots) -> None:
        """The stores are open."""
        self._snapshots = snapshots
        self.events.ready(snapshots.reader)

    async def _read(self, request: web.Request, which: str | None) -> tuple[Grant, Snapshot]:
        """A snapshot with what the token may see of it."""
        grant = self._admission.viewer(request)
        if self._snapshots is None:
            raise web.HTTPServiceUnavailable(text="not ready yet, see /readyz", headers={"Retry-After": "2"})
        if which is not None:
            self._may_see(grant, which)
        snapshot = await self._snapshots.of(which)
        return grant, snapshot.only(grant.allows, everything=grant.site is None)

    def _may_see(self, grant: Grant, which: str) -> None:
        try:
            check_camera(which) if "/" in which else check_name(which, "site")
        except WireError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        if not (grant.allows(which) if "/" in which else grant.allows_site(which)):
            raise web.HTTPForbidden(text=f"the token does not cover {which}")

    async def _overview(self, request: web.Request) -> web.Response:
        _, snapshot = await self._read(request, None)
        return answer(snapshot.overview())

    async def _site(self, request: web.Request) -> web.Response:
        site = request.match_info["site"]
        _, snapshot = await self._read(request, site)
        detail = snapshot.site(site)
        if detail is None:
            raise web.HTTPNotFound(text=f"no camera of site {site} has ever been heard of")
        return answer(detail)

    async def _cameras(self, request: web.Request) -> web.Response:
        site = request.query.get("site")
        _, snapshot = await self._read(request, site if site is not None else None)
        return answer(Cameras(snapshot.at_us // 1000, list(snapshot.cameras)))

    async def _one(self, request: web.Request) -> CameraView:
        name = f"{request.match_info['site']}/{request.match_info['camera']}"
        _, snapshot = await self._read(request, name)
        if not snapshot.cameras:
            raise web.HTTPNotFound(text=f"camera {name} has never been heard of, or is retired")
        return snapshot.cameras[0]

    async def _camera(self, request: web.Request) -> web.Response:
        return answer(await self._one(request))

    async def _ledger(self, request: web.Request) -> web.Response:
        return answer((await self._one(request)).ledger)

    async def _policy(self, request: web.Request) -> web.Response:
        return answer((await self._one(request)).policy)

    async def _set_policy(self, request: web.Request) -> web.Response:
        return await self._put(request, whole=True)

    async def _change_policy(self, request: web.Request) -> web.Response:
        return await self._put(request, whole=False)

    async def _put(self, request: web.Request, *, whole: bool) -> web.Response:
        """Set a policy, or what of it the body names."""
        grant, name, reader = self._in_charge(request)
        partition, told = partition_of(name, reader.partitions), await body(request, "policy")
        policy = _changed(Policy(), told)
        async with asking(reader.state, "state store, setting a policy"):
            await _known(reader, name)
            if not whole:
                [(before, _)] = await wanted.read_wanted(reader.state, [(partition, name)])
                policy = _changed(before or Policy(), told)
            await wanted.set_policy(reader.state, partition, name, policy)
        log.info("policy set", camera=name, who=grant.subject)
        return answer(policy)

    async def _ask_keyframe(self, request: web.Request) -> web.Response:
        grant, name, reader = self._in_charge(request)
        async with asking(reader.state, "state store, asking for a keyframe"):
            await _known(reader, name)
            await wanted.ask_keyframe(reader.state, partition_of(name, reader.partitions), name)
        log.info("keyframe asked for", camera=name, who=grant.subject)
        return web.Response(status=204)

    def _in_charge(self, request: web.Request) -> tuple[Grant, str, StateReader]:
        """Who may change what is wanted of a camera, which, and the store."""
        # By the header alone: a cookie goes along with whatever page makes a browser ask.
        grant, name = self._admission.camera(request, "admin")
        if self._snapshots is None:
            raise web.HTTPServiceUnavailable(text="not ready yet, see /readyz", headers={"Retry-After": "2"})
        return grant, name, self._snapshots.reader

    async def _workers(self, request: web.Request) -> web.Response:
        _, snapshot = await self._read(request, None)
        return answer(Workers(snapshot.overview().workers))

    async def _sinks(self, request: web.Request) -> web.Response:
        _, snapshot = await self._read(request, None)
        return answer(Sinks(snapshot.overview().sinks))


async def _known(reader: StateReader, name: str) -> None:
    if not await reader.known_cameras(name):
        raise web.HTTPNotFound(text=f"camera {name} has never been heard of")


def _changed(before: Policy, told: bytes) -> Policy:
    """A policy with what a JSON object says."""
    try:
        said = msgspec.json.decode(told, type=dict[str, Any])
        return msgspec.convert(msgspec.to_builtins(before) | said, Policy)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # of which a ValidationError is one
        raise web.HTTPBadRequest(text=f"not a policy: {error}") from None


_OF_SITE = Parameter("site", "query", "Only this site's.", SITE.schema)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
