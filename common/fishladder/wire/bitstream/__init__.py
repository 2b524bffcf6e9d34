"""What units say of themselves without being decoded: where a decoder may start, what others refer to, which parameter
sets they bring. Works on headers alone, in time linear in the unit, and on any bytes: what is not the codec's syntax
is a `WireError`, whatever it is made of.
"""

from collections.abc import Callable

from fishladder.wire.bitstream import av1, h264, h264_sps, h265, jpeg, vpx
from fishladder.wire.bitstream.access import Access
from fishladder.wire.bitstream.annexb import Extradata, read_extradata, split_sets, to_annexb
from fishladder.wire.bitstream.parameter_sets import ParameterSets
from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec

__all__ = ["Access", "Extradata", "ParameterSets", "dimensions", "inspect", "read_extradata", "to_annexb"]

_INSPECT: dict[Codec, Callable[[bytes], Access]] = {
    Codec.H264: h264.inspect,
    Codec.H265: h265.inspect,
    Codec.VP8: vpx.inspect_vp8,
    Codec.VP9: vpx.inspect_vp9,
    Codec.AV1: av1.inspect,
    Codec.JPEG: jpeg.inspect,
}


def inspect(codec: Codec, payload: bytes | memoryview) -> Access:
    """Look at a unit. Raises `WireError` if its bytes are not `codec`'s syntax; whether what they say can be decoded
    only a decoder knows.
    """
    data = payload if isinstance(payload, bytes) else bytes(payload)
    if not data:
        raise WireError(f"an empty {codec.label} unit")
    return _INSPECT[codec](data)


def dimensions(codec: Codec, payload: bytes | memoryview) -> tuple[int, int] | None:
    """Width and height in pixels of a unit that `inspect` calls clean (or of H.264 and H.265 parameter sets alone);
    None where it does not say. Raises `WireError`.
    """
    data = payload if isinstance(payload, bytes) else bytes(payload)
    access = inspect(codec, data)
    if codec in (Codec.H264, Codec.H265):
        for nal in split_sets(access.parameter_sets):
            if codec is Codec.H264 and nal[0] & 31 == h264.SPS:
                sps = h264_sps.read_sps(nal)
                return sps.width, sps.height
            if codec is Codec.H265 and nal[0] >> 1 & 63 == h265.SPS:
                return h265.dimensions(nal)
        return None
    if not access.idr:
        return None
    if codec is Codec.VP8:
        return vpx.vp8_dimensions(data)
    if codec is Codec.VP9:
        return vpx.vp9_dimensions(data)
    return av1.dimensions(data) if codec is Codec.AV1 else jpeg.dimensions(data)
