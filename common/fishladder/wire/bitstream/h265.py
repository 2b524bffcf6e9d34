"""H.265 (ITU-T H.265): what a unit's NAL headers say of it, its parameter sets' ids, and the picture size."""

from fishladder.wire.bitstream.access import Access
from fishladder.wire.bitstream.annexb import join_sets, nal_at, nal_starts
from fishladder.wire.bitstream.bits import Bits, unescape
from fishladder.wire.errors import WireError

RASL_N, RASL_R, BLA_W_LP, BLA_W_RADL, BLA_N_LP, IDR_W_RADL, IDR_N_LP, CRA = 8, 9, 16, 17, 18, 19, 20, 21
VPS, SPS, PPS = 32, 33, 34
#: Decoding that starts here shows all that any decoder shows: after a BLA nobody decodes its RASL pictures.
_IDR = frozenset((BLA_W_LP, BLA_W_RADL, BLA_N_LP, IDR_W_RADL, IDR_N_LP))
_LAST_VCL = 31
_LAST_SUB_LAYER_NON_REFERENCE = 14


def inspect(data: bytes) -> Access:
    """Look at a unit up to its first slice. Raises `WireError` if it is not Annex B."""
    sets: list[bytes] = []
    kinds = 0
    for start in nal_starts(data):
        if start + 1 >= len(data) or data[start] & 0x80 or not data[start + 1] & 7:
            raise WireError(f"byte {start} of a unit of {len(data)} is not a NAL unit's header")
        kind = data[start] >> 1 & 63
        if data[start] & 1 or data[start + 1] & 0xF8:
            continue  # another layer, for decoders of multi-layer extensions
        if kind <= _LAST_VCL:
            # A sub-layer non-reference picture may still be referred to from higher sub-layers; at sub-layer 0 no
            # encoder does that, above it only the SPS could tell.
            non_reference = kind <= _LAST_SUB_LAYER_NON_REFERENCE and not kind & 1 and data[start + 1] & 7 == 1
            return Access(
                idr=kind in _IDR,
                recovery=0 if kind == CRA else None,
                reference=not non_reference,
                parameter_sets=join_sets(sets),
                complete=kinds == 7,
                rasl=kind in (RASL_N, RASL_R),
            )
        if VPS <= kind <= PPS:
            sets.append(nal_at(data, start))
            kinds |= 1 << kind - VPS
    return Access(reference=False, picture=False, parameter_sets=join_sets(sets), complete=kinds == 7)


def _sps_bits(nal: bytes) -> tuple[Bits, int]:
    """An SPS read up to and with its id."""
    bits = Bits(unescape(nal[2:]))
    bits.u(4)
    sub_layers = bits.u(3)
    bits.flag()
    bits.u(88 + 8)
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers)]
    if sub_layers:
        bits.u(2 * (8 - sub_layers))
    for profile, level in present:
        bits.u((88 if profile else 0) + (8 if level else 0))
    return bits, bits.ue()


def dimensions(sps: bytes) -> tuple[int, int]:
    """Width and height of the shown picture, in pixels. Raises `WireError`."""
    bits, _ = _sps_bits(sps)
    chroma = bits.ue()
    if chroma == 3:
        bits.flag()
    width, height = bits.ue(), bits.ue()
    if bits.flag():
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= (left + right) * (2 if chroma in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma == 1 else 1)
    if not (0 < width <= 16384 and 0 < height <= 16384):
        raise WireError(f"an H.265 SPS describes no picture anyone can show ({width}x{height})")
    return width, height


def set_id(nal: bytes) -> tuple[int, int]:
    """Kind and id of a parameter set. Raises `WireError`."""
    kind = nal[0] >> 1 & 63
    if kind == VPS:
        return kind, Bits(nal[2:3]).u(4)
    number = _sps_bits(nal)[1] if kind == SPS else Bits(unescape(nal[2:12])).ue()
    if number > (15 if kind == SPS else 63):
        raise WireError(f"an H.265 parameter set's id {number} is out of range")
    return kind, number
