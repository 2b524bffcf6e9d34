"""NAL units and the ways they are packed: behind start codes (Annex B, what units carry) or behind their length (as in
MP4 and many RTSP stacks), with parameter sets beside the stream in an avcC or hvcC record (ISO/IEC 14496-15).
"""

from collections.abc import Iterator
from typing import NamedTuple

from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec

START_CODE = b"\0\0\0\1"
_SHORT_START_CODE = b"\0\0\1"
#: How far into a unit its first start code may lie (zero bytes may stand before it).
_LEAD_BYTES = 64
#: NAL units looked at before the first slice: real units have fewer than ten.
_MAX_NALS = 64
#: Real parameter sets and SEI messages have a few hundred bytes; what lies behind this is not looked at.
_MAX_NAL_BYTES = 4096


def nal_starts(data: bytes) -> Iterator[int]:
    """Where each NAL unit's header stands. Stop asking at the first slice: what lies behind it is then
    never scanned. Raises `WireError` if `data` does not begin with a start code, or has no slice among the first 64.
    """
    at = data.find(_SHORT_START_CODE, 0, _LEAD_BYTES)
    if at < 0 or data.count(0, 0, at) != at:
        raise WireError(f"a unit of {len(data)} bytes does not begin with an Annex B start code")
    for _ in range(_MAX_NALS):
        start = at + 3
        yield start
        at = data.find(_SHORT_START_CODE, start)
        if at < 0:
            return
    raise WireError(f"a unit of {len(data)} bytes has {_MAX_NALS} NAL units and no slice among them")


def nal_at(data: bytes, start: int) -> bytes:
    """The NAL unit whose header is at `start`, without the zero bytes that may trail it; of one over 4 KB its head."""
    end = data.find(_SHORT_START_CODE, start, start + _MAX_NAL_BYTES)
    return data[start : start + _MAX_NAL_BYTES if end < 0 else end].rstrip(b"\0")


def split_sets(parameter_sets: bytes) -> list[bytes]:
    """The NAL units of `Access.parameter_sets`."""
    return [nal for nal in parameter_sets.split(START_CODE) if nal]


def join_sets(nals: list[bytes]) -> bytes:
    return b"".join(START_CODE + nal for nal in nals)


def to_annexb(payload: bytes | memoryview, length_size: int) -> bytes:
    """Put start codes where NAL units stand behind lengths of `length_size` bytes. Raises `WireError` if the lengths
    do not add up.
    """
    view, at = memoryview(payload), 0
    parts: list[bytes | memoryview] = []
    while at < len(view):
        size = int.from_bytes(view[at : at + length_size], "big")
        at += length_size
        if size == 0 and at <= len(view):
            continue
        if at + size > len(view):
            raise WireError(f"a NAL unit of {size} bytes at {at} reaches over the end of its unit ({len(view)} bytes)")
        parts += (START_CODE, view[at : at + size])
        at += size
    return b"".join(parts)


class Extradata(NamedTuple):
    """What stands beside a stream: its parameter sets (Annex B), and how its units are packed."""

    parameter_sets: bytes
    length_size: int | None  #: None: units have start codes already; else pass it to `to_annexb`


def read_extradata(codec: Codec, extradata: bytes) -> Extradata:
    """Read an avcC or hvcC record, or parameter sets with start codes; empty for none. Raises `WireError`."""
    if codec not in (Codec.H264, Codec.H265) or not extradata:
        return Extradata(b"", None)
    if extradata.startswith((START_CODE, _SHORT_START_CODE)):
        nals = [nal for part in extradata.split(_SHORT_START_CODE) if (nal := part.rstrip(b"\0"))]
        return Extradata(join_sets(nals), None)
    read = _read_avcc if codec is Codec.H264 else _read_hvcc
    try:
        return read(extradata)
    except IndexError:
        raise WireError(f"a {codec.label} configuration record of {len(extradata)} bytes is truncated") from None


def _read_avcc(record: bytes) -> Extradata:
    nals: list[bytes] = []
    at = _read_nals(record, 6, record[5] & 31, nals)
    _read_nals(record, at + 1, record[at], nals)
    return Extradata(join_sets(nals), (record[4] & 3) + 1)


def _read_hvcc(record: bytes) -> Extradata:
    nals: list[bytes] = []
    at = 23
    for _ in range(record[22]):
        found: list[bytes] = []
        kind = record[at] & 63
        at = _read_nals(record, at + 3, record[at + 1] << 8 | record[at + 2], found)
        nals += found if kind in (32, 33, 34) else []
    return Extradata(join_sets(nals), (record[21] & 3) + 1)


def _read_nals(record: bytes, at: int, count: int, nals: list[bytes]) -> int:
    """Append `count` NAL units, each behind a 2-byte length, and return where they end."""
    for _ in range(count):
        end = at + 2 + (record[at] << 8 | record[at + 1])
        if end > len(record):
            raise IndexError
        nals.append(record[at + 2 : end])
        at = end
    return at
