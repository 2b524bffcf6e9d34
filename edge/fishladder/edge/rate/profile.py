"""A ladder by what a detector was measured to need: for each rate the pictures a second and the size that keep most of
its detections. Pure; read from what `fishladder loadtest accuracy` writes.

What was measured is three curves for each clip: F1 by bits per pixel, and what fewer pictures or smaller ones leave of
it. They are multiplied, since each was varied alone. Below what was measured F1 falls in proportion; more of anything
is never worse, what goes down along a curve being noise of the sample. Clips count by the objects in them.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from fishladder.edge.rate.ladder import LEAST_FPS, Rung
from fishladder.wire.accuracy import MOST_BYTES, Measured, decode
from fishladder.wire.accuracy import Rung as Row
from fishladder.wire.errors import ConfigError

#: Shares of the full width, as they are measured.
WIDTHS = (1.0, 0.75, 0.5, 0.375, 0.25)
#: Pictures a second go down by steps of this.
FPS_STEP = 0.75
#: F1 is read to so many digits: less is noise, and then the larger picture or the higher rate is kept.
_DIGITS = 2
#: Rates between which a ladder changes, and from where on.
_RATES, _LOWEST_BPS = 64, 4_000.0
#: Ladders that are kept, by size and pictures a second.
_MOST_LADDERS = 64
#: What `words` speaks of.
SAID_KBPS = (1000, 500, 250, 100)


class _Curve:
    """F1, or a share of it, over something positive: between points in proportion to its logarithm."""

    def __init__(self, points: Iterable[tuple[float, float]]) -> None:
        ordered = sorted(points)
        self._x = [x for x, _ in ordered]
        self._y = list(accumulate((y for _, y in ordered), max))

    def at(self, x: float) -> float:
        index = bisect_right(self._x, x)
        if index == 0:
            return self._y[0] * x / self._x[0]
        if index == len(self._x):
            return self._y[-1]
        low, high = self._x[index - 1], self._x[index]
        part = math.log(x / low) / math.log(high / low)
        return self._y[index - 1] + (self._y[index] - self._y[index - 1]) * part


class _Clip(NamedTuple):
    weight: float
    bits: _Curve  #: F1 by bits per pixel, at the clip's own size and rate
    fps: _Curve  #: what is left of it at fewer pictures a second
    width: _Curve  #: or at a smaller width, in pixels
    most_bits: float


class _Step(NamedTuple):
    from_bps: float
    rung: Rung


class Profile:
    """One detector's."""

    def __init__(self, measured: Measured) -> None:
        names = dict.fromkeys(rung.clip for rung in measured.rungs)
        clips = [_clip([rung for rung in measured.rungs if rung.clip == name]) for name in names]
        weights = sum(clip.weight for clip in clips)
        self._clips = [clip._replace(weight=clip.weight / weights if weights else 1 / len(clips)) for clip in clips]
        self.name = f"{measured.model} on {' and '.join(names)}"
        self._ladders: dict[tuple[int, int, float], list[_Step]] = {}

    def f1(self, rate_bps: float, width: float, height: float, fps: float) -> float:
        """What such a stream keeps of the detections."""
        bits = rate_bps / (width * height * fps)
        return sum(it.weight * it.bits.at(bits) * it.fps.at(fps) * it.width.at(width) for it in self._clips)

    def fitting(self, rate_bps: float, width: int, height: int, fps: float) -> Rung:
        """The rung for a rate, of a camera that would send such pictures: never higher at a lower rate."""
        steps = self._ladder(width, height, fps)
        index = bisect_right(steps, rate_bps, key=lambda step: step.from_bps)
        return steps[max(index - 1, 0)].rung

    def words(self, width: int, height: int, fps: float) -> str:
        """What it will do with such a camera."""
        said = []
        for kbps in SAID_KBPS:
            rung = self.fitting(kbps * 1000, width, height, fps)
            wide, high = round(width * rung.width), round(height * rung.width)
            f1 = self.f1(kbps * 1000, wide, high, rung.fps)
            said.append(f"{kbps} kbit/s {wide}x{high} at {rung.fps:.3g} fps (F1 {f1:.2f})")
        return f"{self.name}: {', '.join(said)}"

    def _ladder(self, width: int, height: int, fps: float) -> list[_Step]:
        key = (width, height, fps)
        if key not in self._ladders:
            if len(self._ladders) >= _MOST_LADDERS:
                self._ladders.clear()
            self._ladders[key] = self._planned(width, height, fps)
        return self._ladders[key]

    def _planned(self, width: int, height: int, fps: float) -> list[_Step]:
        """Steps by ascending rate: of all ways down that never go up again, the one that keeps most over all rates,
        whose logarithms count alike. By dynamic programming over descending rates.
        """
        sizes, rates = list(WIDTHS), list(_rates_down(fps))
        top_bps = max(it.most_bits for it in self._clips) * width * height * fps
        ratio = (_LOWEST_BPS / max(top_bps, 2 * _LOWEST_BPS)) ** (1 / (_RATES - 1))
        grid = [max(top_bps, 2 * _LOWEST_BPS) * ratio**index for index in range(_RATES)]
        cells = [(size, rate) for size in range(len(sizes)) for rate in range(len(rates))]
        kept: dict[tuple[int, int], float] = dict.fromkeys(cells, 0.0)
        came: list[dict[tuple[int, int], tuple[int, int]]] = []
        parts = [
            {(s, r): it.weight * it.fps.at(rates[r]) * it.width.at(width * sizes[s]) for s, r in cells}
            for it in self._clips
        ]
        for bps in grid:
            best, source = dict[tuple[int, int], float](), dict[tuple[int, int], tuple[int, int]]()
            for s, r in cells:  # the best of this one and all above it
                best[s, r], source[s, r] = kept[s, r], (s, r)
                for above in ((s - 1, r), (s, r - 1)):
                    if above in best and best[above] >= best[s, r]:
                        best[s, r], source[s, r] = best[above], source[above]
            came.append(source)
            kept = {}
            for s, r in cells:
                bits = bps / (width * height * sizes[s] ** 2 * rates[r])
                f1 = sum(part[s, r] * it.bits.at(bits) for part, it in zip(parts, self._clips, strict=True))
                kept[s, r] = best[s, r] + round(f1, _DIGITS) - (s + r) * 10.0 ** -(_DIGITS + 2)
        cell = max(cells, key=lambda it: kept[it])
        steps: list[_Step] = []
        for bps, source in zip(reversed(grid), reversed(came), strict=True):
            rung = Rung(rates[cell[1]], sizes[cell[0]])
            if not steps or steps[-1].rung != rung:
                steps.append(_Step(bps, rung))
            cell = source[cell]
        return steps


