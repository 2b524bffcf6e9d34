"""One camera inside the agent: its capture process on one side, what becomes of each picture on the other. Every
picture the process tells of is numbered here exactly once, also those that died with it.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog
from msgspec.structs import asdict

from fishladder.edge import metrics
from fishladder.edge.capture import CaptureSettings, Command
from fishladder.edge.capture_records import Captured, CapturedUnit, Flows, Left, Opened, Record, Sampled, Trouble
from fishladder.edge.child import Child
from fishladder.edge.clock import Clock
from fishladder.edge.rate.orders import Order, Wish
from fishladder.edge.rate.passing import PassingRung
from fishladder.edge.rate.profile import Profile
from fishladder.edge.uplink_status import Sending
from fishladder.edge.wish import May, wish_of
from fishladder.wire.fates import Fate
from fishladder.wire.messages import CameraReport, Policy
from fishladder.wire.unit import Flag

log = structlog.get_logger(__name__)

_KEYFRAME_PAUSE_US = 1_000_000
#: A gate is open that let so many units through; one by itself is its sign of life.
_OPEN = 2


class Sink(Protocol):
    """Where a camera's pictures go, numbered densely in the order of these calls."""

    @property
    def wants_keyframe(self) -> bool: ...

    def append_unit(self, unit: CapturedUnit, *, wall_us: int, ready_us: int) -> bool: ...

    def append_range(self, count: int, fate: Fate, *, mono_us: int, wall_us: int) -> None: ...

    @property
    def position(self) -> int: ...

    @property
    def pending(self) -> int:
        """How many of them are not settled yet."""

    @property
    def abandoned(self) -> int:
        """How many were given up unsettled: the camera went to somebody else."""

    @property
    def held_bytes(self) -> int: ...

    @property
    def dropped(self) -> int:
        """Units dropped here, in all, for which the fate is `dropped_as`."""

    @property
    def dropped_as(self) -> Fate: ...


class Timeline:
    """Makes one ascending timeline of a camera's pts, which begin anew with each capture process."""

    def __init__(self) -> None:
        self._shift_us: int | None = None
        self._last: tuple[int, int] | None = None  # latest pts given out, when it was captured

    def interrupted(self) -> None:
        self._shift_us = None

    def pts_us(self, pts_us: int, mono_us: int) -> int:
        if self._shift_us is None:
            self._shift_us = 0 if self._last is None else self._last[0] + max(mono_us - self._last[1], 1) - pts_us
        shifted = pts_us + self._shift_us
        if self._last is None or shifted > self._last[0]:
            self._last = (shifted, mono_us)
        return shifted


