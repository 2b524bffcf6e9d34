"""Access units that nobody decodes: H.264 by form, of any size, and marked with which frame of a run they are, so that
they are known again behind whatever uplink they took.
"""

from fishladder.wire.bitstream.annexb import nal_at, nal_starts

_START = b"\x00\x00\x00\x01"
#: x264, 1280x720, baseline.
_SETS = _START + bytes.fromhex("6742c01fda014016e8400000030040000007a3c60ca8") + _START + bytes.fromhex("68ce0fc8")
#: The first bits of a slice: at the first macroblock, all intra or all predicted, by the parameter set 0.
_INTRA, _PREDICTED = _START + bytes.fromhex("658884"), _START + bytes.fromhex("419a24")
_FILLER = b"\xa5"
_MARK = bytes.fromhex("6669736868616464") + b"frame-no"  # the UUID of our SEI message
_DIGITS = 8
_MARK_HEAD = b"\x06\x05" + bytes([len(_MARK) + _DIGITS]) + _MARK


def marked(index: int, unit: bytes) -> bytes:
    """A unit with a message in front that says it is frame `index` of a run (below 16^8)."""
    return _START + _MARK_HEAD + b"%08x" % index + b"\x80" + unit


def synthetic(index: int, size_bytes: int, *, key: bool) -> bytes:
    """A marked unit of that size, or of the least there can be (about 100 bytes for a keyframe)."""
    unit = marked(index, _SETS + _INTRA if key else _PREDICTED)
    return unit + _FILLER * max(size_bytes - len(unit), 1)


def index_of(payload: bytes | memoryview) -> int | None:
    """Which frame a marked unit is; None for one without a mark."""
    data = bytes(payload[:4096])  # WHIP senders may put parameter sets first
    for start in nal_starts(data):
        nal = nal_at(data, start)
        if nal.startswith(_MARK_HEAD):
            return int(nal[len(_MARK_HEAD) : len(_MARK_HEAD) + _DIGITS], 16)
    return None
