"""H.264 (ITU-T H.264): what a unit's NAL headers and SEI messages say of it, and its parameter sets' ids. Sequence
parameter sets are read in `h264_sps`.
"""

from fishladder.wire.bitstream.access import Access
from fishladder.wire.bitstream.annexb import join_sets, nal_at, nal_starts
from fishladder.wire.bitstream.bits import Bits, unescape
from fishladder.wire.errors import WireError

SLICE, PARTITION_A, IDR, SEI, SPS, PPS = 1, 2, 5, 6, 7, 8
_RECOVERY_POINT = 6
_MAX_SEI_MESSAGES = 32


def inspect(data: bytes) -> Access:
    """Look at a unit up to its first slice. Raises `WireError` if it is not Annex B."""
    sets: list[bytes] = []
    kinds = 0
    recovery: int | None = None
    for start in nal_starts(data):
        header = data[start] if start < len(data) else 0x80
        if header & 0x80:
            raise WireError(f"byte {start} of a unit of {len(data)} is not a NAL unit's header")
        kind = header & 31
        if kind in (SLICE, PARTITION_A, IDR):
            joined = join_sets(sets) if sets else b""
            return Access(kind == IDR, recovery, header & 0x60 != 0, True, joined, kinds == 3, start)
        if kind in (SPS, PPS):
            sets.append(nal_at(data, start))
            kinds |= 1 if kind == SPS else 2
        elif kind == SEI:
            recovery = _recovery(nal_at(data, start)) if recovery is None else recovery
    return Access(False, None, False, False, join_sets(sets), kinds == 3)


def _recovery(sei: bytes) -> int | None:
    """recovery_frame_cnt of a recovery point (D.2.8) that promises exactness; None for any other message.

    Without exact_match_flag what follows is only like the original, and to be like it is not to be it.
    """
    payload = unescape(sei[1:])
    at = 0
    try:
        for _ in range(_MAX_SEI_MESSAGES):
            kind = size = 0
            while (byte := payload[at]) == 0xFF:
                kind, at = kind + 255, at + 1
            kind, at = kind + byte, at + 1
            while (byte := payload[at]) == 0xFF:
                size, at = size + 255, at + 1
            size, at = size + byte, at + 1
            if kind == _RECOVERY_POINT:
                bits = Bits(payload[at : at + size])
                count, exact = bits.ue(), bits.flag()
                return count if exact and count < 1 << 16 else None
            at += size
    except (IndexError, WireError):
        return None  # SEI is advice: a damaged one says nothing, and the slices still count
    return None


def set_id(nal: bytes) -> tuple[int, int]:
    """Kind and id of a parameter set. Raises `WireError`."""
    kind = nal[0] & 31
    number = Bits(unescape(nal[4:16] if kind == SPS else nal[1:9])).ue()
    if number > (31 if kind == SPS else 255):
        raise WireError(f"an H.264 parameter set's id {number} is out of range")
    return kind, number
