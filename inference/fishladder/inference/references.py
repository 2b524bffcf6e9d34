"""Notices from H.264 frame numbers that a picture others refer to never arrived, as when a camera's own network lost
it. Decoders conceal that without a word and show something made up.
"""

from fishladder.wire.bitstream import Access, h264, h264_sps
from fishladder.wire.bitstream.annexb import split_sets
from fishladder.wire.bitstream.h264_sps import Sps
from fishladder.wire.errors import WireError


class FrameNumbers:
    """The frame numbers of one H.264 stream (ITU-T H.264, 7.4.3)."""

    def __init__(self) -> None:
        self._sps: dict[int, Sps] = {}
        self._sps_of_pps: dict[int, int] = {}
        self._previous: int | None = None  # PrevRefFrameNum

    @property
    def max_reorder(self) -> int:
        """How many pictures may be decoded before one that is shown earlier, at most."""
        return max((sps.max_reorder for sps in self._sps.values()), default=0)

    def remember(self, parameter_sets: bytes) -> None:
        """Take note of `Access.parameter_sets`. One that cannot be read is left to the decoder to refuse."""
        for nal in split_sets(parameter_sets):
            try:
                if nal[0] & 31 == h264.SPS:
                    sps = h264_sps.read_sps(nal)
                    self._sps[sps.number] = sps
                else:
                    pps, sps_number = h264_sps.pps_ids(nal)
                    if pps < 256:
                        self._sps_of_pps[pps] = sps_number
            except WireError:
                continue

    def restart(self) -> None:
        """Decoding starts anew: whatever number comes next follows."""
        self._previous = None

    def follows(self, payload: bytes, access: Access) -> bool:
        """Whether all pictures that may be referred to arrived between the last unit and this one. True where the
        stream may have gaps on purpose, or cannot be read: then it is the decoder that notices.
        """
        if access.slice_at is None:
            return True
        try:
            bits, pps = h264_sps.slice_pps(payload, access.slice_at)
            sps = self._sps[self._sps_of_pps[pps]]
            number = h264_sps.frame_num(bits, sps)
        except (KeyError, WireError):
            return True
        previous = self._previous
        if access.reference or access.idr:
            self._previous = number
        if access.idr or previous is None or sps.gaps_allowed:
            return True
        return number in (previous, (previous + 1) % (1 << sps.frame_num_bits))
