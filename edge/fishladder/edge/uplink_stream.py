"""The `stream` uplink: all of a site's cameras on one WebSocket. It moves messages between the gateway and the pure
parts (`uplink_cameras`, `schedule`, `clock`), one connection after another, for as long as the agent runs.
"""

import asyncio
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from fishladder.edge import metrics
from fishladder.edge.clock import Clock, OffsetEstimator
from fishladder.edge.gateway_address import GatewayAddress
from fishladder.edge.knock import answers
from fishladder.edge.limits.limiter import Limiter
from fishladder.edge.limits.settings import LimitsConfig
from fishladder.edge.rate.orders import Order, Wish
from fishladder.edge.schedule import MOST_UNSENT_BYTES, fragment_size, unsent_bytes
from fishladder.edge.session import Session
from fishladder.edge.spool.keeper import Filling
from fishladder.edge.spool.lane import Lane
from fishladder.edge.token import TokenKeeper
from fishladder.edge.uplink_cameras import UplinkCameras
from fishladder.edge.uplink_status import SenderNews, Sending, SentRate
from fishladder.edge.uplink_writer import UplinkWriter
from fishladder.edge.websocket import WebSocket, connect
from fishladder.runtime.lifecycle import Backoff
from fishladder.wire import messages
from fishladder.wire.errors import AuthRefused, ConfigError, UplinkDown, UplinkError, VersionMismatch, WireError
from fishladder.wire.messages import VERSIONS, CameraReport, Policy

log = structlog.get_logger(__name__)

_TICK_S = 0.25
_CONTROL_S = 0.03
_POSITIONS_S = 1.0
_PROBE_S = 2.0
_PROBE_BURST_S = 0.25
_BURST = 5
_WELCOME_S = 20.0
#: A link that is away costs nobody anything to ask for; a gateway that answers otherwise may have too much to do.
_DOWN_MOST_S = 1.0


class _Draining(Exception):
    """The gateway asked us to connect again."""


