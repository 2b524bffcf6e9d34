"""Whether something moves in a camera's pictures: luma reduced to a coarse grid, compared cell by cell with a slowly
learnt background and the noise seen around it. Pure; what follows from the answer is for `gate`.
"""

import math

import msgspec
import numpy as np
import numpy.typing as npt

Grid = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float32]

#: Cells across the picture; each is the mean of its pixels, which averages most sensor noise away.
GRID_WIDTH = 96
#: A cell differs when it is off by more levels of luma than this, and by more than so many times its usual noise
#: (a mean absolute deviation; five of them are four standard deviations of a normal distribution).
_LEAST_LEVELS = 6.0
_NOISES = 5.0
#: Cells that differ in clusters before something moves: a person of 12 x 30 pixels at 640 across is about nine.
_LEAST_CELLS = 3
#: The whole picture shifting by more levels at once is light going on or off; less is exposure and dusk.
_LIGHT_LEVELS = 15.0
#: Time constants of learning: the background where it is quiet, where something stands now, the noise.
_QUIET_S, _STANDING_S, _NOISE_S = 10.0, 60.0, 10.0
#: For so many looks what differs counts as noise, since nothing is known of it yet.
_YOUNG_LOOKS = 25


class Ignored(msgspec.Struct, frozen=True):
    """A rectangle nothing in which counts, as shares (0 to 1) of the picture from its top left corner."""

    x: float
    y: float
    width: float
    height: float


class Motion:
    """Give `look` every picture in order. `sensitivity` 2 sees half the contrast, 0.5 needs twice as much."""

    def __init__(self, sensitivity: float = 1.0, ignore: tuple[Ignored, ...] = ()) -> None:
        self._sensitivity = sensitivity
        self._ignore = ignore
        self._background: _Floats | None = None
        self._noise: _Floats = np.zeros(0, np.float32)
        self._counts: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._before_us = 0
        self._looks = 0
        self._last = 0

    def look(self, grid: Grid, now_us: int) -> bool:
        """Whether something moves. `grid` is (rows, columns); another shape than before begins anew."""
        seen = grid.astype(np.float32)
        if self._background is None or self._background.shape != seen.shape:
            self._begin(seen, now_us)
            return True
        passed_s = min(max((now_us - self._before_us) / 1e6, 0.0), _QUIET_S)
        self._before_us = now_us
        self._looks += 1
        difference = seen - self._background
        light = float(np.median(difference[self._counts])) if self._counts.any() else 0.0
        off = np.abs(difference - light)
        differs = (off > np.maximum(_LEAST_LEVELS, _NOISES * self._noise) / self._sensitivity) & self._counts
        self._learn(seen, off, differs, passed_s)
        cells = _clustered(differs)
        lately, self._last = cells + self._last, cells
        return abs(light) > _LIGHT_LEVELS or cells >= 2 * _LEAST_CELLS or (cells > 0 and lately >= 2 * _LEAST_CELLS)

    def _begin(self, seen: _Floats, now_us: int) -> None:
        self._background = seen
        self._noise = np.full(seen.shape, 1.0, np.float32)
        self._counts = np.ones(seen.shape, np.bool_)
        rows, columns = seen.shape
        for area in self._ignore:
            top, left = int(area.y * rows), int(area.x * columns)
            bottom, right = _up((area.y + area.height) * rows), _up((area.x + area.width) * columns)
            self._counts[top:bottom, left:right] = False
        self._before_us, self._looks, self._last = now_us, 0, 0

    def _learn(self, seen: _Floats, off: _Floats, differs: npt.NDArray[np.bool_], passed_s: float) -> None:
        assert self._background is not None
        young = 1.0 / (self._looks + 1)  # at first the plain mean of all looks
        quiet = max(1.0 - np.exp(-passed_s / _QUIET_S), young)
        standing = 1.0 - np.exp(-passed_s / _STANDING_S)
        rate = np.where(differs, np.float32(standing), np.float32(quiet))
        self._background += rate * (seen - self._background)
        noise_rate = np.float32(max(1.0 - np.exp(-passed_s / _NOISE_S), young))
        # Later only where it is quiet: what moves is no noise.
        noise = np.where(differs & (self._looks > _YOUNG_LOOKS), np.float32(0.0), noise_rate)
        self._noise += noise * (off - self._noise)


def _up(edge: float) -> int:
    """To the end of the cell an edge lies in: what is ignored is so to the last line of it."""
    return math.ceil(edge - 1e-6)


def _clustered(differs: npt.NDArray[np.bool_]) -> int:
    """How many cells differ of which at least two neighbours differ too: noise seldom comes in clusters."""
    padded = np.pad(differs, 1).astype(np.uint8)
    rows, columns = differs.shape
    around = sum(
        padded[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dy, dx) != (0, 0)
    )
    return int(np.count_nonzero(differs & (np.asarray(around) >= 2)))
