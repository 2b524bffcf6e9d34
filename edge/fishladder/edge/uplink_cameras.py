"""All cameras of an agent on its uplink: what is said of them in hellos, what the gateway's answers do to them, and
what each has to send next. The connection it goes over, and when, is `uplink_stream`'s.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from secrets import token_hex

import structlog

from fishladder.edge.clock import Clock, OffsetEstimator
from fishladder.edge.link_state import LinkState
from fishladder.edge.rate.control import RateControl
from fishladder.edge.rate.orders import Order, Wish
from fishladder.edge.schedule import Scheduler
from fishladder.edge.session import Session, State
from fishladder.edge.spool.drain import Now
from fishladder.edge.spool.lane import Lane
from fishladder.edge.spool.spill import late_after_us
from fishladder.edge.uplink_status import Sending, sender_status
from fishladder.wire import messages
from fishladder.wire.messages import VERSIONS, CameraReport, Policy
from fishladder.wire.unit import UNIT_HEADER_BYTES, Range, Unit

log = structlog.get_logger(__name__)

#: What cameras do is said again so often, in case it was not heard.
REPORT_S = 30.0
#: Cameras of one hello. With all the clean points and digits there can be that is 147 KB, within MAX_TEXT_BYTES; and
#: the hellos of as many cameras as one connection may name are 32, of which a gateway lets 64 wait.
_HELLO_CAMERAS = 32
#: A unit that was ready so long ago, and of which so much is still to come, is not worth the wait of what is behind it.
HOPELESS_S, REST_S = 0.6, 0.3
#: The same where the link has just become slower, with much on its way already.
HOPELESS_HURRY_S, REST_HURRY_S = 0.04, 0.08


class UplinkCameras:
    """`on_policy(channel, policy)` and `on_keyframe(channel)` are called as the gateway asks."""

    def __init__(
        self,
        sessions: Sequence[Session],
        clock: Clock,
        offset: OffsetEstimator,
        *,
        on_policy: Callable[[int, Policy], None],
        on_keyframe: Callable[[int], None],
        report: Callable[[int], CameraReport] | None = None,
        agent: str,
        renews: bool,
    ) -> None:
        self.sessions = {session.channel: session for session in sessions}
        self.scheduler = Scheduler()
        self.flush = False  #: nothing more will be captured: no range is held back
        self._clock = clock
        self._offset = offset
        self._on_policy = on_policy
        self._on_keyframe = on_keyframe
        self._report = report
        self._reported: dict[int, CameraReport] = {}  # on this connection
        self._reported_s = 0.0
        self._agent = agent
        self.rate = RateControl(len(sessions))
        self._weights: dict[int, float] = {}
        self._starved_s = 0.0  # when there was no credit last
        self._opened_s: dict[int, float] = {}  # since when each camera may send
        self._renews = renews
        self._lanes: Mapping[int, Lane] = {}
        self._boot = token_hex(16)
        self._hellos = 0
        self._boot_is_old = False

    def remember(self, lanes: Mapping[int, Lane], boot: str, hellos: int) -> None:
        """Work with spools (by channel), and under a boot of before that has said at most so many hellos."""
        self._lanes = lanes
        self._boot, self._hellos, self._boot_is_old = boot, hellos, hellos > 0

    def connected(self) -> None:
        self._reported = {}
        self.scheduler = Scheduler()
        self.rate = RateControl(len(self.sessions), self.rate)

    def disconnected(self) -> None:
        for session in self.sessions.values():
            session.disconnected()

    # -- what is said of them

    def hellos(self, now_s: float, *, anyway: bool) -> list[messages.Hello]:
        """For those that are due; one without cameras if none is, and one is wanted `anyway`."""
        due = [(it, it.hello(now_s)) for it in self.sessions.values() if it.hello_due(now_s)]
        earlier = [camera for session, camera in due if session.introducing is not None]
        found = [
            self._hello(earlier[first : first + _HELLO_CAMERAS], token_hex(16), 1)
            for first in range(0, len(earlier), _HELLO_CAMERAS)
        ]
        ours = [camera for session, camera in due if session.introducing is None]
        for first in range(0, len(ours) or int(anyway and not earlier), _HELLO_CAMERAS):
            self._hellos += 1
            found.append(self._hello(ours[first : first + _HELLO_CAMERAS], self._boot, self._hellos))
        return found

    def _hello(self, cameras: list[messages.CameraHello], boot: str, number: int) -> messages.Hello:
        return messages.Hello(
            versions=VERSIONS, boot=boot, hello=number, cameras=cameras, agent=self._agent, renews=self._renews
        )

    def _news(self, now_s: float) -> list[CameraReport]:
        if self._report is None:
            return []
        if now_s - self._reported_s >= REPORT_S:
            self._reported, self._reported_s = {}, now_s
        news = []
        for channel, session in self.sessions.items():
            if session.is_open:
                does = self._report(channel)
                if self._reported.get(channel) != does:
                    self._reported[channel] = does
                    news.append(does)
        return news

    def positions(
        self,
        uplink: messages.UplinkStatus | None = None,
        senders: Sequence[tuple[int, messages.SenderStatus]] = (),
    ) -> messages.Positions | None:
        """How far each has captured, how the uplink does, and what is new of what is sent and obeyed."""
        cameras = [(it.channel, it.ring.position) for it in self.sessions.values() if it.is_open]
        if not cameras:
            return None
        return messages.Positions(cameras, uplink, list(senders), self._news(self._clock.mono_us() / 1e6))

    def senders(
        self, sending: Callable[[int], Sending | None], wish: Callable[[int, float], Wish | None]
    ) -> dict[int, messages.SenderStatus]:
        """What is sent of each open camera."""
        return {
            channel: sender_status(how, wish(channel, self._weights.get(channel, 1.0)), self.rate.order(channel))
            for channel, session in self.sessions.items()
            if session.is_open and (how := sending(channel)) is not None
        }

    # -- what the gateway says

    def welcomed(self, welcome: messages.Welcome, now_s: float) -> None:
        for granted in welcome.cameras:
            session = self.sessions.get(granted.channel)
            if session is None or session.state is not State.GREETED:
                continue
            lost_before = session.state_lost
            if problem := session.welcomed(granted, max_unit_bytes=welcome.max_unit_bytes):
                log.error("camera starts afresh", camera=session.camera, error=problem)
                session.start_afresh(now_s)
                continue
            if lost := session.state_lost - lost_before:
                log.warning("the gateway's store went back", camera=session.camera, forgotten=lost)
            if session.is_open:  # else it was told of an earlier numbering
                self._open(session, granted.policy)
        for refusal in welcome.refused:
            if session := self.sessions.get(refusal.channel):
                self._refused(session, refusal, now_s)

    def _open(self, session: Session, policy: Policy) -> None:
        channel = session.channel
        self._opened_s[channel] = self._clock.mono_us() / 1e6
        self.scheduler.add(channel, partial(self._take, session), policy.weight)
        if (lane := self._lanes.get(channel)) is not None:
            self.scheduler.add(channel, partial(self._take_backfill, lane), policy.weight, backfill=True)
            lane.begin()
            if session.ring.unsent():  # live goes on at an entry point
                self._on_keyframe(channel)
        self.obey(channel, policy)

    def _refused(self, session: Session, refusal: messages.Refusal, now_s: float) -> None:
        introduced = session.introducing is not None
        if refusal.code == "stale" and self._boot_is_old:  # what we remember of it is older than what the stack does
            self._boot, self._hellos, self._boot_is_old = token_hex(16), 0, False
        session.refused(refusal, now_s)
        if introduced and session.hello_due(now_s):
            return  # it was told of an earlier numbering, and knew of it
        log.warning(
            "camera is refused",
            camera=session.camera,
            code=refusal.code,
            error=refusal.message,
            retry_s=round(session.hello_at_s - now_s, 1),
        )

    def fenced(self, message: messages.Fenced, now_s: float) -> list[bytes]:
        """What has to be sent because of it."""
        session = self.sessions.get(message.channel)
        if session is None:
            return []
        log.warning("camera's session has ended", camera=session.camera, reason=message.reason)
        given_up = [self.scheduler.remove(message.channel, backfill=backfill) for backfill in (False, True)]
        self.rate.forget(message.channel)
        session.fenced(now_s)  # the next tick says hello for all that are fenced together
        return [it for it in given_up if it is not None]

    def acknowledged(self, message: messages.Ack, now_s: float) -> None:
        for channel, logged, committed in message.cameras:
            if session := self.sessions.get(channel):
                session.acknowledged(logged, committed)
                self.rate.logged(channel, logged, now_s)

    def opened(self, message: messages.Open, now_s: float) -> None:
        lane, session = self._lanes.get(message.channel), self.sessions.get(message.channel)
        if lane is not None and session is not None and session.is_open:
            lane.opened(message, now_s)

    def controlled(self, message: messages.Control) -> None:
        if message.policy is not None:
            self.obey(message.channel, message.policy)
        if message.keyframe and message.channel in self.sessions:
            self._on_keyframe(message.channel)

    def obey(self, channel: int, policy: Policy) -> None:
        if channel in self.sessions:
            self.scheduler.set_weight(channel, policy.weight)
            self._weights[channel] = policy.weight
            self._on_policy(channel, policy)

    def held_back(self) -> None:
        """What waits at the moment waits for the operator's limit, which says nothing of the link."""
        self._starved_s = self._clock.mono_us() / 1e6

    def handed(self) -> None:
        """The scheduler's last live message is handed to the link."""
        if self.scheduler.last is not None:
            self.rate.handed(self.scheduler.last, self._clock.mono_us() / 1e6)

    def orders(
        self,
        wish: Callable[[int, float], Wish | None],
        link: LinkState,
        *,
        limit_bps: float = math.inf,
        yields: bool = False,
    ) -> list[tuple[int, Order]]:
        """What cameras are to send from now on, where that is news; `wish(channel, weight)` is what each would, `link`
        how TCP sees it. `limit_bps`, `yields`: see `Limiter`.
        """
        self.rate.limit_bps, self.rate.yields = limit_bps, yields
        now_s = self._clock.mono_us() / 1e6
        if self.scheduler.credit_left <= 0:
            self._starved_s = now_s  # what waits now waits for the gateway, which says nothing of the link
        late_us = late_after_us(hurries=self.rate.hurries, paused=self.rate.behind_pause(now_s))
        wishes, waiting = {}, {}
        for channel, session in self.sessions.items():
            wanted = wish(channel, self._weights.get(channel, 1.0)) if session.is_open else None
            adapts = wanted is not None and wanted.passing is None and self.rate.thin
            session.late_us = late_us if adapts else None
            if wanted is not None:
                wishes[channel] = wanted
                if (ready_us := session.ring.unsent_ready_us) is not None:
                    waiting[channel] = self._since_s(channel, ready_us)
                    late = adapts and now_s - ready_us / 1e6 > late_us / 1e6
                    if late and (lane := self._lanes.get(channel)) is not None:
                        lane.look()
        return self.rate.step(wishes, waiting, now_s, spooled=self._lanes.keys(), link=link)

    @property
    def spool_alone(self) -> bool:
        """Whether nobody minds if the spool takes all there is: nothing more will be live, nor shall we give way."""
        return self.flush and not self.rate.yields

    def hopeless(self) -> list[bytes]:
        """Give up units of which a part is sent and the rest would take too long: live goes on with a keyframe, and
        the spool has them. What has to be sent because of it.
        """
        now_s, said = self._clock.mono_us() / 1e6, []
        slower = self.rate.holds_back(now_s)
        hopeless_s, least_s = (HOPELESS_HURRY_S, REST_HURRY_S) if slower else (HOPELESS_S, REST_S)
        for channel, lane in self._lanes.items():
            session, ready_s = self.sessions[channel], self.rate.latest(channel)
            rest_s = self.scheduler.rest_bytes(channel) * 8 / self.rate.estimator.rate_bps
            if session.late_us is None or ready_s is None or rest_s < least_s or now_s - ready_s < hopeless_s:
                continue
            if session.ring.take_back() and (message := self.scheduler.give_up(channel)) is not None:
                self.rate.take_back(channel)
                lane.look()
                said.append(message)
        return said

    def _since_s(self, channel: int, ready_us: int) -> float:
        """Since when a unit waits for the link: what it waited for before says nothing of that."""
        return max(ready_us / 1e6, self._starved_s, self._opened_s.get(channel, 0.0))

    # -- what is next

    def _take(self, session: Session) -> Unit | Range | None:
        if not session.has_more:
            return None
        now_us, ready_us = self._clock.mono_us(), session.ring.unsent_ready_us
        if session.late_us is not None and session.channel in self._lanes and self.rate.holds_back(now_us / 1e6):
            return None  # what came on top would be late; the spool has it soon
        item = session.take(now_us, self._offset.offset_us, flush=self.flush)
        if isinstance(item, Unit):
            now_s = now_us / 1e6
            ready_s = now_s if ready_us is None else self._since_s(session.channel, ready_us)
            self.rate.taken(session.channel, item.seq, len(item.payload) + UNIT_HEADER_BYTES, ready_s, now_s)
        return item

    def _take_backfill(self, lane: Lane) -> Unit | Range | None:
        if not lane.drain.ready:
            return None
        return lane.drain.take(Now(self._clock.mono_us(), self._clock.wall_us(), self._offset.offset_us))
