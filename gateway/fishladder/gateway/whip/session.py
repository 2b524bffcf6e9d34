"""One WHIP client's session: its peer, its camera's way into the log, and the HTTP side's view of both (which ICE
session it is in). It ends when the client leaves, falls silent, sends no video, or its token expires.
"""

import asyncio
import secrets
import time

import structlog

from fishladder.gateway import metrics
from fishladder.gateway.clock import wall_us
from fishladder.gateway.intake import Intake
from fishladder.gateway.limits import Limits
from fishladder.gateway.publisher import Captured, Publisher
from fishladder.gateway.tokens import Grant, still_valid
from fishladder.gateway.webrtc.addresses import MediaSettings
from fishladder.gateway.webrtc.assembler import Assembled
from fishladder.gateway.webrtc.peer import CONNECT_S, Peer
from fishladder.gateway.webrtc.sdp import Fragment
from fishladder.gateway.webrtc.source import Counts
from fishladder.wire.errors import UplinkError
from fishladder.wire.unit import Codec

log = structlog.get_logger(__name__)

_TICK_S = 0.5


class NotThisIceSession(Exception):
    """A fragment for other ICE credentials than the session has; the message says so."""


class Session:
    """`etag` names the ICE session, quoted as HTTP has it."""

    def __init__(self, intake: Intake, limits: Limits, camera: str, grant: Grant, offer: str) -> None:
        """Raises `WireError` for an offer that will not do."""
        self.camera = camera
        self.grant = grant
        self.task: asyncio.Task[None] | None = None
        self.etag = _new_etag()
        self.peer = Peer(offer, self._arrived, limits.unit_bytes)
        self._limits = limits
        self._publisher = Publisher(
            intake,
            camera,
            grant.holder,
            limits.unit_bytes,
            self.peer.want_keyframe,
            parameter_sets=self.peer.plan.parameter_sets,
        )
        self._began = self._video_at = time.monotonic()
        self._told = Counts()

    async def begin(self, settings: MediaSettings) -> str:
        """Open sockets, then the camera, and answer (SDP). Raises `UplinkError`.

        In this order: whoever has the camera now must not lose it to somebody who cannot be received.
        """
        await self.peer.listen(settings)
        await self._publisher.open()
        return self.peer.answer()

    def trickle(self, fragment: Fragment) -> None:
        """More candidates. Raises `NotThisIceSession`."""
        if fragment.credentials is not None and fragment.credentials != self.peer.remote:
            raise NotThisIceSession(
                "the fragment has other ICE credentials than the session: an ICE restart is asked for with If-Match: *"
            )
        self.peer.trickled(fragment.candidates)

    def asks_restart(self, fragment: Fragment) -> bool:
        """Whether it begins another ICE session, or asks again for one whose answer may have been lost."""
        return fragment.credentials is not None and (fragment.credentials != self.peer.remote or self.peer.restarting)

    def restart(self, fragment: Fragment) -> str:
        """Another ICE session; the fragment to answer with. `etag` has changed, unless it is the same restart again."""
        assert fragment.credentials is not None
        if fragment.credentials != self.peer.remote:
            self.etag = _new_etag()
            log.info("whip ICE restart", camera=self.camera)
        return self.peer.restart(fragment.credentials, fragment.candidates)

    async def run(self) -> None:
        """Until the client leaves. Raises `UplinkError` if the session is ended for another reason."""
        loops = (self._publisher.keep_open(), self._watch(), self.peer.ended.wait())
        tasks = [asyncio.ensure_future(loop) for loop in loops]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Free the peer, and declare the last of it. Once."""
        await self.peer.close()
        self._count()
        self._publisher.close()

    def _arrived(self, codec: Codec, unit: Assembled) -> None:
        self._video_at = time.monotonic()
        now_us, captured = wall_us(), None
        clock = self.peer.clock
        if clock is not None and (at_us := clock.wall_us(unit.timestamp)) is not None:
            captured = Captured(at_us, clock.offset_us(at_us, now_us))
        try:
            self._publisher.take(codec, unit, captured)
        except Exception:  # it must not be lost among datagrams that cannot be used
            log.exception("whip unit could not be taken", camera=self.camera)
            self.peer.end("a unit could not be taken")

    async def _watch(self) -> None:
        """Report, and end a session whose peer is gone, sends no video, or whose token has expired."""
        limits = self._limits
        while True:
            await asyncio.sleep(_TICK_S)
            self._publisher.report()
            self._count()
            now = time.monotonic()
            if self.peer.connected_at is not None and now - self.peer.heard_at > limits.dead_s - _TICK_S:
                raise UplinkError(f"nothing heard from the peer for {now - self.peer.heard_at:.1f} s")
            if now - max(self._video_at, self._began + CONNECT_S - limits.silent_s) > limits.silent_s:
                raise UplinkError(f"no video for {limits.silent_s:g} s")
            if not still_valid(self.grant):
                raise UplinkError("the token has expired or was revoked")

    def _count(self) -> None:
        counts = self.peer.counts
        for name, value, before in zip(counts._fields, counts, self._told, strict=True):
            if value > before:
                metrics.whip.labels(name).inc(value - before)
        self._told = counts


def _new_etag() -> str:
    return f'"{secrets.token_hex(8)}"'
