"""A camera's own encoded pictures as units, untouched but for their packing: Annex B with the parameter sets in
front of each picture a decoder may start at. What each unit is, its bitstream says, not the container.
"""

from fishladder.edge.cameras.camera import Description, Packet, to_us
from fishladder.edge.capture_records import CapturedUnit
from fishladder.wire.bitstream import ParameterSets, dimensions, inspect, read_extradata, to_annexb
from fishladder.wire.errors import CameraError, WireError
from fishladder.wire.unit import NO_FLAGS, Codec, Flag

#: libav's names of the codecs a unit may have.
CODECS = {
    "h264": Codec.H264,
    "hevc": Codec.H265,
    "vp8": Codec.VP8,
    "vp9": Codec.VP9,
    "av1": Codec.AV1,
    "mjpeg": Codec.JPEG,
}
_LONGEST_US = 10_000_000


class Passthrough:
    """Turns packets into units, one for one. Raises `CameraError` for a codec that units do not have."""

    def __init__(self, camera: Description) -> None:
        codec = CODECS.get(camera.codec)
        if codec is None:
            raise CameraError(
                f'{camera.codec} cannot be passed on (only {", ".join(CODECS)}): use mode = "encode" for this camera'
            )
        self.codec = codec
        self._size = (camera.width, camera.height)
        self._interval_us = round(1e6 / camera.fps) if camera.fps else 0
        self._reorders = camera.reorders
        self._last_pts_us: int | None = None
        self._last_dts_us: int | None = None
        self._sets = ParameterSets(codec)
        self._length_size: int | None = None
        self._beside(camera.extradata)

    def take(self, item: Packet) -> CapturedUnit:
        if item.packet.has_sidedata("new_extradata"):
            self._beside(bytes(item.packet.get_sidedata("new_extradata")))
        payload, flags = self._payload(bytes(item.packet))
        width, height = self._size
        return CapturedUnit(
            self.codec, flags, width, height, self._duration_us(item), item.pts_us, item.mono_us, payload
        )

    def _beside(self, extradata: bytes) -> None:
        """Take note of what the container says once for all pictures."""
        try:
            found = read_extradata(self.codec, extradata)
        except WireError as error:
            raise CameraError(f"the container's {self.codec.label} header is damaged: {error}") from None
        self._sets.remember(found.parameter_sets)
        self._length_size = found.length_size

    def _payload(self, data: bytes) -> tuple[bytes, Flag]:
        """Damaged pictures go as they are and unflagged: the decoder at the other end gives them their fate."""
        try:
            if self._length_size is not None:
                data = to_annexb(data, self._length_size)
            access = inspect(self.codec, data)
            if access.parameter_sets:
                self._sets.remember(access.parameter_sets)
            completed = self._sets.completed(data, access)
            if completed is not data:
                data, access = completed, inspect(self.codec, completed)
            if access.clean:
                self._size = dimensions(self.codec, data) or self._size
            return data, access.flags
        except WireError:
            return data, NO_FLAGS

    def _duration_us(self, item: Packet) -> int:
        """Time since the picture shown before this one: by the pts, or nominal where pictures are reordered."""
        before, self._last_pts_us = self._last_pts_us, item.pts_us
        dts_before, self._last_dts_us = self._last_dts_us, item.dts_us
        if before is not None and item.pts_us < before:
            self._reorders = True
        base = item.packet.time_base
        nominal = (to_us(item.packet.duration, base) if item.packet.duration and base else 0) or self._interval_us
        delta = item.pts_us - before if before is not None else 0
        if not self._reorders and 0 < delta < _LONGEST_US:
            return delta
        if nominal:
            return nominal
        return item.dts_us - dts_before if dts_before is not None and item.dts_us > dts_before else 0
