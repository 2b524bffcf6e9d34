"""The `stream` uplink: all of a site's cameras on one WebSocket. It moves messages between the gateway and the pure
parts (`session`, `schedule`, `clock`), one connection after another, for as long as the agent runs.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from secrets import token_hex

import structlog

from fishladder.edge import metrics
from fishladder.edge.backfill_pace import BackfillPace
from fishladder.edge.clock import Clock, OffsetEstimator
from fishladder.edge.gateway_address import GatewayAddress
from fishladder.edge.rate.control import Order, RateControl, Wish
from fishladder.edge.schedule import Scheduler, fragment_size
from fishladder.edge.session import Session, State
from fishladder.edge.spool.drain import Now
from fishladder.edge.spool.lane import Lane
from fishladder.edge.websocket import WebSocket, connect
from fishladder.runtime.lifecycle import Backoff
from fishladder.wire import messages
from fishladder.wire.errors import AuthRefused, ConfigError, UplinkError, VersionMismatch, WireError
from fishladder.wire.messages import VERSIONS, Policy
from fishladder.wire.unit import UNIT_HEADER_BYTES, Range, Unit

log = structlog.get_logger(__name__)

_TICK_S = 0.25
_CONTROL_S = 0.05
_POSITIONS_S = 1.0
_PROBE_S = 2.0
_PROBE_BURST_S = 0.25
_BURST = 5
_WELCOME_S = 20.0
_LAST_WORDS_S = 1.0
#: Cameras of one hello. With all the clean points and digits there can be that is 147 KB, within MAX_TEXT_BYTES; and
#: the hellos of as many cameras as one connection may name are 32, of which a gateway lets 64 wait.
_HELLO_CAMERAS = 32
#: Backfill leaves so much of the credit to live.
_LIVE_CREDIT_BYTES = 64 * 1024


class _Draining(Exception):
    """The gateway asked us to connect again."""


class StreamUplink:
    """`on_policy(channel, policy)` and `on_keyframe(channel)` are called as the gateway asks. Call `wake` when a camera
    has something new.
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
        agent: str = "",
    ) -> None:
        self.offset = OffsetEstimator()
        self.connected = False
        self.down_since_s: float | None = None
        self.boot = token_hex(16)
        self._to = to
        self._sessions = {session.channel: session for session in sessions}
        self._clock = clock
        self._on_policy = on_policy
        self._on_keyframe = on_keyframe
        self._on_rate = on_rate
        self._wish = wish
        self._agent = agent
        self._rate = RateControl(len(sessions))
        self._weights: dict[int, float] = {}
        self._rng = random.Random()  # noqa: S311 - spreads load, guards nothing
        self._backoff = Backoff(0.5, 30.0)
        self._hellos = 0
        self._lanes: Mapping[int, Lane] = {}
        self._boot_is_old = False
        self._pace = BackfillPace()
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._flush = False
        self._outbox: deque[str | bytes] = deque()
        self._scheduler = Scheduler()
        self._fragment_limit = 0

    def remember(self, lanes: Mapping[int, Lane], boot: str, hellos: int) -> None:
        """Work with the spools of the cameras (by channel) and under a boot of before, which has said at most so many
        hellos. To be called before `run`.
        """
        self._lanes = lanes
        self.boot, self._hellos, self._boot_is_old = boot, hellos, hellos > 0

    def wake(self) -> None:
        self._wake.set()

    def flush(self) -> None:
        """Nothing more will be captured: hold no range back, and say how far it went."""
        self._flush = True
        self._say_positions()
        self._wake.set()

    async def settled(self) -> None:
        """Wait until everything captured is committed."""
        while any(session.pending for session in self._sessions.values()):
            self._news.clear()
            await self._news.wait()

    async def run(self) -> None:
        """Connect, again and again. Runs until cancelled."""
        while True:
            delay_s, said = 0.0, ""
            try:
                await self._connection()
            except _Draining as draining:
                delay_s = self._rng.uniform(0.1, 1.0)
                said = f"the gateway is going away: {draining}"
            except (AuthRefused, ConfigError, VersionMismatch) as error:
                delay_s, said = self._rng.uniform(30.0, 60.0), str(error)
            except (UplinkError, WireError) as error:
                delay_s, said = self._backoff.next(), str(error)
            log.warning("uplink is down, will retry", error=said, retry_s=round(delay_s, 1))
            await asyncio.sleep(delay_s)

    async def _connection(self) -> None:
        try:
            async with connect(self._to) as link:
                self._scheduler = Scheduler()
                self._pace = BackfillPace()
                self._rate = RateControl(len(self._sessions))
                self._outbox.clear()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(link), name="uplink-read")
                    group.create_task(self._write(link), name="uplink-write")
                    group.create_task(self._tick(link), name="uplink-tick")
                    group.create_task(self._control(), name="uplink-rate")
        except* (_Draining, AuthRefused, VersionMismatch, UplinkError, WireError, ConfigError) as errors:
            raise _first(errors) from None
        finally:
            if self.connected:
                metrics.RECONNECTS.inc()
            self.connected = False
            for session in self._sessions.values():
                session.disconnected()

    # -- out

    async def _write(self, link: WebSocket) -> None:
        """What is urgent first, then one fragment at a time."""
        try:
            while True:
                if self._outbox:
                    await link.send(self._outbox.popleft())
                elif (fragment := self._scheduler.next()) is not None:
                    await link.send(fragment)
                    metrics.SENT.inc(len(fragment))
                else:
                    self._wake.clear()
                    await self._backfill(link)
        except UplinkError:
            await asyncio.sleep(_LAST_WORDS_S)  # why it was closed may be there to be read
            raise

    async def _backfill(self, link: WebSocket) -> None:
        """There is nothing live: send a fragment of backfill if it is time for one, else wait for news."""
        clock = asyncio.get_running_loop().time
        wait_s: float | None = None
        if self._scheduler.credit_left > _LIVE_CREDIT_BYTES and not (wait_s := self._pace.wait_s(clock())):
            if (fragment := self._scheduler.next_backfill()) is not None:
                await link.send(fragment)
                self._pace.sent(len(fragment))
                metrics.SENT.inc(len(fragment))
                return
            wait_s = None
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()

    async def _tick(self, link: WebSocket) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        positions_s = probe_s = began_s
        probes = 0
        first = True
        while True:
            now_s = loop.time()
            self._greet(now_s, anyway=first)
            first = False
            state = link.state()
            self._pace.measured(state, now_s)
            if now_s >= positions_s:
                positions_s = now_s + _POSITIONS_S
                self._say_positions()
                self._scheduler.fragment_bytes = fragment_size(state.rate_bytes_s, self._fragment_limit)
            if now_s >= probe_s:
                probes += 1
                probe_s = now_s + (_PROBE_BURST_S if probes < _BURST else _PROBE_S)
                self._outbox.append(messages.encode(messages.Probe(self._clock.mono_us())))
            unanswered = any(it.unanswered_s(now_s) > _WELCOME_S for it in self._sessions.values())
            if unanswered or (not self.connected and now_s - began_s > _WELCOME_S):
                raise UplinkError(f"gateway {self._to.url} did not answer the hello within {_WELCOME_S:g} s")
            self._wake.set()  # a range held back becomes due without anybody saying so
            await asyncio.sleep(_TICK_S)

    async def _control(self) -> None:
        """Tell cameras what they may send."""
        clock = asyncio.get_running_loop().time
        while True:
            now_s, now_us = clock(), self._clock.mono_us()
            wishes, waiting = {}, {}
            for channel, session in self._sessions.items():
                if session.state is not State.OPEN:
                    continue
                if (wish := self._wish(channel, self._weights.get(channel, 1.0))) is not None:
                    wishes[channel] = wish
                    if (ready_us := session.ring.unsent_ready_us) is not None:
                        waiting[channel] = now_s - (now_us - ready_us) / 1e6
            for channel, order in self._rate.step(wishes, waiting, now_s):
                self._on_rate(channel, order)
            import sys; e=self._rate.estimator; print(f"TRACE {now_s:.2f} rate {e.rate_bps/1e3:.0f} q {e.queue_s*1e3:.0f} base {(e.base_s or 0)*1e3:.0f} carried {(e.carried_bps or 0)/1e3:.0f} " + " ".join(f"c{c}:{k.used_bps/1e3:.0f}/{k.order and k.order}" for c,k in self._rate._cameras.items()), file=sys.stderr)
            metrics.RATE.set(self._rate.estimator.rate_bps)
            metrics.QUEUE.set(self._rate.estimator.queue_s)
            await asyncio.sleep(_CONTROL_S)

    def _greet(self, now_s: float, *, anyway: bool = False) -> None:
        due = [(it, it.hello(now_s)) for it in self._sessions.values() if it.hello_due(now_s)]
        earlier = [camera for session, camera in due if session.introducing is not None]
        for first in range(0, len(earlier), _HELLO_CAMERAS):
            self._say_hello(earlier[first : first + _HELLO_CAMERAS], token_hex(16), 1)
        ours = [camera for session, camera in due if session.introducing is None]
        for first in range(0, len(ours) or int(anyway), _HELLO_CAMERAS):
            self._hellos += 1
            self._say_hello(ours[first : first + _HELLO_CAMERAS], self.boot, self._hellos)

    def _say_hello(self, cameras: list[messages.CameraHello], boot: str, number: int) -> None:
        hello = messages.Hello(versions=VERSIONS, boot=boot, hello=number, cameras=cameras, agent=self._agent)
        self._outbox.append(messages.encode(hello))
        self._wake.set()

    def _say_positions(self) -> None:
        cameras = [(it.channel, it.ring.position) for it in self._sessions.values() if it.state is State.OPEN]
        if cameras:
            self._outbox.append(messages.encode(messages.Positions(cameras)))

    def _take(self, session: Session) -> Unit | Range | None:
        if not session.has_more:
            return None
        now_us, ready_us = self._clock.mono_us(), session.ring.unsent_ready_us
        item = session.take(now_us, self.offset.offset_us, flush=self._flush)
        if isinstance(item, Unit):
            now_s = asyncio.get_running_loop().time()
            ready_s = now_s if ready_us is None else now_s - (now_us - ready_us) / 1e6
            self._rate.taken(session.channel, item.seq, len(item.payload) + UNIT_HEADER_BYTES, ready_s, now_s)
        return item

    def _take_backfill(self, lane: Lane) -> Unit | Range | None:
        if not lane.drain.ready:
            return None
        now = Now(self._clock.mono_us(), self._clock.wall_us(), self.offset.offset_us)
        return lane.drain.take(now)

    # -- in

    async def _read(self, link: WebSocket) -> None:
        while True:
            self._heard(messages.from_gateway(await link.receive()))

    def _heard(self, message: messages.FromGateway) -> None:
        match message:
            case messages.Ack():
                now_s = asyncio.get_running_loop().time()
                for channel, logged, committed in message.cameras:
                    if session := self._sessions.get(channel):
                        session.acknowledged(logged, committed)
                        self._rate.logged(channel, logged, now_s)
                self._news.set()
            case messages.Open():
                lane, session = self._lanes.get(message.channel), self._sessions.get(message.channel)
                if lane is not None and session is not None and session.state is State.OPEN:
                    lane.opened(message, asyncio.get_running_loop().time())
                    self._news.set()
                    self._wake.set()
            case messages.Credit():
                self._scheduler.grant(message.bytes)
                self._wake.set()
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
                self._welcomed(message)
            case messages.Fenced():
                self._fenced(message)
            case messages.Control():
                if message.policy is not None:
                    self._obey(message.channel, message.policy)
                if message.keyframe and message.channel in self._sessions:
                    self._on_keyframe(message.channel)
            case messages.Drain():
                raise _Draining(message.reason or "it is being stopped")
            case messages.Fault(code="version"):
                raise VersionMismatch(f"gateway {self._to.url}: {message.message}")
            case messages.Fault():
                raise UplinkError(f"gateway {self._to.url} found a fault ({message.code}): {message.message}")

    def _welcomed(self, welcome: messages.Welcome) -> None:
        now_s = asyncio.get_running_loop().time()
        if not VERSIONS[0] <= welcome.version <= VERSIONS[1]:
            raise VersionMismatch(
                f"gateway {self._to.url} chose uplink protocol {welcome.version}; this agent speaks "
                f"{VERSIONS[0]} to {VERSIONS[1]}: upgrade the older of the two"
            )
        if not self.connected:
            self.connected = True
            self._backoff.reset()
            log.info("uplink is up", gateway=self._to.url, cameras=len(welcome.cameras), name=welcome.gateway)
        self._fragment_limit = welcome.max_fragment_bytes
        for granted in welcome.cameras:
            session = self._sessions.get(granted.channel)
            if session is None or session.state is not State.GREETED:
                continue
            lost_before = session.state_lost
            if problem := session.welcomed(granted, max_unit_bytes=welcome.max_unit_bytes):
                log.error("camera starts afresh", camera=session.camera, error=problem)
                session.start_afresh(now_s)
                continue
            if not session.is_open:  # it was an introduction
                continue
            if lost := session.state_lost - lost_before:
                log.warning("the gateway's store went back", camera=session.camera, forgotten=lost)
            self._open(session, granted.policy)
        for refusal in welcome.refused:
            if session := self._sessions.get(refusal.channel):
                if refusal.code == "stale" and self._boot_is_old:  # what we remember of it is older than the stack does
                    self.boot, self._hellos, self._boot_is_old = token_hex(16), 0, False
                session.refused(refusal, now_s)
                log.warning(
                    "camera is refused",
                    camera=session.camera,
                    code=refusal.code,
                    error=refusal.message,
                    retry_s=round(session.hello_at_s - now_s, 1),
                )
        self._wake.set()
        self._news.set()

    def _open(self, session: Session, policy: Policy) -> None:
        channel = session.channel
        self._scheduler.add(channel, partial(self._take, session), policy.weight)
        if (lane := self._lanes.get(channel)) is not None:
            self._scheduler.add(channel, partial(self._take_backfill, lane), policy.weight, backfill=True)
            lane.begin()
            if session.ring.unsent():  # live goes on at an entry point
                self._on_keyframe(channel)
        self._obey(channel, policy)

    def _fenced(self, message: messages.Fenced) -> None:
        session = self._sessions.get(message.channel)
        if session is None:
            return
        log.warning("camera's session has ended", camera=session.camera, reason=message.reason)
        for backfill in (False, True):
            if (given_up := self._scheduler.remove(message.channel, backfill=backfill)) is not None:
                self._outbox.append(given_up)
        self._rate.forget(message.channel)
        session.fenced(asyncio.get_running_loop().time())  # the next tick says hello for all that are fenced together

    def _obey(self, channel: int, policy: Policy) -> None:
        if channel in self._sessions:
            self._scheduler.set_weight(channel, policy.weight)
            self._weights[channel] = policy.weight
            self._on_policy(channel, policy)


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
    return min(flat, key=lambda error: type(error) is UplinkError)
