"""One WHIP client's camera on its way into the log: its units are numbered, described and, as long as there is credit,
added; what is not is declared. When the log is lost it is opened again, and what was in it is declared lost, since
nobody can send it a second time.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import NamedTuple

import structlog

from fishladder.gateway.clock import wall_us
from fishladder.gateway.intake import Intake
from fishladder.gateway.numbering import Numbering
from fishladder.gateway.open import Opened
from fishladder.gateway.session import LogSession
from fishladder.gateway.webrtc.assembler import CLOCK_HZ, Assembled
from fishladder.wire.bitstream import Access, ParameterSets, dimensions, inspect
from fishladder.wire.errors import UplinkError, WireError
from fishladder.wire.fates import Fate
from fishladder.wire.ids import site_of
from fishladder.wire.messages import CameraHello, Policy
from fishladder.wire.unit import UNIT_HEADER_BYTES, Clock, Codec, Flag, Range, Unit

log = structlog.get_logger(__name__)

#: A longer pause between two pictures is a pause, not a picture's duration.
_MAX_DURATION_US = 10_000_000
_RETRY_S = 2.0


class Superseded(UplinkError):
    """Another sender has the camera now."""


class TooMuch(UplinkError):
    """The camera has begun too often, or its site has too many; `retry_s` is when to come again."""

    def __init__(self, message: str, retry_s: float) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class Captured(NamedTuple):
    """When a unit was captured by its sender's clock, and what to add for ours; Unix microseconds."""

    wall_us: int
    offset_us: int


