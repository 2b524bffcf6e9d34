"""A camera's main stream and its sub-stream as one: which of the two is passed on, or encoded anew, and the change from
one to the other at a unit where a decoder may start. A picture is captured once, by the stream that is in use when it
comes. The sub-stream is opened when it is wanted; whatever happens to it, the main stream goes on.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from fishladder.edge.cameras.camera import Camera, Description, Packet
from fishladder.edge.capture_records import Captured, CapturedUnit, Left, Opened, Record, Trouble
from fishladder.edge.passthrough import Passthrough
from fishladder.edge.rate.passing import Flow
from fishladder.edge.tail import Measured, Tail
from fishladder.runtime.lifecycle import Backoff
from fishladder.wire.errors import FishladderError
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec, Flag

if TYPE_CHECKING:  # not before it is needed: a camera that is passed on has no use for an encoder
    from fishladder.edge.transcode import Transcoder

#: The sub-stream is closed when it has not been wanted for so long.
IDLE_S = 60.0
#: One that cannot be had is asked for again after so long, and ever more rarely.
RETRY_S, RETRY_MOST_S = 5.0, 300.0
_WAITING = 64


class _Packet(NamedTuple):
    source: "_Source"
    packet: Packet


class _Opened(NamedTuple):
    source: "_Source"


class _Ended(NamedTuple):
    """`source` None: the sub-stream could not even be opened."""

    source: "_Source | None"
    error: Exception | None


_News = _Packet | _Opened | _Ended


class _Source:
    """An open stream, whose packets a thread of its own brings until it is `stopped`."""

    def __init__(self, camera: Camera, out: "queue.Queue[_News]") -> None:
        self.camera = camera
        self.units = Passthrough(camera.description)
        self.measured = Measured()
        self.stopped = False
        self._out = out

    def start(self) -> None:
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        error: Exception | None = None
        try:
            for packet in self.camera.packets():
                if self.stopped:
                    break
                self._put(_Packet(self, packet))
        except Exception as failure:  # noqa: BLE001 - raised again where the packets are taken
            error = failure
        self._put(_Ended(self, error))
        if self.stopped:
            self.camera.close()  # here, where nobody reads it any more

    def _put(self, news: _News) -> None:
        while not self.stopped:
            try:
                self._out.put(news, timeout=0.5)
            except queue.Full:
                continue
            return


class TwoStreams:
    """`main` is open already; `open_sub` opens the other, None if there is none. `early`: do so at once, where the two
    show the same only if they begin together (files). `anew` makes what encodes a stream anew.
    """

    def __init__(
        self,
        main: Camera,
        open_sub: Callable[[], Camera] | None = None,
        *,
        early: bool = False,
        anew: "Callable[[Codec, Description], Transcoder] | None" = None,
    ) -> None:
        self.wanted = False  #: the sub-stream
        self.encoded = False  #: whether the stream in use is to be encoded anew
        self.transcoder: Transcoder | None = None  #: while it is
        self._anew = anew
        self.tail = Tail()  #: what of the stream in use is passed on
        self._news: queue.Queue[_News] = queue.Queue(_WAITING)
        self._main = _Source(main, self._news)
        self._sub: _Source | None = None
        self._active = self._main
        self._open_sub = open_sub
        self._early = early
        self._opening = False
        self._backoff = Backoff(RETRY_S, RETRY_MOST_S)
        self._retry_s = 0.0
        self._wanted_s = 0.0
        self._sub_flow = Flow()
        self._gap = False  # the last picture was not passed on
        self._needs_gap = False  # the stream that is wanted can only be begun behind one
        self._late: CapturedUnit | None = None  # the last unit, told of but not encoded: it would be that gap

    @property
    def flows(self) -> tuple[Flow, Flow | None]:
        """What the main and the sub-stream are measured to be, or were when last open."""
        if self._sub is not None and (flow := self._sub.measured.flow).bps:
            self._sub_flow = flow
        return self._main.measured.flow, None if self._open_sub is None else self._sub_flow

    @property
    def on_sub(self) -> bool:
        return self._active is not self._main

    @property
    def changing(self) -> bool:
        """Whether another stream is wanted than is in use, or the same in the other way."""
        return self.wanted is not self.on_sub or self._wants_encoding is (self.transcoder is None)

    @property
    def _wants_encoding(self) -> bool:
        return self.encoded and self._anew is not None

    def records(self, obey: Callable[[], None]) -> Iterator[Record]:
        """Until the main stream ends; `obey` is called before each picture. Raises `CameraError` when it fails."""
        self._main.start()
        while True:
            self._look_after_sub(time.monotonic())
            news = self._news.get()
            obey()
            match news:
                case _Packet() if not news.source.stopped:
                    yield from self._unit(news.source, news.packet)
                case _Opened():
                    self._sub, self._opening = news.source, False
                    news.source.start()
                case _Ended() if news.source is self._main:
                    yield from self.rest()
                    if news.error is not None:
                        raise news.error
                    return
                case _Ended() if news.source is self._sub:
                    yield from self._lost(news.error)

    def close(self) -> None:
        """Read no more. Cameras are closed by whoever reads them, when the packet they wait for has come."""
        self._main.stopped = True
        if self._sub is not None:
            self._sub.stopped = True

    def _unit(self, source: _Source, packet: Packet) -> Iterator[Record]:
        unit = source.units.take(packet)
        source.measured.add(unit)
        self._needs_gap &= self.changing
        target = self._sub if self.wanted and self._sub is not None else self._main
        other = source is not self._active or self._wants_encoding is (self.transcoder is None)
        if source is target and other and self._enters(unit):
            yield from self._change(source)
        if source is not self._active:
            return
        if self.transcoder is not None:
            yield from self._encode(self.transcoder, unit)
            return
        self._gap = self._needs_gap or not self.tail.passes(unit)
        if self._gap:
            yield Captured(unit.mono_us)
            yield Left(Fate.SHED)
        else:
            yield unit

    def _change(self, source: _Source) -> Iterator[Record]:
        yield from self.rest()
        self._active, self._needs_gap = source, False
        if self._wants_encoding and self._anew is not None:
            self.transcoder = self._anew(source.units.codec, source.camera.description)
        self.tail.begin()
        yield self._opened()

    def _encode(self, transcoder: "Transcoder", unit: CapturedUnit) -> Iterator[Record]:
        """Where a gap is needed the last unit waits for the next one, which may be the one to go on with."""
        yield Captured(unit.mono_us)
        late, self._late = self._late, unit if self._needs_gap else None
        if late is not None:
            yield from transcoder.decode(late, unit.mono_us)
        if self._late is None:
            yield from transcoder.decode(unit, unit.mono_us)

    def rest(self) -> Iterator[Record]:
        """Encode nothing anew any more: what became of units whose fate is not told yet."""
        if self.transcoder is not None:
            yield from self.transcoder.close()
            if self._late is not None:
                yield Left(Fate.SHED)
        self.transcoder = self._late = None

    def _opened(self) -> Opened:
        found = self._active.camera.description
        stream = "sub-stream" if self.on_sub else "main stream"
        mode = "passthrough" if self.transcoder is None else "transcode"
        return Opened(mode, found.codec, found.width, found.height, found.fps, stream)

    def _enters(self, unit: CapturedUnit) -> bool:
        """Whether the stream in use may be left for another at this unit of that one. Where pictures behind such a unit
        may refer to what was before it, a decoder has to begin anew, which it does behind a gap; ours does anyway.
        """
        if self._wants_encoding:
            return unit.entry_point
        gap = self._late is not None or (self._gap and self.transcoder is None)
        self._needs_gap |= bool(unit.flags & Flag.RECOVERY) and not gap
        return bool(unit.flags & Flag.CLEAN) or (bool(unit.flags & Flag.RECOVERY) and gap)

    # -- the sub-stream

    def _look_after_sub(self, now_s: float) -> None:
        if self._open_sub is None:
            return
        if self.wanted or self.on_sub:
            self._wanted_s = now_s
        if self._sub is None:
            if (self.wanted or self._early) and not self._opening and now_s >= self._retry_s:
                self._opening = True
                threading.Thread(target=self._open, args=(self._open_sub,), daemon=True).start()
        elif not self._early and now_s - self._wanted_s > IDLE_S:
            self._sub.stopped = True
            self._sub = None

    def _open(self, open_sub: Callable[[], Camera]) -> None:
        """In a thread of its own: it may take as long as it likes."""
        try:
            self._news.put(_Opened(_Source(open_sub(), self._news)))
        except FishladderError as error:
            self._news.put(_Ended(None, error))

    def _lost(self, error: Exception | None) -> Iterator[Record]:
        """The sub-stream could not be opened, or has ended. Where it was passed on, the main stream is from its next
        keyframe on.
        """
        if self._sub is not None and self._sub.measured.flow.bps:
            self._backoff.reset()
        if self.on_sub:
            yield from self.rest()
            self._active = self._main
            self.tail.begin()
            self.tail.wait()
            yield self._opened()
        self._sub, self._opening, self._needs_gap = None, False, False
        self._retry_s = time.monotonic() + self._backoff.next()
        yield Trouble(str(error) if error is not None else "it has ended")
