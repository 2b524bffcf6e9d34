"""Decodes one camera's units and says of each what came of it: a picture, or a fate. A picture is given only if it is
what an uninterrupted decode would have shown, bit for bit; whatever cannot be that is settled with the reason. Which
units to read, where to start and which pictures to analyse is the caller's business, as is the cursor.
"""

from collections.abc import Iterable
from enum import Enum, auto

import av
from av.video.frame import VideoFrame

from fishladder.inference.decode_queue import DecodeQueue, Entry, Outcome, Picture, Settled
from fishladder.inference.libav import Decoder
from fishladder.inference.references import FrameNumbers
from fishladder.wire.bitstream import ParameterSets, inspect
from fishladder.wire.errors import WireError
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec

__all__ = ["CameraDecoder", "Outcome", "Picture", "Settled"]

#: Codecs whose units need not be shown in the order they are decoded in.
_REORDERING = frozenset((Codec.H264, Codec.H265))


class _State(Enum):
    COLD = auto()  # nothing to refer to
    RECOVERING = auto()  # decoding since an H.264 recovery point and not yet exact: libav flags all, damaged or not
    EXACT = auto()


class CameraDecoder:
    """One camera's decoder for one epoch. Synchronous and single-threaded: call it from one compute thread.

    Every seq pushed without `context` comes out exactly once, in seq order, at the latest from `drain`. Units go in
    in decode order and pictures are made in display order, so an outcome may come out some pushes later. It waits until
    all before it are settled, so that a picture is never given out when one it refers to turns out damaged. Context
    seqs never come out. Bad bytes are an outcome, never an exception.

        decoder = CameraDecoder()
        for unit in log:                                        # from the clean point at or before the cursor
            outcomes = decoder.push(unit.seq, codec=..., payload=unit.data, context=unit.seq <= cursor, wanted=...)
        outcomes = decoder.drain()                              # the epoch has ended
    """

    def __init__(self, *, keyframes_only: bool = False) -> None:
        """`keyframes_only`: decode only pictures that stand alone (clean units, and intra pictures at open GOPs), each
        at once; all others are settled SAMPLED_OUT without being decoded.
        """
        self._keyframes_only = keyframes_only
        self._queue = DecodeQueue()
        self._decoder: Decoder | None = None
        self._state = _State.COLD
        self._recovery_left = 0  # reference pictures until the one that is exact
        self._exact_from: int | None = None  # its token; None while it is still to come
        self._idr_token = 0  # the last unit behind which nothing refers to anything before it
        self._rasl_lost = False  # RASL pictures refer to what was not decoded
        self._sets_changed = False  # since the decoder was opened
        self._switch(Codec.H264)

    @property
    def primed(self) -> bool:
        """Whether the next unit may refer to those before it. False at first, after `drain`, and after `lose` or an
        undecodable reference, until a clean unit (or a recovery point that has recovered) was pushed. While it is
        False, units that are not clean are settled NO_REFERENCE, so a caller starts at a clean point. With
        `keyframes_only` always True.
        """
        recovered = self._state is _State.RECOVERING and self._exact_from is not None
        return self._keyframes_only or recovered or self._state is _State.EXACT

    @property
    def pending(self) -> int:
        """How many seqs (context aside) were pushed and have not come out yet; at most 32."""
        return self._queue.pending

    def push(
        self, seq: int, *, codec: Codec, payload: bytes | memoryview, context: bool = False, wanted: bool = True
    ) -> list[Outcome]:
        """Decode one unit; seqs ascend, in decode order. Returns what has become of this or of earlier units.

        `context`: decode it only for those that follow. `wanted`: give its picture, else it is SAMPLED_OUT.
        """
        data = payload if isinstance(payload, bytes) else bytes(payload)
        if codec is not self._codec:
            self._stop()
            self._switch(codec)
        entry = self._queue.add(seq, context=context, wanted=wanted)
        try:
            entry.access = inspect(codec, data)
        except WireError:
            entry.fate = Fate.UNDECODABLE
            self._stop()  # nobody can say what it was, so others may have referred to it
        else:
            self._accept(entry, data)
        return self._queue.release()

    def lose(self) -> list[Outcome]:
        """Say that units which later ones may refer to are gone (a range of LOG_LOST, or SHED after encoding): what
        follows is NO_REFERENCE until the next clean unit or recovery. Returns all that was pending, which stays exact.
        """
        self._stop()
        return self._queue.release()

    def drain(self) -> list[Outcome]:
        """Take everything out of the decoder: the epoch has ended, or the camera fell idle. Afterwards nothing is
        pending and `primed` is False.
        """
        return self.lose()

    def _switch(self, codec: Codec) -> None:
        self._codec, self._sets, self._numbers = codec, ParameterSets(codec), FrameNumbers()

    def _accept(self, entry: Entry, data: bytes) -> None:
        """Decide whether a unit is decoded, from where on, and decode it."""
        access = entry.access
        if access.parameter_sets and self._sets.remember(access.parameter_sets):
            self._sets_changed = True
            self._numbers.remember(access.parameter_sets)
        if not access.picture:
            entry.fate = Fate.NO_PICTURE
        if self._keyframes_only:
            self._accept_keyframe(entry, data)
            return
        if self._state is not _State.COLD and self._codec is Codec.H264 and not self._numbers.follows(data, access):
            self._stop()
        if self._may_start(entry):
            self._start(entry, data)
        elif self._state is _State.COLD:
            entry.fate = entry.fate or Fate.NO_REFERENCE
        elif access.rasl and self._rasl_lost:
            entry.fate = Fate.NO_REFERENCE
        else:
            if access.idr:
                self._idr_token = entry.token
            # Behind a BLA (an IDR here) RASL pictures refer over the splice; behind a CRA in mid-stream all is there.
            self._rasl_lost = access.idr or (self._rasl_lost and access.recovery is None)
            self._decode(entry, data)

    def _accept_keyframe(self, entry: Entry, data: bytes) -> None:
        access = entry.access
        if entry.fate is not None or entry.context:
            entry.fate = entry.fate or Fate.SAMPLED_OUT
        elif not (entry.wanted and (access.idr or (access.recovery == 0 and access.reference))):
            entry.fate = Fate.SAMPLED_OUT
        elif not (access.complete or self._sets):
            entry.fate = Fate.NO_REFERENCE
        else:
            self._start(entry, data)
            self._stop()

    def _may_start(self, entry: Entry) -> bool:
        """Whether decoding starts anew at a unit: because nothing can be decoded without, or because it is clean and
        something is to be left behind (a recovery under way, other parameter sets).
        """
        access = entry.access
        if not (access.idr or access.recovery is not None) or not (access.complete or self._sets):
            return False
        if self._state is _State.COLD:
            return True
        return access.idr and (self._state is _State.RECOVERING or self._sets_changed)

    def _start(self, entry: Entry, data: bytes) -> None:
        """Decode from this unit on, as if nothing had been before it."""
        self._stop()
        access, codec = entry.access, self._codec
        self._sets_changed = False
        self._idr_token = entry.token
        self._rasl_lost = True
        # An H.265 CRA is exact itself, and all behind it but its RASL pictures; H.264 has to get there by decoding.
        self._state = _State.RECOVERING if codec is Codec.H264 and not access.idr else _State.EXACT
        self._recovery_left, self._exact_from = access.recovery or 0, None
        self._decoder = Decoder(codec, self._numbers.max_reorder)
        if codec is Codec.H264:
            self._numbers.restart()
            self._numbers.follows(data, access)
        self._decode(entry, self._sets.completed(data, access))

    def _decode(self, entry: Entry, data: bytes) -> None:
        assert self._decoder is not None
        access = entry.access
        if self._state is _State.RECOVERING and self._exact_from is None and access.picture and access.reference:
            # Frame numbers count reference pictures, so recovery_frame_cnt of them lie between here and the exact one.
            if self._recovery_left == 0:
                self._exact_from = entry.token
            self._recovery_left -= 1
        self._queue.expect(entry)
        try:
            frames = self._decoder.decode(data, entry.token)
        except av.FFmpegError:
            self._queue.settle(entry, Fate.UNDECODABLE)
            if access.reference:
                self._stop()
            return
        if not self._collect(frames):
            self._stop()

    def _collect(self, frames: Iterable[VideoFrame]) -> bool:
        """Match pictures to their units. Returns whether what is decoded next is still exact."""
        intact = True
        for frame in frames:
            entry = self._queue.take(frame.pts)
            if entry is None:
                continue
            if entry.token == self._exact_from and self._state is _State.RECOVERING:
                self._state = _State.EXACT
            if self._state is _State.RECOVERING:
                entry.fate = Fate.NO_REFERENCE
            elif frame.is_corrupt:
                entry.fate = Fate.UNDECODABLE
                if entry.access.reference:
                    intact = self._queue.spoil(entry) and intact
            else:
                entry.show(frame)
            # What should have been shown before this one and was not will never be.
            if self._codec not in _REORDERING:
                self._queue.settle_expected(Fate.UNDECODABLE, before=entry.token)
            elif entry.token >= self._idr_token:
                self._queue.settle_expected(self._missing, before=self._idr_token)
        return intact

    @property
    def _missing(self) -> Fate:
        """The fate of a unit that was decoded and whose picture never came."""
        return Fate.NO_REFERENCE if self._state is _State.RECOVERING else Fate.UNDECODABLE

    def _stop(self) -> None:
        """Take out what has been decoded and forget all references."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            self._collect(decoder.flush())
            self._queue.settle_expected(self._missing)
        self._state = _State.COLD
