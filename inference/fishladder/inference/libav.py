"""Opens libav's decoders so that they tell of damage instead of hiding it, hold no more pictures back than the stream
asks for, and run on one thread. Which unit a picture came from is told by the packet's pts, a plain counter. Damage
that still parses goes unseen in VP8, VP9 and H.265 without picture hashes: links carry units whole or not at all.
"""

import av
from av.codec.context import Flags
from av.video.frame import VideoFrame

from fishladder.wire.unit import Codec

_DECODERS = {
    Codec.H264: "h264",
    Codec.H265: "hevc",
    Codec.VP8: "vp8",
    Codec.VP9: "vp9",
    Codec.AV1: "libdav1d",
    Codec.JPEG: "mjpeg",
}
#: H.264 has none: its pictures with errors come out flagged, and to raise would swallow the intact one due just then.
_OPTIONS = {
    Codec.H265: {"err_detect": "crccheck+explode"},
    Codec.AV1: {"max_frame_delay": "1"},
    Codec.JPEG: {"err_detect": "explode"},
}
#: 8K with room to spare; a damaged header that asks for more does not get the memory.
_MAX_PIXELS = 8192 * 4608


class Decoder:
    """One run of libav's decoder for `codec`, from an entry point on.

    `max_reorder` (H.264): libav guesses how many pictures are out of order when the stream does not say, starts at
    none and drops pictures until it has learnt; so it is told.
    """

    def __init__(self, codec: Codec, max_reorder: int) -> None:
        context = av.CodecContext.create(_DECODERS[codec], "r")
        assert isinstance(context, av.VideoCodecContext)
        context.thread_count = 1
        context.options = {"max_pixels": str(_MAX_PIXELS), **_OPTIONS.get(codec, {})}
        # Pictures that are not exact are recognised here, by rules that hold for every codec, not left out by libav.
        context.flags |= Flags.output_corrupt
        if max_reorder:
            context.reorder_depth = max_reorder
        self._context = context

    def decode(self, payload: bytes, token: int) -> list[VideoFrame]:
        """Pictures that are due, with the token of their unit as `pts`. Raises `av.FFmpegError`."""
        packet = av.Packet(payload)
        packet.pts = token
        return self._context.decode(packet)

    def flush(self) -> list[VideoFrame]:
        """The pictures held back. The decoder is used up."""
        try:
            return self._context.decode(None)
        except av.FFmpegError:
            return []  # what it still held cannot be shown; the caller settles it as missing