class Feed:
    """`name` is `<site>/<camera>`; `fps` the user's own limit, which the gateway's policy can only lower."""

    def __init__(
        self,
        name: str,
        settings: CaptureSettings,
        sink: Sink,
        clock: Clock,
        wake: Callable[[], None],
        *,
        once: bool = False,
        stall_s: float = 20.0,
    ) -> None:
        self.name = name
        self.settings = settings
        self.opened: Opened | None = None
        self.ended = False
        self.removed = False  #: it is no longer among the settings' cameras
        self.profile: Profile | None = None  #: by which its ladder goes; None = by its own rule
        self._once = once
        self._stall_s = stall_s
        self.child = self._child(settings)
        self._next: Child | None = None  # takes the place of `child` when that has ended
        self.sink = sink
        self._clock = clock
        self._wake = wake
        self._limit_fps = settings.fps
        self._waiting: deque[int] = deque()  # capture times of pictures whose fate the process has not told yet
        self._timeline = Timeline()
        self._asked_us = 0
        self._policy: Policy | None = None
        self._clean_wanted = False  # it was paused: what comes next needs a keyframe before it
        self._let_through = _OPEN  # units since the gate last held something back
        self._flows: Flows | None = None
        self._trouble = ""
        self._order: Order | None = None
        self.counts = metrics.of_camera(name)

    def _child(self, settings: CaptureSettings) -> Child:
        return Child(self.name, settings, self.on_record, self.on_gone, once=self._once, stall_s=self._stall_s)

    async def run(self) -> None:
        """Returns when the camera has no more to give, or after `stop`; it may be run again after a `change`."""
        self.ended = False
        try:
            while True:
                if self._next is not None:
                    self.child, self._next = self._next, None
                await self.child.run()
                if self._next is None:
                    return
        finally:
            self.ended = True
            self._wake()

    def change(self, settings: CaptureSettings) -> None:
        """Capture by other settings from now on, under the same numbers."""
        self.settings, self.removed = settings, False
        self._limit_fps = settings.fps
        self._next = self._child(settings)
        self.child.stop()
        if self._order is not None:
            self._next.command(_command(self._order))
        if self._policy is not None:
            self.obey(self._policy)

    def stop(self) -> None:
        self._next = None
        self.child.stop()

    def remove(self) -> None:
        """Capture no more; what was captured is still carried away."""
        self.removed = True
        self.stop()

    @property
    def finished(self) -> bool:
        """Ended, and everything captured is settled."""
        return self.ended and self.sink.pending == 0

    def obey(self, policy: Policy) -> None:
        before, self._policy = self._policy, policy
        (self._next or self.child).command(Command(fps=self._fps or 0.0, pause=policy.pause))
        if before is not None and before.pause and not policy.pause:
            self._asked_us = 0
            self.ask_keyframe()

    @property
    def _fps(self) -> float | None:
        """Pictures a second that are wanted; None = every one."""
        policy = self._policy
        return min((fps for fps in (policy.fps if policy else None, self._limit_fps) if fps), default=None)

    @property
    def paused(self) -> bool:
        return self._policy is not None and self._policy.pause

    @property
    def _most_bps(self) -> int:
        """What its encoder may make."""
        own = self.child.settings.encoder.bitrate_bps
        return min(own, self._policy.cap_bps or own) if self._policy is not None else own

    def report(self, channel: int) -> CameraReport:
        """What it obeys at the moment, for people to see: what is passed on is never thinned out, nor made less of
        without a step down.
        """
        mode = self.sending.mode if self.sending is not None else ""
        passed_on = mode == "passthrough"
        capped = self._policy is not None and not (passed_on and not self.child.settings.steps)
        cap_bps = self._policy.cap_bps if self._policy is not None and capped else None
        return CameraReport(channel, mode, None if passed_on else self._fps, self.paused, cap_bps)

    def limit(self, order: Order) -> None:
        """What the uplink has for this camera."""
        before = self._order.passing if self._order is not None else PassingRung()
        self._order = order
        if order.passing != before:
            stream, kbps = "sub" if order.passing.sub else "main", order.bitrate_bps // 1000
            log.info(
                "the link changes what is passed on",
                camera=self.name,
                stream=stream,
                keep=order.passing.keep,
                kbps=kbps,
            )
        (self._next or self.child).command(_command(order))

    def wish(self, weight: float) -> Wish | None:
        """What this camera would send; None if that cannot be changed: it passes on all that the camera makes."""
        if self.opened is None or self.paused:
            return None
        cap_bps = self._policy.cap_bps if self._policy is not None else None
        may = May(weight, self._most_bps, self._fps, cap_bps)
        return wish_of(self.opened, self.child.settings, self._flows, self.profile, may)

    @property
    def sending(self) -> Sending | None:
        """How its pictures are sent; None before it is open."""
        if self.opened is None:
            return None
        gate_open = None if self.child.settings.gate is None else self._let_through >= _OPEN
        return Sending("passthrough" if self.opened.mode == "passthrough" else "encode", gate_open)

    def ask_keyframe(self) -> None:
        """At most once a second."""
        now_us = self._clock.mono_us()
        if now_us - self._asked_us >= _KEYFRAME_PAUSE_US:
            self._asked_us = now_us
            self.child.command(Command(keyframe=True))

    def on_record(self, record: Record) -> None:
        now_us = self._clock.mono_us()
        match record:
            case CapturedUnit():
                if self._waiting:
                    self._waiting.popleft()
                self._let_through += 1
                if self._left_out(record):
                    self._range(1, Fate.SAMPLED_OUT, record.mono_us, now_us)
                else:
                    self._unit(record, now_us)
            case Sampled():
                self._range(record.count, Fate.SAMPLED_OUT, now_us, now_us)
            case Captured():
                self._waiting.append(record.mono_us)
                return
            case Left():
                if record.fate is Fate.GATED:
                    self._let_through = 0
                if self._waiting:
                    self._range(1, record.fate, self._waiting.popleft(), now_us)
            case Flows():
                self._flows = record
                return
            case Trouble():
                if record.error != self._trouble:  # it is tried again and again
                    self._trouble = record.error
                    log.warning("the sub-stream cannot be had, will retry", camera=self.name, error=record.error)
                return
            case Opened():
                self.opened, self._trouble = record, ""
                self._timeline.interrupted()
                log.info("camera delivers", camera=self.name, **_facts(record))
                return
        if self.sink.wants_keyframe:
            self.ask_keyframe()
        self._wake()

    def on_gone(self) -> None:
        """The process is gone: what it still had is lost."""
        now_us = self._clock.mono_us()
        while self._waiting:
            self._range(1, Fate.ENCODER, self._waiting.popleft(), now_us)
        self._timeline.interrupted()
        self.counts.restarts.set(self.child.restarts)
        self._wake()

    def _left_out(self, unit: CapturedUnit) -> bool:
        """Whether a unit is not wanted: the camera is paused, or was, and this is nothing to begin with."""
        if self.paused:
            self._clean_wanted = True
        elif self._clean_wanted:
            self._clean_wanted = not unit.flags & (Flag.CLEAN | Flag.RECOVERY)
            if self._clean_wanted:
                self.ask_keyframe()
        return self._clean_wanted

    def _wall_us(self, mono_us: int, now_us: int) -> int:
        return self._clock.wall_us() - (now_us - mono_us)

    def _unit(self, unit: CapturedUnit, now_us: int) -> None:
        moved = CapturedUnit(
            unit.codec,
            unit.flags,
            unit.width,
            unit.height,
            unit.duration_us,
            self._timeline.pts_us(unit.pts_us, unit.mono_us),
            unit.mono_us,
            unit.payload,
        )
        kept = self.sink.append_unit(
            moved, wall_us=self._wall_us(unit.mono_us, now_us), ready_us=max(now_us - unit.mono_us, 0)
        )
        self.counts.captured.inc()
        if kept:
            self.counts.units.inc()
            self.counts.bytes.inc(len(unit.payload))

    def _range(self, count: int, fate: Fate, mono_us: int, now_us: int) -> None:
        self.sink.append_range(count, fate, mono_us=mono_us, wall_us=self._wall_us(mono_us, now_us))
        self.counts.captured.inc(count)
        self.counts.not_sent[fate].inc(count)


def _command(order: Order) -> Command:
    return Command(
        bitrate_bps=order.bitrate_bps,
        thin_fps=order.fps,
        width=order.width,
        hold=order.hold,
        keyframe_s=order.keyframe_s,
        sub=order.passing.sub,
        keep=order.passing.keep,
    )


def _facts(opened: Opened) -> dict[str, object]:
    return {name: value for name, value in asdict(opened).items() if value}
