"""VP8 (RFC 6386, 9.1) and VP9 (VP9 bitstream specification, 6.2 and annex B): what a frame's header says of it.

Both keep state besides pictures (entropy contexts, segment maps, motion vectors) that any frame may change, so every
frame counts as one that others refer to.
"""

from fishladder.wire.bitstream.access import Access
from fishladder.wire.bitstream.bits import Bits
from fishladder.wire.errors import WireError

_VP8_START_CODE = b"\x9d\x01\x2a"
_VP9_SYNC_CODE = 0x498342


def inspect_vp8(data: bytes) -> Access:
    """Look at a VP8 frame. Raises `WireError`."""
    tag = int.from_bytes(data[:3], "little")
    key, head_bytes = not tag & 1, 3 if tag & 1 else 10
    if len(data) < head_bytes or tag >> 1 & 7 > 3 or tag >> 5 > len(data) - head_bytes:
        raise WireError(f"a VP8 frame of {len(data)} bytes is truncated or not VP8")
    if key and data[3:6] != _VP8_START_CODE:
        raise WireError(f"a VP8 keyframe of {len(data)} bytes has no start code")
    return Access(idr=key, complete=True, picture=bool(tag >> 4 & 1))


def vp8_dimensions(data: bytes) -> tuple[int, int]:
    """Width and height of a VP8 keyframe, in pixels."""
    return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF


def inspect_vp9(data: bytes) -> Access:
    """Look at a VP9 frame or superframe. It is a keyframe if its first frame is one (shown or not, all references
    start again there), and shows a picture if any of its frames does. Raises `WireError`.
    """
    frames = vp9_frames(data)
    heads = [_vp9_head(frame) for frame in frames]
    return Access(idr=heads[0][0], complete=True, picture=any(shown for _, shown in heads))


def vp9_frames(data: bytes) -> list[bytes]:
    """The heads (up to 16 bytes) of the frames of a superframe, or of the one frame `data` is (annex B)."""
    last = data[-1]
    size_bytes, count = (last >> 3 & 3) + 1, (last & 7) + 1
    index_bytes = 2 + size_bytes * count
    if last >> 5 != 6 or len(data) < index_bytes or data[-index_bytes] != last:
        return [data[:16]]
    heads, at, end = [], 0, len(data) - index_bytes
    for field in range(end + 1, len(data) - 1, size_bytes):
        size = int.from_bytes(data[field : field + size_bytes], "little")
        if size > end - at:
            raise WireError(f"a VP9 superframe of {len(data)} bytes holds less than its index says")
        if size:
            heads.append(data[at : at + min(size, 16)])
        at += size
    if not heads:
        raise WireError("a VP9 superframe is empty")
    return heads


def _vp9_profile(bits: Bits) -> int:
    if bits.u(2) != 2:
        raise WireError("a VP9 frame does not begin with the frame marker")
    profile = bits.u(1) | bits.u(1) << 1
    if profile == 3 and bits.flag():
        raise WireError("a VP9 frame has a profile that does not exist")
    return profile


def _vp9_head(frame: bytes) -> tuple[bool, bool]:
    """Whether a frame is a keyframe, and whether it is shown."""
    bits = Bits(frame)
    _vp9_profile(bits)
    if bits.flag():
        return False, True
    key, shown = not bits.flag(), bits.flag()
    bits.flag()
    if key and bits.u(24) != _VP9_SYNC_CODE:
        raise WireError("a VP9 keyframe has no sync code")
    return key, shown


def vp9_dimensions(data: bytes) -> tuple[int, int]:
    """Width and height of a VP9 keyframe, in pixels. Raises `WireError`."""
    bits = Bits(vp9_frames(data)[0])
    profile = _vp9_profile(bits)
    bits.u(1 + 1 + 1 + 1 + 24)
    if profile >= 2:
        bits.flag()
    if bits.u(3) != 7:
        bits.u(1 + (3 if profile & 1 else 0))
    elif profile & 1:
        bits.flag()
    return bits.u(16) + 1, bits.u(16) + 1