class StreamUplink:
    """`on_policy(channel, policy)` and `on_keyframe(channel)` are called as the gateway asks, `on_rate(channel, order)`
    as the link allows; `wish(channel, weight)` is what a camera would send, None if that cannot be changed,
    `sending(channel)` how, and `report(channel)` what it obeys. Call `wake` when a camera has something new. `state` is
    where what the month's limit counts is kept, None = in memory; `tokens` is where a renewed token goes
    whose own file cannot be written.
    """

    def __init__(
        self,
        to: GatewayAddress,
        sessions: Sequence[Session],
        clock: Clock,
        *,
        on_policy: Callable[[int, Policy], None],
        on_keyframe: Callable[[int], None],
        on_rate: Callable[[int, Order], None] = lambda channel, order: None,
        wish: Callable[[int, float], Wish | None] = lambda channel, weight: None,
        report: Callable[[int], CameraReport] | None = None,
        sending: Callable[[int], Sending | None] = lambda channel: None,
        agent: str = "",
        limits: LimitsConfig | None = None,
        state: Path | None = None,
        tokens: Path | None = None,
    ) -> None:
        self.offset = OffsetEstimator()
        self.connected = False
        self._to = to
        self._token = TokenKeeper(to, tokens)
        self._clock = clock
        self._on_rate = on_rate
        self._wish = wish
        self._sending = sending
        self._cameras = UplinkCameras(
            sessions,
            clock,
            self.offset,
            on_policy=on_policy,
            on_keyframe=on_keyframe,
            report=report,
            agent=agent,
            renews=self._token.renews,
        )
        self.limiter = Limiter(
            limits or LimitsConfig(),
            directory=state,
            wall_s=lambda: clock.wall_us() / 1e6,
            gateway_s=self._gateway_s,
            clock=lambda: clock.mono_us() / 1e6,
        )
        self._rng = random.Random()  # noqa: S311 - spreads load, guards nothing
        self._backoff = Backoff(0.5, 30.0)
        self._down = Backoff(0.2, _DOWN_MOST_S)
        self._peer: tuple[str, int] | None = None  # whom we were connected with
        self._writer = UplinkWriter(self._cameras, self.limiter, clock)
        self._news = asyncio.Event()
        self._fragment_limit = 0
        self._said = ""
        self._sent_rate = SentRate()
        self._sender_news = SenderNews()
        self.spool: Callable[[], Filling] | None = None  #: how full it is, if there is one

    def _gateway_s(self) -> float | None:
        """The gateway's time of day; None until a probe has been answered."""
        offset_us = self.offset.offset_us
        return None if offset_us is None else (self._clock.mono_us() + offset_us) / 1e6

    def remember(self, lanes: Mapping[int, Lane], boot: str, hellos: int) -> None:
        """Work with spools (by channel), and under a boot of before that has said at most so many hellos. To be called
        before `run`.
        """
        self._cameras.remember(lanes, boot, hellos)

    def add(self, session: Session) -> None:
        """A camera more; a hello for it follows."""
        self._cameras.sessions[session.channel] = session
        self._writer.wake()

    def wake(self) -> None:
        self._writer.wake()

    def flush(self) -> None:
        """Nothing more will be captured: hold no range back, and say how far it went."""
        self._cameras.flush = True
        self._writer.say(self._positions())
        self._writer.wake()

    def _positions(self) -> messages.Positions | None:
        filling = self.spool() if self.spool is not None else None
        now_s = asyncio.get_running_loop().time()
        status = self._sent_rate.status(
            self._writer.sent_bytes,
            now_s,
            rtt_us=self.offset.rtt_us,
            estimate_bps=self._cameras.rate.estimator.carried_bps,
            spool=filling,
            limits=self.limiter.now,
        )
        senders = self._sender_news.of(self._cameras.senders(self._sending, self._wish), now_s)
        return self._cameras.positions(status, senders)

    async def settled(self) -> None:
        """Wait until everything captured is committed."""
        while any(session.pending for session in self._cameras.sessions.values()):
            self._news.clear()
            await self._news.wait()

    async def run(self) -> None:
        """Connect, again and again. Runs until cancelled."""
        if self._to.in_clear:
            log.warning("video and token go over the network in clear text: use https://", gateway=self._to.url)
        while True:
            delay_s, said, away = 0.0, "", False
            try:
                await self._connection()
            except _Draining as draining:
                delay_s = self._rng.uniform(0.1, 1.0)
                said = f"the connection is made anew: {draining}"
            except AuthRefused as error:
                another = self._token.refused()
                delay_s, said = self._rng.uniform(0.1, 1.0) if another else self._rng.uniform(30.0, 60.0), str(error)
            except (ConfigError, VersionMismatch) as error:
                delay_s, said = self._rng.uniform(30.0, 60.0), str(error)
            except UplinkDown as error:
                delay_s, said, away = self._down.next(), str(error), True
            except (UplinkError, WireError) as error:
                delay_s, said = self._backoff.next(), str(error)
            if said != self._said:  # the same once a second would tell nobody more
                self._said = said
                log.warning("uplink is down, will retry", error=said, retry_s=round(delay_s, 1))
            await self._token.pause(delay_s)
            if away and self._peer is not None:
                await answers(self._peer, self._to.first_hop)

    async def _connection(self) -> None:
        try:
            async with connect(self._token.address()) as link:
                self._peer = link.peer
                self._cameras.connected()
                self._sender_news = SenderNews()
                self._writer.connected()
                self.limiter.connected()
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._read(link), name="uplink-read")
                        group.create_task(self._writer.run(link), name="uplink-write")
                        group.create_task(self._tick(link), name="uplink-tick")
                        group.create_task(self._control(link), name="uplink-rate")
                finally:
                    self.limiter.measured(link.carried())
        except* (_Draining, AuthRefused, VersionMismatch, UplinkError, WireError, ConfigError) as errors:
            raise _first(errors) from None
        finally:
            if self.connected:
                metrics.RECONNECTS.inc()
            self.connected = False
            for channel, order in self._cameras.rate.released():
                self._on_rate(channel, order)
            self._cameras.disconnected()

    async def _tick(self, link: WebSocket) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        positions_s = probe_s = began_s
        probes = 0
        first = True
        while True:
            now_s = loop.time()
            for hello in self._cameras.hellos(now_s, anyway=first):
                self._writer.say(hello)
            first = False
            state = link.state()
            self.limiter.measured(link.carried())
            if now_s >= positions_s:
                positions_s = now_s + _POSITIONS_S
                if self._token.changed():
                    raise _Draining("its token file has changed")
                self._writer.say(self._positions())
                self._cameras.scheduler.fragment_bytes = fragment_size(
                    self._least_rate(state.rate_bytes_s), self._fragment_limit, gentle=self.limiter.yields
                )
            if now_s >= probe_s:
                probes += 1
                probe_s = now_s + (_PROBE_BURST_S if probes < _BURST else _PROBE_S)
                self._writer.say(messages.Probe(self._clock.mono_us()))
            unanswered = any(it.unanswered_s(now_s) > _WELCOME_S for it in self._cameras.sessions.values())
            if unanswered or (not self.connected and now_s - began_s > _WELCOME_S):
                raise UplinkError(f"gateway {self._to.url} did not answer the hello within {_WELCOME_S:g} s")
            self._writer.wake()  # a range held back becomes due without anybody saying so
            await asyncio.sleep(_TICK_S)

    def _least_rate(self, link_bytes_s: float | None) -> float | None:
        """Of what the link delivers, as TCP says or else acknowledgements, and what it may."""
        limit, rate = self.limiter.now.total_bps / 8, self._cameras.rate
        if self.limiter.yields or (link_bytes_s is None and rate.thin):
            limit = min(limit, rate.estimator.rate_bps / 8)
        return link_bytes_s if limit == math.inf else min(limit, link_bytes_s or limit)

    async def _control(self, link: WebSocket) -> None:
        """Tell cameras what they may send."""
        held_back = False
        while True:
            limits, state, rate = self.limiter, link.state(), self._cameras.rate
            for channel, order in self._cameras.orders(
                self._wish, state, limit_bps=limits.now.total_bps, yields=limits.yields
            ):
                self._on_rate(channel, order)
            if hopeless := self._cameras.hopeless():
                self._writer.extend(hopeless)
            held_back, before = rate.holds_back(self._clock.mono_us() / 1e6), held_back
            if before and not held_back:
                self._writer.wake()
            estimator = rate.estimator
            limits.yield_to(estimator.rate_bps)
            queues, alone = rate.queues or state.queues, self._cameras.spool_alone
            self._writer.pace.measured(rate.left_bps, asyncio.get_running_loop().time(), queues=queues, alone=alone)
            link.hold_back(unsent_bytes(estimator.rate_bps) if rate.thin else MOST_UNSENT_BYTES)
            metrics.RATE.set(estimator.rate_bps)
            metrics.QUEUE.set(estimator.queue_s)
            await asyncio.sleep(_CONTROL_S)

    # -- in

    async def _read(self, link: WebSocket) -> None:
        while True:
            self._heard(messages.from_gateway(await link.receive()), asyncio.get_running_loop().time())

    def _heard(self, message: messages.FromGateway, now_s: float) -> None:
        match message:
            case messages.Ack():
                self._cameras.acknowledged(message, self._clock.mono_us() / 1e6)
                self._news.set()
            case messages.Open():
                self._cameras.opened(message, now_s)
                self._news.set()
                self._writer.wake()
            case messages.Credit():
                self._cameras.scheduler.grant(message.bytes)
                self._writer.wake()
            case messages.Probed():
                self.offset.answered(
                    sent_us=message.sent_us,
                    received_us=message.received_us,
                    replied_us=message.replied_us,
                    now_us=self._clock.mono_us(),
                )
                if self.offset.rtt_us is not None:
                    metrics.RTT.set(self.offset.rtt_us / 1e6)
            case messages.Welcome():
                self._welcomed(message, now_s)
            case messages.Fenced():
                self._writer.extend(self._cameras.fenced(message, now_s))
            case messages.Control():
                self._cameras.controlled(message)
            case messages.Token():
                self._token.renewed(message.token)
            case messages.Drain():
                raise _Draining(message.reason or "it is being stopped")
            case messages.Fault(code="version"):
                raise VersionMismatch(f"gateway {self._to.url}: {message.message}")
            case messages.Fault():
                raise UplinkError(f"gateway {self._to.url} found a fault ({message.code}): {message.message}")

    def _welcomed(self, welcome: messages.Welcome, now_s: float) -> None:
        if not VERSIONS[0] <= welcome.version <= VERSIONS[1]:
            raise VersionMismatch(
                f"gateway {self._to.url} chose uplink protocol {welcome.version}; this agent speaks "
                f"{VERSIONS[0]} to {VERSIONS[1]}: upgrade the older of the two"
            )
        if not self.connected:
            self.connected = True
            self._backoff.reset()
            self._down.reset()
            self._said = ""
            log.info("uplink is up", gateway=self._to.url, cameras=len(welcome.cameras), name=welcome.gateway)
        self._fragment_limit = welcome.max_fragment_bytes
        self._cameras.welcomed(welcome, now_s)
        self._writer.wake()
        self._news.set()


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one that says most: a fault or a refusal rather than the lost connection it came with."""
    flat: list[BaseException] = []
    todo = [*errors.exceptions]
    while todo:
        error = todo.pop()
        if isinstance(error, BaseExceptionGroup):
            todo.extend(error.exceptions)
        else:
            flat.append(error)
    return min(flat, key=lambda error: (type(error) is UplinkDown, type(error) is UplinkError))
