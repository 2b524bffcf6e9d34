"""One agent's connection: what its messages do, and what it is told. Knows nothing of WebSockets: an engine hands in
text and bytes, sends what the outbox holds, and ends the connection when told to.
"""

import asyncio
import functools
import math
import time
from collections.abc import Callable

import structlog

from fishladder.gateway import metrics
from fishladder.gateway.backlog import Told
from fishladder.gateway.clock import wall_us
from fishladder.gateway.hello import check_hello
from fishladder.gateway.intake import MEASURE_S, Intake
from fishladder.gateway.limits import MOST_SEQ, Limits
from fishladder.gateway.open import Opened
from fishladder.gateway.outbox import WITH_OTHERS, Outbox
from fishladder.gateway.session import LogSession, OutOfStep
from fishladder.gateway.tokens import Grant, renew, renewal_due
from fishladder.wire.errors import FishladderError, TooLarge, VersionMismatch, WireError
from fishladder.wire.framing import MAX_MESSAGE_BYTES, Reassembler, UnitMessage
from fishladder.wire.ids import check_camera, site_of
from fishladder.wire.messages import (
    MAX_CAMERAS,
    CameraHello,
    CameraWelcome,
    Control,
    Drain,
    Fault,
    Fenced,
    Hello,
    Open,
    Policy,
    Positions,
    Probe,
    Probed,
    Refusal,
    Token,
    Welcome,
    choose_version,
    from_agent,
)

log = structlog.get_logger(__name__)

_KEYFRAME_EVERY_S = 1.0
#: Hellos that wait to be answered; an agent that says more at once does not listen.
_HELLOS_WAITING = 64
#: And cameras in them.
_CAMERAS_WAITING = 4 * MAX_CAMERAS