class Publisher:
    """`holder` is who its credit goes to; `want_keyframe` is called whenever one would help. `parameter_sets` are
    H.264's, known from beside the stream.
    """

    def __init__(
        self,
        intake: Intake,
        camera: str,
        holder: str,
        max_unit_bytes: int,
        want_keyframe: Callable[[], None],
        *,
        parameter_sets: bytes = b"",
    ) -> None:
        self.camera = camera
        self.numbering = Numbering()
        self._intake = intake
        self._account = intake.credit.open(holder)
        self._max_unit_bytes = max_unit_bytes
        self._want_keyframe = want_keyframe
        self._boot = secrets.token_hex(12)
        self._hellos = 0
        self._epoch = 0
        self._session: LogSession | None = None
        self._reopen = asyncio.Event()
        self._codec: Codec | None = None
        self._beside = parameter_sets
        self._sets = ParameterSets(Codec.H264)
        self._size = (0, 0)
        self._last_pts_us: int | None = None
        self._duration_us = 0

    async def open(self) -> None:
        """Open the camera. Raises `UplinkError` if it cannot be, `Superseded` if it is another's now, `TooMuch`."""
        self._hellos += 1
        position = self.numbering.position
        hello = CameraHello(self.camera, 0, self._epoch, position, position + 1, meta={"uplink": "whip"})
        outcome = await self._intake.open(self, hello, boot=self._boot, number=self._hellos, remote=False)
        if not isinstance(outcome, Opened):
            if outcome.code == "limit":
                raise TooMuch(outcome.message, outcome.retry_s or _RETRY_S)
            kind = Superseded if outcome.code in ("superseded", "stale") else UplinkError
            raise kind(outcome.message)
        session = outcome.session
        if session.closed:
            raise Superseded(f"{self.camera}: another sender has taken the camera over")
        self._session, self._epoch = session, session.epoch
        self.numbering.lost(session.next)
        self._intake.credit.grant(self._account)
        self._want_keyframe()
        log.info("camera open", camera=self.camera, epoch=session.epoch, next=session.next, kept=outcome.kept)

    async def keep_open(self) -> None:
        """Open the camera again whenever its log was lost. Raises `Superseded` in the end."""
        while True:
            await self._reopen.wait()
            self._reopen.clear()
            while self._session is None:
                try:
                    await self.open()
                except Superseded:
                    raise
                except UplinkError as error:
                    log.warning("camera not opened, units are shed", camera=self.camera, error=str(error))
                    await asyncio.sleep(_RETRY_S)

    def take(self, codec: Codec, unit: Assembled, captured: Captured | None = None) -> None:
        """Number a unit and log it, or give it up. Without `captured` its time is that of its arrival."""
        if codec is not self._codec:
            self._codec, self._sets = codec, ParameterSets(codec, self._beside if codec is Codec.H264 else b"")
            self.numbering.entry_wanted = True
        if unit.after_loss:
            self.numbering.entry_wanted = True
        data, access = self._describe(codec, unit.data)
        pts_us = unit.ticks * 1_000_000 // CLOCK_HZ
        duration_us = self._duration(pts_us)
        if (fate := self._fate(data, access)) is not None:
            self.numbering.give_up(fate)
            if self.numbering.entry_wanted:
                self._want_keyframe()
            return
        assert self._session is not None
        flags = access.flags
        if flags & Flag.CLEAN:
            self._size = dimensions(codec, data) or (0, 0)
        now_us = wall_us()
        self.declare()
        packed = Unit(
            epoch=self._session.epoch,
            seq=self.numbering.number(),
            codec=codec,
            payload=data,
            flags=flags | Flag.SYNCED if captured else flags,
            clock=Clock.CAMERA if captured else Clock.GATEWAY,
            pts_us=pts_us,
            wall_us=captured.wall_us if captured else now_us,
            offset_us=captured.offset_us if captured else 0,
            duration_us=duration_us,
            width=self._size[0],
            height=self._size[1],
        ).pack()
        entry = self._session.take_unit(packed, now_us)
        assert entry is not None
        self._intake.frames.add(self._session, entry)
        self._intake.quotas.camera(self.camera).spend(len(packed))
        self._intake.quotas.site(site_of(self.camera)).spend(len(packed))
        if self._intake.credit.spend(self._account, len(packed)):
            self._intake.credit.grant(self._account)

    def declare(self) -> None:
        """Put into the log what was given up."""
        session = self._session
        if session is None:
            return
        for fate, first, last in self.numbering.to_declare():
            entry = session.take_range(Range(epoch=session.epoch, first=first, last=last, fate=fate), wall_us())
            if entry is not None:
                self._intake.frames.add(session, entry)

    def report(self) -> None:
        """Declare what there is to declare, and say how far the camera has captured. Call it now and then."""
        if self._session is None:
            return
        self.declare()
        self._intake.credit.grant(self._account)
        self._session.position = self.numbering.position
        self._intake.positions.report(self._session)

    def close(self) -> None:
        """The last of it: everything captured is declared or logged, and the position says so."""
        self.report()
        self._intake.credit.close(self._account)
        self._intake.retire(self, self.camera)
        self._session, self._want_keyframe = None, _nothing  # nothing of it waits for the garbage collector

    # `session.LogOwner`

    def logged(self, session: LogSession) -> None:
        """Nobody waits for it."""

    committed = logged

    def fenced(self, session: LogSession, reason: str) -> None:
        if session is self._session:
            log.warning("camera fenced", camera=self.camera, epoch=session.epoch, reason=reason)
            self._session = None
            self._reopen.set()

    def keyframe_wanted(self, session: LogSession) -> None:
        self._want_keyframe()

    def policy_changed(self, session: LogSession, policy: Policy) -> None:
        """A WHIP client sends what it sends; workers choose from it."""

    def _describe(self, codec: Codec, data: bytes) -> tuple[bytes, Access]:
        """The unit with the parameter sets it lacks, and what it says of itself; what is garbage says nothing."""
        try:
            access = inspect(codec, data)
            self._sets.remember(access.parameter_sets)
            completed = self._sets.completed(data, access)
            return completed, access if completed is data else inspect(codec, completed)
        except WireError:
            return data, Access()

    def _duration(self, pts_us: int) -> int:
        """Time since the picture before; where pictures are reordered, the last that was known."""
        before, self._last_pts_us = self._last_pts_us, pts_us
        if before is not None and 0 < pts_us - before <= _MAX_DURATION_US:
            self._duration_us = pts_us - before
        return self._duration_us

    def _fate(self, data: bytes, access: Access) -> Fate | None:
        """Why a unit is not logged, or None."""
        if self.numbering.entry_wanted and not access.flags & (Flag.CLEAN | Flag.RECOVERY):
            return Fate.SHED if access.picture else Fate.NO_PICTURE
        if self._session is None or UNIT_HEADER_BYTES + len(data) > self._max_unit_bytes:
            return Fate.SHED
        if self._intake.quotas.camera(self.camera).over or self._intake.quotas.site(site_of(self.camera)).over:
            return Fate.SHED
        if not self._account.outstanding:
            self._intake.credit.grant(self._account)
        return None if self._account.outstanding else Fate.SHED


def _nothing() -> None:
    pass
