"""From a decoded picture to the pixels a model takes, and from boxes among those pixels back to the picture. Decoding,
and what the model makes of the pixels, is elsewhere.
"""

from enum import StrEnum
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from fishladder.inference.adapters.signature import Input

_GREY = 114  #: what Ultralytics pads with in training


class Fit(StrEnum):
    """How a picture of another shape gets into the model's input."""

    STRETCH = "stretch"
    LETTERBOX = "letterbox"


class Area(NamedTuple):
    """Where the picture is within the model's input, in its pixels."""

    left: int
    top: int
    width: int
    height: int


class Prepared(NamedTuple):
    """`pixels`: uint8 [height, width, 3] RGB, of the model's input size."""

    pixels: NDArray[np.uint8]
    area: Area


def fitted(width: int, height: int, into_width: int, into_height: int, fit: Fit) -> Area:
    """Where a picture goes: all of the input, or centred in it with its proportions kept."""
    if fit is Fit.STRETCH:
        return Area(0, 0, into_width, into_height)
    scale = min(into_width / width, into_height / height)
    inner_width = min(max(round(width * scale), 1), into_width)
    inner_height = min(max(round(height * scale), 1), into_height)
    return Area((into_width - inner_width) // 2, (into_height - inner_height) // 2, inner_width, inner_height)


def to_picture(corners: NDArray[np.float64], area: Area) -> NDArray[np.float64]:
    """Corners x1 y1 x2 y2 in input pixels as fractions of the picture, cut off at its edges: [boxes, 4]."""
    origin = (area.left, area.top) * 2
    size = (area.width, area.height) * 2
    return np.clip((corners - origin) / size, 0.0, 1.0)


class Preparer:
    """Makes a model's pixels of pictures. Not thread-safe: one for each compute thread."""

    def __init__(self, feed: Input, fit: Fit) -> None:
        self._height, self._width, self._fit = feed.height, feed.width, fit
        self._reformatter = VideoReformatter()

    def prepare(self, frame: av.VideoFrame) -> Prepared:
        area = fitted(frame.width, frame.height, self._width, self._height, self._fit)
        # One thread: the worker has one process a core, and the pixels must not depend on the number of cores.
        scaled = self._reformatter.reformat(
            frame, area.width, area.height, "rgb24", interpolation=Interpolation.FAST_BILINEAR, threads=1
        )
        inner = np.asarray(scaled.to_ndarray(), np.uint8)  # without the padding at the end of its lines
        if scaled is frame:
            inner = inner.copy()  # nothing had to be done to it, and the array looks into the caller's frame
        if inner.shape[:2] == (self._height, self._width):
            return Prepared(inner, area)
        pixels = np.full((self._height, self._width, 3), _GREY, np.uint8)
        pixels[area.top : area.top + area.height, area.left : area.left + area.width] = inner
        return Prepared(pixels, area)


def fed(pixels: NDArray[np.uint8], feed: Input) -> NDArray[np.uint8] | NDArray[np.floating]:
    """Pictures uint8 [batch, height, width, 3] as the model takes them; floats are 0..1."""
    if feed.channels_first:
        pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    match feed.dtype:
        case "uint8":
            return pixels
        case "float32":
            return pixels.astype(np.float32) / np.float32(255)
        case "float16":
            return (pixels.astype(np.float32) / np.float32(255)).astype(np.float16)
