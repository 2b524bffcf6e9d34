"""RTCP (RFC 3550, RFC 4585) as far as a receiver of one video needs it: sender reports and goodbyes are read; receiver
reports, NACK, PLI and REMB are written. Pure.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fishladder.wire.errors import WireError

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206
#: Format of transport-wide feedback, `transport_cc`.
TRANSPORT_FEEDBACK = 15
_NACK, _PLI, _APPLICATION = 1, 1, 15

_HEAD = struct.Struct(">BBH")
_SENDER = struct.Struct(">IQIII")
_BLOCK = struct.Struct(">IIIIII")
_MOST_LOST, _LEAST_LOST = (1 << 23) - 1, -(1 << 23)


class SenderReport(NamedTuple):
    ssrc: int
    ntp: int  #: 64 bits: seconds since 1900 and their fraction
    timestamp: int  #: RTP time of the same moment


class Bye(NamedTuple):
    ssrcs: tuple[int, ...]


class Block(NamedTuple):
    """What a receiver reports of one sender. `lost` of 256 in the last interval, `lost_total` since the beginning."""

    ssrc: int
    lost: int
    lost_total: int
    highest: int
    jitter: int
    last_report: int  #: middle 32 bits of the last sender report's `ntp`, 0 if there was none
    since_report: int  #: since it came, in 1/65536 s


def parse(data: bytes) -> list[SenderReport | Bye]:
    """What a compound packet says that concerns us; the rest is passed over. Raises `WireError`."""
    found: list[SenderReport | Bye] = []
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise WireError("an RTCP header is cut off")
        first, kind, words = _HEAD.unpack_from(data, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise WireError(f"an RTCP packet of kind {kind} is cut off, or of version {first >> 6}")
        body = data[at + 4 : end]
        if kind == SR and len(body) >= _SENDER.size:
            ssrc, ntp, timestamp, _, _ = _SENDER.unpack_from(body)
            found.append(SenderReport(ssrc, ntp, timestamp))
        elif kind == BYE:
            count = min(first & 31, len(body) // 4)
            found.append(Bye(struct.unpack_from(f">{count}I", body)))
        at = end
    return found


def receiver_report(ssrc: int, blocks: Sequence[Block] = ()) -> bytes:
    body = struct.pack(">I", ssrc)
    for block in blocks:
        lost = max(_LEAST_LOST, min(block.lost_total, _MOST_LOST)) & 0xFFFFFF
        body += _BLOCK.pack(
            block.ssrc,
            block.lost << 24 | lost,
            block.highest & 0xFFFFFFFF,
            block.jitter & 0xFFFFFFFF,
            block.last_report,
            block.since_report & 0xFFFFFFFF,
        )
    return _packet(RR, len(blocks), body)


def nack(ssrc: int, media: int, seqs: Iterable[int]) -> bytes:
    """Ask for packets again (RFC 4585 section 6.2.1); `seqs` ascending, before they are wrapped to 16 bits."""
    words = b""
    first = mask = None
    for seq in seqs:
        if first is not None and mask is not None and seq - first <= 16:
            mask |= 1 << (seq - first - 1)
            continue
        if first is not None and mask is not None:
            words += struct.pack(">HH", first & 0xFFFF, mask)
        first, mask = seq, 0
    if first is not None and mask is not None:
        words += struct.pack(">HH", first & 0xFFFF, mask)
    return feedback(RTPFB, _NACK, ssrc, media, words)


def pli(ssrc: int, media: int) -> bytes:
    """Ask for a keyframe (RFC 4585 section 6.3.1)."""
    return feedback(PSFB, _PLI, ssrc, media, b"")


def remb(ssrc: int, bitrate_bps: int, media: Sequence[int]) -> bytes:
    """Say what the link seems to carry (draft-alvestrand-rmcat-remb-03)."""
    exponent = max(bitrate_bps.bit_length() - 18, 0)
    mantissa = bitrate_bps >> exponent
    words = b"REMB" + struct.pack(">I", len(media) << 24 | exponent << 18 | mantissa)
    return feedback(PSFB, _APPLICATION, ssrc, 0, words + b"".join(struct.pack(">I", one) for one in media))


def feedback(kind: int, form: int, ssrc: int, media: int, words: bytes) -> bytes:
    return _packet(kind, form, struct.pack(">II", ssrc, media) + words)


def _packet(kind: int, count: int, body: bytes) -> bytes:
    assert len(body) % 4 == 0
    return _HEAD.pack(0x80 | count, kind, len(body) // 4) + body
