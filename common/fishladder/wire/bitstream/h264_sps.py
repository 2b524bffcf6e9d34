"""H.264 sequence parameter sets (ITU-T H.264, 7.3.2.1.1 and E.1.1) as far as they say how big pictures are, how they
are numbered and whether they are shown in another order than decoded; and a slice's number.
"""

from typing import NamedTuple

from fishladder.wire.bitstream.bits import Bits, unescape
from fishladder.wire.errors import WireError

#: The fields up to frame_num have at most 13 bytes.
_SLICE_HEADER_BYTES = 24
#: Profiles whose SPS carries chroma format and scaling lists.
_HIGH = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
#: Max DPB size in macroblocks by level_idc (table A-1).
_DPB_MACROBLOCKS = {
    9: 396, 10: 396, 11: 900, 12: 2376, 13: 2376, 20: 2376, 21: 4752, 22: 8100, 30: 8100, 31: 18000, 32: 20480,
    40: 32768, 41: 32768, 42: 34816, 50: 110400, 51: 184320, 52: 184320, 60: 696320, 61: 696320, 62: 696320,
}  # fmt: skip


class Sps(NamedTuple):
    number: int  #: seq_parameter_set_id
    width: int  #: of the shown picture, in pixels
    height: int
    frame_num_bits: int
    gaps_allowed: bool  #: gaps_in_frame_num_value_allowed_flag
    planes_apart: bool  #: separate_colour_plane_flag
    max_reorder: int  #: how many pictures may be decoded before one that is shown earlier, at most


def read_sps(nal: bytes) -> Sps:
    """Read an SPS (NAL unit with its header byte). Raises `WireError`."""
    bits = Bits(unescape(nal[1:]))
    profile, constraints, level = bits.u(8), bits.u(8), bits.u(8)
    number = bits.ue()
    chroma, planes_apart = 1, False
    if profile in _HIGH:
        chroma = bits.ue()
        if chroma == 3:
            planes_apart = bits.flag()
        bits.ue(), bits.ue(), bits.flag()
        if bits.flag():
            for index in range(8 if chroma != 3 else 12):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_num_bits = bits.ue() + 4
    order_type = bits.ue()
    if order_type == 0:
        bits.ue()
    elif order_type == 1:
        bits.flag(), bits.se(), bits.se()
        for _ in range(min(bits.ue(), 255)):
            bits.se()
    references, gaps_allowed = bits.ue(), bits.flag()
    columns, rows = bits.ue() + 1, bits.ue() + 1
    frames_only = bits.flag()
    rows *= 1 if frames_only else 2
    if not frames_only:
        bits.flag()
    bits.flag()
    left = right = top = bottom = 0
    if bits.flag():
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
    unit_x = 2 if chroma in (1, 2) else 1
    unit_y = (2 if chroma == 1 else 1) * (1 if frames_only else 2)
    width, height = 16 * columns - unit_x * (left + right), 16 * rows - unit_y * (top + bottom)
    if frame_num_bits > 16 or number > 31 or not (0 < width <= 16384 and 0 < height <= 16384):
        raise WireError(f"an H.264 SPS describes no picture anyone can show ({width}x{height})")
    reorder = _vui_reorder(bits) if bits.flag() else None
    if reorder is None:
        # Baseline (66), Constrained High (constraint_set5), intra profiles (constraint_set3) and order type 2 have
        # nothing to reorder. Else it is at most what the level has room for, and an encoder that decodes pictures
        # ahead of their turn does so to refer to them, beside at least one before.
        ordered = order_type == 2 or profile == 66 or (profile in _HIGH and bool(constraints & 0x14))
        room = _DPB_MACROBLOCKS.get(level, 696320) // (columns * rows)
        reorder = 0 if ordered else max(min(room, references - 1), 0)
    return Sps(number, width, height, frame_num_bits, gaps_allowed, planes_apart, min(reorder, 16))


def _skip_scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _vui_reorder(bits: Bits) -> int | None:
    """max_num_reorder_frames of the VUI; None if it is not there."""
    if bits.flag() and bits.u(8) == 255:
        bits.u(32)
    if bits.flag():
        bits.flag()
    if bits.flag():
        bits.u(4)
        if bits.flag():
            bits.u(24)
    if bits.flag():
        bits.ue(), bits.ue()
    if bits.flag():
        bits.u(65)
    if _skip_hrd(bits) | _skip_hrd(bits):
        bits.flag()
    bits.flag()
    if not bits.flag():
        return None
    bits.flag()
    for _ in range(4):
        bits.ue()
    return bits.ue()


def _skip_hrd(bits: Bits) -> bool:
    """Whether there are HRD parameters; they are skipped."""
    if not bits.flag():
        return False
    count = bits.ue() + 1
    bits.u(8)
    for _ in range(min(count, 32)):
        bits.ue(), bits.ue(), bits.flag()
    bits.u(20)
    return True


def slice_pps(data: bytes, start: int) -> tuple[Bits, int]:
    """The header of the slice whose NAL header is at `start`, read up to and with its pic_parameter_set_id."""
    bits = Bits(unescape(data[start + 1 : start + _SLICE_HEADER_BYTES]))
    bits.ue(), bits.ue()
    return bits, bits.ue()


def frame_num(bits: Bits, sps: Sps) -> int:
    """frame_num of the slice that `slice_pps` has begun to read. Raises `WireError`."""
    if sps.planes_apart:
        bits.u(2)
    return bits.u(sps.frame_num_bits)


def pps_ids(nal: bytes) -> tuple[int, int]:
    """Ids of a PPS and of the SPS it belongs to. Raises `WireError`."""
    bits = Bits(unescape(nal[1:16]))
    return bits.ue(), bits.ue()