class Connection:
    """`wake` is its outbox's; it must not call back into the connection."""

    def __init__(
        self, intake: Intake, limits: Limits, grant: Grant, gateway: str, wake: Callable[[float], None]
    ) -> None:
        self.outbox = Outbox(wake)
        self.grant = grant
        self.said_hello = False
        self._renews = False
        self._intake = intake
        self._limits = limits
        self._gateway = gateway
        self._account = intake.credit.open(grant.holder)
        self._reassembler = Reassembler(max_unit_bytes=limits.unit_bytes)
        self._channels: dict[int, LogSession | None] = {}  # None: known, but nothing is taken at the moment
        self._cameras: dict[str, int] = {}  # and the other way round:
        self._names: dict[int, str] = {}
        self._hellos: asyncio.Queue[Hello] = asyncio.Queue(_HELLOS_WAITING)
        self._cameras_waiting = 0
        self._held_bytes = 0  # of unfinished units, as counted for the site
        self._taken = asyncio.Event()
        self._asked_at: dict[int, float] = {}
        self._agent = ""
        self._site = ""  # of the cameras it has opened

    # What the engine hands in. Whatever of this raises `WireError` ends the connection.

    def received_binary(self, data: bytes) -> None:
        self._intake.quotas.site(self.grant.site or "").spend(len(data))
        if self._intake.credit.spend(self._account, len(data)):
            self.top_up()
            if self._account.overdrawn > self._limits.unit_bytes + MAX_MESSAGE_BYTES:
                raise TooLarge(f"{self._account.overdrawn} bytes came beyond the credit given")
        message = self._reassembler.feed(data)
        if self._reassembler.held_bytes != self._held_bytes:
            self._count_held(self._reassembler.held_bytes)
        if message is None:
            return
        channel = message.channel
        try:
            session = self._channels[channel]
        except KeyError:
            raise WireError(f"channel {channel} was not named in a hello") from None
        if session is None:
            return  # sent before the agent knew that it is fenced
        meter = self._intake.quotas.camera(session.camera)
        meter.spend(len(data))
        if meter.over:
            self._intake.close(session)
            self.fenced(session, f"{session.camera} sends more than its {meter.per_s * 8:.0f} bit/s")
            return
        if message.backfill:
            if isinstance(message, UnitMessage):
                self._intake.backlog.take_unit(session, message.data)
            else:
                self._intake.backlog.take_range(session, message.range)
            return
        try:
            if isinstance(message, UnitMessage):
                entry = session.take_unit(message.data, wall_us())
            else:
                entry = session.take_range(message.range, wall_us())
        except OutOfStep as error:
            self._intake.close(session)
            self.fenced(session, str(error))
            return
        if entry is not None:
            self._intake.frames.add(session, entry)
        else:
            self.logged(session)

    def _count_held(self, now_bytes: int) -> None:
        """Count what this connection's unfinished units hold for its site. Raises `TooLarge`."""
        held = self._intake.quotas.hold(self.grant.site or "", now_bytes - self._held_bytes)
        self._held_bytes = now_bytes
        if held > self._limits.unfinished_bytes_per_site:
            raise TooLarge(f"{held} bytes of unfinished units of this site are held, over the limit")

    def received_text(self, text: str | bytes) -> None:
        received_us = wall_us()
        message = from_agent(text)
        match message:
            case Probe():
                self.outbox.say(Probed(message.sent_us, received_us, wall_us()))
            case Positions():
                for channel, position in message.cameras:
                    session = self._channels.get(channel)
                    if session is not None and session.position <= position <= MOST_SEQ:
                        session.position = position
                        self._intake.positions.report(session)
                for report in message.reports:
                    if (session := self._channels.get(report.channel)) is not None:
                        self._intake.positions.reported(session, report)
                for channel, status in message.senders:
                    if (session := self._channels.get(channel)) is not None:
                        session.sender = status
                if message.uplink is not None and self._site:
                    self._intake.positions.uplink(self._site, self.grant.subject, message.uplink, self._agent)
            case Hello():
                self.said_hello = True
                self._renews = message.renews
                self._agent = message.agent
                choose_version(message.versions)
                check_hello(message)
                for camera in message.cameras:
                    self._begin(camera)
                self._cameras_waiting += len(message.cameras)
                if self._hellos.full() or self._cameras_waiting > _CAMERAS_WAITING:
                    raise TooLarge(f"{self._hellos.qsize()} hellos wait for their answer")
                self._hellos.put_nowait(message)

    async def answer_hellos(self) -> None:
        """Answer one hello after the other, for ever, each when the answer before it is on its way: else those who do
        not listen would fill the memory. The cameras of one are opened side by side.
        """
        while True:
            hello = await self._hellos.get()
            self._cameras_waiting -= len(hello.cameras)
            outcomes = await asyncio.gather(*(self._open(hello, camera) for camera in hello.cameras))
            welcomes: list[CameraWelcome] = []
            refusals: list[Refusal] = []
            backlogs: list[tuple[int, Opened]] = []
            for camera, outcome in zip(hello.cameras, outcomes, strict=True):
                if isinstance(outcome, Refusal):
                    refusals.append(outcome)
                    metrics.refused.labels(outcome.code).inc()
                    continue
                session = outcome.session
                if session.closed:  # opened elsewhere in the meantime
                    # Every hello is answered by its welcome; a `Fenced` would not say which hello it is about.
                    why = f"{camera.camera}: the camera was opened anew"
                    refusals.append(Refusal(camera.channel, "unavailable", why, 1.0))
                    metrics.refused.labels("unavailable").inc()
                    continue
                self._channels[camera.channel] = session
                self._site = site_of(camera.camera)
                if camera.backfill:
                    backlogs.append((camera.channel, outcome))
                welcomes.append(
                    CameraWelcome(camera.channel, session.epoch, session.next, session.committed, outcome.policy)
                )
                log.info(
                    "camera open",
                    camera=camera.camera,
                    epoch=session.epoch,
                    next=session.next,
                    kept=outcome.kept,
                    agent=hello.agent[:80],
                )
            if forbidden := [it.message for it in refusals if it.code == "forbidden"]:
                log.warning("cameras refused", who=self.grant.holder, reason=forbidden[0], more=len(forbidden) - 1)
            self.outbox.say(
                Welcome(
                    choose_version(hello.versions),
                    self._gateway,
                    welcomes,
                    refusals,
                    self._limits.unit_bytes,
                    MAX_MESSAGE_BYTES,
                )
            )
            for channel, outcome in backlogs:
                tell = functools.partial(self._tell_open, channel, outcome.session)
                self._intake.backlog.open(outcome.session, outcome.cursor, outcome.open, tell)
            self.top_up()
            self._taken.clear()
            await self._taken.wait()

    def take(self) -> list[str]:
        """What there is to send now."""
        self._taken.set()
        return self.outbox.take()

    def top_up(self) -> None:
        """Give more credit, if there is any to give."""
        if not any(self._channels.values()):
            return  # it has no camera open, so nothing to send
        if self._intake.quotas.site(self.grant.site or "").over:
            return  # the watch asks again
        if (total := self._intake.credit.grant(self._account)) is not None:
            self.outbox.credit(total)

    def fault(self, error: WireError) -> None:
        """Say what was wrong; the engine ends the connection after it has sent that."""
        code = (
            "version" if isinstance(error, VersionMismatch) else "limit" if isinstance(error, TooLarge) else "protocol"
        )
        metrics.faults.labels(code).inc()
        log.warning("connection faulted", who=self.grant.holder, code=code, error=str(error))
        self.outbox.end(Fault(code, str(error)))

    def wants_token(self, now: float) -> bool:
        """Whether a new token is due, for an agent that can keep it."""
        return self._renews and renewal_due(self.grant, now)

    def renew_token(self, now: float) -> None:
        """Send a new token; this connection is then good for as long as that one."""
        try:
            token, self.grant = renew(self.grant, now)
        except FishladderError as error:
            self._renews = False  # until it connects again
            log.error("token not renewed", who=self.grant.holder, error=str(error))
            return
        log.info("token renewed", who=self.grant.holder, id=self.grant.id)
        self.outbox.say(Token(token))

    def drain(self, reason: str) -> None:
        """Ask the agent to go elsewhere."""
        self.outbox.say(Drain(reason))

    def close(self) -> None:
        """Give everything back. What was taken already is still written: it may be all that is left of it."""
        self._intake.credit.close(self._account)
        self._intake.quotas.hold(self.grant.site or "", -self._held_bytes)
        self._held_bytes = 0
        self._channels.clear()
        for camera in self._cameras:
            self._intake.retire(self, camera)

    # What the frame log and the workers have to tell (`session.LogOwner`).

    def logged(self, session: LogSession) -> None:
        channel = self._cameras.get(session.camera)
        if channel is not None and self._channels.get(channel) is session:
            self.outbox.ack(channel, session.logged, session.committed)

    def committed(self, session: LogSession) -> None:
        channel = self._cameras.get(session.camera)
        if channel is not None and self._channels.get(channel) is session:
            self.outbox.ack(channel, session.logged, session.committed, after_s=WITH_OTHERS)

    def fenced(self, session: LogSession, reason: str) -> None:
        channel = self._cameras.get(session.camera)
        if channel is not None and self._channels.get(channel) is session:
            log.info("camera fenced", camera=session.camera, epoch=session.epoch, reason=reason)
            self._channels[channel] = None
            self.outbox.say(Fenced(channel, reason))

    def _tell_open(self, channel: int, session: LogSession, told: Told) -> None:
        if self._channels.get(channel) is session:
            self.outbox.open(Open(channel, told.cursor, list(told.ranges), told.more))

    def keyframe_wanted(self, session: LogSession) -> None:
        channel, now = self._cameras.get(session.camera), time.monotonic()
        if channel is not None and now - self._asked_at.get(channel, 0.0) >= _KEYFRAME_EVERY_S:
            self._asked_at[channel] = now
            self.outbox.say(Control(channel, keyframe=True))

    def policy_changed(self, session: LogSession, policy: Policy) -> None:
        channel = self._cameras.get(session.camera)
        if channel is not None and self._channels.get(channel) is session:
            self.outbox.say(Control(channel, policy=policy))

    # The hello's parts.

    def _begin(self, hello: CameraHello) -> None:
        """From its hello on nothing is taken on a channel until the welcome. Raises `WireError`."""
        known = hello.camera in self._cameras
        if not known and len(self._cameras) >= self._limits.cameras_per_connection:
            return  # refused when its turn comes
        named = self._names.setdefault(hello.channel, hello.camera)
        if self._cameras.setdefault(hello.camera, hello.channel) != hello.channel or named != hello.camera:
            raise WireError(f"channel {hello.channel} and camera {hello.camera[:140]!r} belong to others already")
        session = self._channels.get(hello.channel)
        if session is not None:
            self._intake.close(session)
        self._channels[hello.channel] = None
        self._reassembler.forget(hello.channel)
        self.outbox.forget(hello.channel)

    async def _open(self, hello: Hello, camera: CameraHello) -> Opened | Refusal:
        if camera.camera not in self._cameras:
            most = self._limits.cameras_per_connection
            return Refusal(camera.channel, "limit", f"{camera.camera[:140]}: a connection carries {most} cameras", 60.0)
        try:
            check_camera(camera.camera)
        except WireError as error:
            return Refusal(camera.channel, "invalid", str(error))
        if not self.grant.allows(camera.camera):
            return Refusal(camera.channel, "forbidden", f"the token does not cover {camera.camera}")
        meter = self._intake.quotas.camera(camera.camera)
        if meter.over:
            why = f"{camera.camera} sends more than its {meter.per_s * 8:.0f} bit/s"
            return Refusal(camera.channel, "limit", why, math.ceil(meter.wait_s) + MEASURE_S)
        return await self._intake.open(self, camera, boot=hello.boot, number=hello.hello)
