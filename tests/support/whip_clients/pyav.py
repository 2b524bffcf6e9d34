"""FFmpeg's WHIP muxer, as PyAV carries it: `python pyav.py URL TOKEN CERT KEY`, until it is killed."""

import sys
import time
from fractions import Fraction

import av
import numpy as np


def main() -> None:
    url, token, cert, key = sys.argv[1:]
    options = {"cert_file": cert, "key_file": key, "authorization": token}
    with av.open(url, "w", format="whip", options=options) as container:
        settings = {"profile": "baseline", "tune": "zerolatency", "preset": "ultrafast"}
        stream = container.add_stream("libx264", rate=15, options=settings)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 240, "yuv420p", 15
        stream.bit_rate = 500_000
        began = time.monotonic()
        for index in range(15 * 600):
            frame = av.VideoFrame.from_ndarray(np.full((360, 320), 40 + index % 160, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 15)
            for packet in stream.encode(frame):
                container.mux(packet)
            time.sleep(max(0.0, began + (index + 1) / 15 - time.monotonic()))


main()