def read_profile(file: Path) -> Profile:
    """Raises `ConfigError` naming the file and what is wrong in it."""
    where = f"profile {file}"
    try:
        with file.open("rb") as stream:
            said = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}") from None
    if len(said) > MOST_BYTES:
        raise ConfigError(f"{where}: larger than {MOST_BYTES >> 20} MB")
    return Profile(decode(said, where))


def _rates_down(fps: float) -> Iterable[float]:
    yield fps
    while (fps := fps * FPS_STEP) > LEAST_FPS:
        yield fps
    if fps / FPS_STEP > LEAST_FPS:
        yield LEAST_FPS


def _clip(rows: Sequence[Row]) -> _Clip:
    rated = [row for row in rows if row.varied == "rate"]
    bits = _Curve((row.bits_per_pixel, row.f1) for row in rated)
    whole = max(rated, key=lambda row: row.bits_per_pixel)

    def left(varied: str, own: float) -> _Curve:
        """Against the full picture of the same bits per pixel."""
        shares = {own: 1.0}
        for row in rows:
            if row.varied == varied and (full := bits.at(row.bits_per_pixel)) > 0:
                shares.setdefault(row.fps if varied == "fps" else float(row.width), min(row.f1 / full, 1.0))
        return _Curve(shares.items())

    return _Clip(
        max(row.objects for row in rows),
        bits,
        left("fps", whole.fps),
        left("width", float(whole.width)),
        whole.bits_per_pixel,
    )
