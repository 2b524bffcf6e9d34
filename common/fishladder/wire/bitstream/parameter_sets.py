"""Remembers a stream's parameter sets and puts them in front of the pictures a decoder may start at, so that such a
unit needs nothing but itself. Cameras often send them once, or beside the stream.
"""

from fishladder.wire.bitstream import h264, h265
from fishladder.wire.bitstream.access import Access
from fishladder.wire.bitstream.annexb import START_CODE, join_sets, split_sets
from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec

#: Real streams have one or two of each kind.
_MAX_SETS = 64
_H264_DELIMITER, _H265_DELIMITER = 9, 35


class ParameterSets:
    """The parameter sets of one stream; of no effect for codecs that have none."""

    def __init__(self, codec: Codec, parameter_sets: bytes = b"") -> None:
        """`parameter_sets`: those known from beside the stream, with start codes (`read_extradata`)."""
        self.codec = codec
        self._sets: dict[tuple[int, int], bytes] = {}
        self.remember(parameter_sets)

    def __bool__(self) -> bool:
        return bool(self._sets)

    def remember(self, parameter_sets: bytes) -> bool:
        """Take note of `Access.parameter_sets`, and return whether any is new. One whose id cannot be read is passed
        over.
        """
        new = False
        for nal in split_sets(parameter_sets):
            try:
                key = self._set_id(nal)
            except WireError:
                continue
            new = new or self._sets.get(key) != nal
            self._sets.pop(key, None)
            self._sets[key] = nal
        while len(self._sets) > _MAX_SETS:
            del self._sets[next(iter(self._sets))]
        return new

    def completed(self, payload: bytes, access: Access) -> bytes:
        """`payload` with the remembered sets it lacks put in front (behind an access unit delimiter) if a decoder may
        start at it; else as it is.
        """
        if not self._sets or not (access.idr or access.recovery is not None):
            return payload
        present = set()
        for nal in split_sets(access.parameter_sets):
            try:
                present.add(self._set_id(nal))
            except WireError:
                continue
        missing = [nal for key, nal in sorted(self._sets.items()) if key not in present]
        if not missing:
            return payload
        at = self._delimiter_end(payload)
        return payload[:at] + join_sets(missing) + payload[at:]

    def _set_id(self, nal: bytes) -> tuple[int, int]:
        return h264.set_id(nal) if self.codec is Codec.H264 else h265.set_id(nal)

    def _delimiter_end(self, payload: bytes) -> int:
        """Where the delimiter that has to stay first ends; 0 without one."""
        start = payload.index(b"\1") + 1
        kind = payload[start] & 31 if self.codec is Codec.H264 else payload[start] >> 1 & 63
        if kind != (_H264_DELIMITER if self.codec is Codec.H264 else _H265_DELIMITER):
            return 0
        end = payload.find(START_CODE[1:], start)
        return max(end - (payload[end - 1] == 0), 0)
