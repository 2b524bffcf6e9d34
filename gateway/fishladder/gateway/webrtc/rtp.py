"""The RTP header (RFC 3550) and the few header extensions (RFC 8285) a receiver of one video needs. Pure; what the
payload means is `depayload`'s business.
"""

import struct

import msgspec

from fishladder.wire.errors import WireError

_HEADER = struct.Struct(">BBHII")
_EXTENSION = struct.Struct(">HH")
_ONE_BYTE, _TWO_BYTE = 0xBEDE, 0x1000
_END_OF_ONE_BYTE = 15

TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"


class RtpPacket(msgspec.Struct, frozen=True, gc=False):
    payload_type: int
    marker: bool
    seq: int
    timestamp: int
    ssrc: int
    payload: bytes
    extensions: dict[int, bytes] | None = None  #: by the id agreed on in SDP


def parse(data: bytes) -> RtpPacket:
    """Take an RTP packet apart. Raises `WireError`."""
    if len(data) < 12:
        raise WireError(f"an RTP packet of {len(data)} bytes")
    first, second, seq, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise WireError(f"RTP version {first >> 6}")
    at, end = 12 + 4 * (first & 15), len(data)
    extensions = None
    if first & 16:
        if at + 4 > end:
            raise WireError("an RTP header extension is cut off")
        profile, words = _EXTENSION.unpack_from(data, at)
        at += 4
        stop = at + 4 * words
        if stop > end:
            raise WireError("an RTP header extension is cut off")
        extensions = _extensions(profile, data, at, stop)
        at = stop
    if first & 32:
        end -= data[-1]
        if not data[-1]:
            raise WireError("RTP padding of no bytes")
    if at > end:
        raise WireError("an RTP header is longer than its packet")
    return RtpPacket(second & 127, second > 127, seq, timestamp, ssrc, data[at:end], extensions)


def _extensions(profile: int, data: bytes, at: int, end: int) -> dict[int, bytes] | None:
    """Extensions by id. What is cut off is left out: it says nothing of the payload."""
    found: dict[int, bytes] = {}
    if profile == _ONE_BYTE:
        while at < end:
            head = data[at]
            at += 1
            if not head:
                continue
            if head >> 4 == _END_OF_ONE_BYTE:
                break
            size = (head & 15) + 1
            if at + size > end:
                break
            found[head >> 4] = data[at : at + size]
            at += size
    elif profile & 0xFFF0 == _TWO_BYTE:
        while at + 1 < end:
            head, size = data[at], data[at + 1]
            at += 1
            if not head:
                continue
            at += 1
            if at + size > end:
                break
            found[head] = data[at : at + size]
            at += size
    return found


def step(difference: int, bits: int) -> int:
    """The smallest step that leads to a wrapped number of `bits` bits."""
    half = 1 << (bits - 1)
    return ((difference + half) & ((1 << bits) - 1)) - half
