"""`test:` cameras: a box moving over a drifting background, and a counter written into each picture as black and white
cells, so that whoever decodes it can say which picture it was.
"""

import re
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from fishladder.edge.cameras.camera import Description, Packet, Picture
from fishladder.edge.pacing import pause
from fishladder.wire.errors import ConfigError

Luma = npt.NDArray[np.uint8]

#: The counter is this many bits, most significant first, in a row of square cells in the top left corner.
COUNTER_BITS = 16
_SPEC = re.compile(r"(?:(\d+)x(\d+))?(?:@(\d+(?:\.\d+)?))?")


def _cell(width: int) -> int:
    return min(max(width // (COUNTER_BITS + 2), 4), 16)


def draw(index: int, width: int, height: int) -> VideoFrame:
    """Picture `index` (yuv420p)."""
    ramp = (np.arange(width) * 2 + 2 * index) % 160
    rows = (np.arange(height)[:, None] // 8 * 8) % 64
    luma = (ramp[None, :] // 2 + rows + 32).astype(np.uint8)
    box = max(min(width, height) // 6, 8) & ~1
    left = int((width - box) * (0.5 + 0.5 * np.sin(index / 23)))
    top = int((height - box) * (0.5 + 0.5 * np.cos(index / 31)))
    luma[top : top + box, left : left + box] = 235
    cell = _cell(width)
    for bit in range(COUNTER_BITS):
        on = index >> (COUNTER_BITS - 1 - bit) & 1
        luma[:cell, bit * cell : (bit + 1) * cell] = 235 if on else 16
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = luma
    return VideoFrame.from_ndarray(planes, format="yuv420p")


def counter(luma: Luma) -> int:
    """Which picture this is (modulo 65536), read from its luma plane at the size it was drawn in."""
    cell = _cell(luma.shape[1])
    bits = [luma[1 : cell - 1, bit * cell + 1 : (bit + 1) * cell - 1].mean() > 125 for bit in range(COUNTER_BITS)]
    return sum(on << (COUNTER_BITS - 1 - bit) for bit, on in enumerate(bits))


class PatternCamera:
    """`test:WIDTHxHEIGHT@FPS`; each part has a default."""

    def __init__(self, spec: str) -> None:
        match = _SPEC.fullmatch(spec)
        if match is None:
            raise ConfigError(f"camera 'test:{spec}': expected test:WIDTHxHEIGHT@FPS, for example test:640x360@15")
        self.width, self.height = int(match[1] or 640), int(match[2] or 360)
        self.fps = float(match[3] or 15)
        if self.width % 2 or self.height % 2 or not (64 <= self.width <= 8192 and 32 <= self.height <= 8192):
            raise ConfigError(f"camera 'test:{spec}': width and height must be even, from 64x32 to 8192x8192")
        if not 0 < self.fps <= 240:
            raise ConfigError(f"camera 'test:{spec}': FPS must be more than 0 and at most 240")

    @property
    def description(self) -> Description:
        return Description("pattern", self.width, self.height, self.fps)

    def pictures(self) -> Iterator[Picture]:
        began_us = time.monotonic_ns() // 1000
        index = 0
        while True:
            pts_us = round(index * 1_000_000 / self.fps)
            ahead_us = began_us + pts_us - time.monotonic_ns() // 1000
            pause(ahead_us / 1e6)
            yield Picture(draw(index, self.width, self.height), pts_us, time.monotonic_ns() // 1000)
            index += 1

    def packets(self) -> Iterator[Packet]:
        raise ConfigError('a test: camera has no stream of its own to pass on: use mode = "encode"')

    def close(self) -> None:
        pass
