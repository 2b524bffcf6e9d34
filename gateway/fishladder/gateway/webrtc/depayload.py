"""RTP payload formats: what a packet holds of an H.264 (RFC 6184) or VP8 (RFC 7741) access unit. Pure. The parts of a
unit only have to be joined in the order of their sequence numbers.
"""

from collections.abc import Callable

from fishladder.wire.bitstream.annexb import START_CODE
from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec

_STAP_A, _FU_A = 24, 28


def h264(payload: bytes) -> bytes:
    """NAL units behind start codes, or a piece of one. Raises `WireError` for what packetization modes 0 and 1 have
    not.
    """
    if len(payload) < 2:
        raise WireError("an H.264 payload of less than 2 bytes")
    kind = payload[0] & 31
    if 0 < kind < _STAP_A:
        return START_CODE + payload
    if kind == _FU_A:
        head = payload[1]
        if head & 0x80:
            return b"\0\0\0\1" + bytes((payload[0] & 0xE0 | head & 31,)) + payload[2:]
        return payload[2:]
    if kind == _STAP_A:
        parts, at, end = [], 1, len(payload)
        while at + 2 <= end:
            size = payload[at] << 8 | payload[at + 1]
            at += 2
            if not size or at + size > end:
                raise WireError("an H.264 aggregation packet is cut off")
            parts += [START_CODE, payload[at : at + size]]
            at += size
        return b"".join(parts)
    raise WireError(f"an H.264 payload of kind {kind}")


def vp8(payload: bytes) -> bytes:
    """The frame's bytes behind the payload descriptor (RFC 7741 section 4.2). Raises `WireError`."""
    if not payload:
        raise WireError("a VP8 payload of no bytes")
    at = 1
    if payload[0] & 0x80:
        if len(payload) < 3:
            raise WireError("a VP8 payload descriptor is cut off")
        more = payload[1]
        at = 2
        if more & 0x80:
            at += 2 if payload[at] & 0x80 else 1
        if more & 0x40:
            at += 1
        if more & 0x30:
            at += 1
    if at >= len(payload):
        raise WireError("a VP8 payload descriptor is cut off")
    return payload[at:]


DEPAYLOAD: dict[Codec, Callable[[bytes], bytes]] = {Codec.H264: h264, Codec.VP8: vp8}
