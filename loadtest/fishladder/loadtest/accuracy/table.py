"""The measured table of accuracy: kept in the cache by model and clip, measured when it is missing, and read off
between its rows for what a camera of a scenario would send.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from fishladder.inference.assets.cache import cache_dir, cached, fetch
from fishladder.inference.model import Detector, load_detector
from fishladder.loadtest.accuracy.measure import load_clip, measure, rungs_of
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.ladder import footage
from fishladder.wire.accuracy import Measured, Rung
from fishladder.wire.errors import ConfigError

CLIPS = ("vtest", "bikes")
INSTANTS = 80
SECONDS = 10.0
_VERSION = 2

Tell = Callable[[str, float, float], None]


class Table(Measured, frozen=True):
    """With what is between its rows."""

    def f1_at(self, spec: CameraSpec) -> float:
        """F1 at the bits per pixel of this camera: between measured rates, in proportion to their logarithm; clips
        count by the objects in them. Below the lowest rate it is that rate's.
        """
        return self._f1(spec.bitrate_bps / (spec.width * spec.height * spec.fps))

    def _f1(self, bits: float) -> float:
        weights = [max(rung.objects for rung in self.rungs if rung.clip == clip) for clip in self.clips]
        return float(np.average([self._interpolated(clip, bits) for clip in self.clips], weights=weights))

    def _interpolated(self, clip: str, bits: float) -> float:
        rungs = sorted(
            (rung for rung in self.rungs if rung.clip == clip and rung.varied == "rate"),
            key=lambda rung: rung.bits_per_pixel,
        )
        known = np.log([rung.bits_per_pixel for rung in rungs])
        # More bits cannot make it worse: what goes down along the curve is noise of the sample.
        f1 = np.maximum.accumulate([rung.f1 for rung in rungs])
        return float(np.interp(np.log(bits), known, f1))

    def lowest_bps(self, f1: float, spec: CameraSpec) -> float | None:
        """The lowest rate at which this camera keeps `f1`; None if none does up to its own."""
        pixels = spec.width * spec.height * spec.fps
        for bits in np.geomspace(0.005, spec.bitrate_bps / pixels, 200):
            if self._f1(float(bits)) >= f1:
                return float(bits * pixels)
        return None


def table(
    clips: Sequence[str], tell: Tell, *, model: Path | None = None, instants: int = INSTANTS, again: bool = False
) -> Table:
    """From the cache, or measured: some minutes. Raises `AssetError`, `ModelError`."""

    def fetching(what: str, done: int, total: int | None) -> None:
        tell(f"fetching {what}", done, total or 0)

    detector = load_detector(model or fetch("ssdlite-person", fetching))
    rungs = [rung for clip in clips for rung in _rungs(clip, detector, tell, instants, again=again)]
    return Table(detector.model.name, detector.model.sha256, detector.provider, list(clips), rungs)


def cached_table(clips: Sequence[str] = CLIPS) -> Table | None:
    """What the default model was measured to do, if it was; nothing is fetched or measured."""
    path = cached("ssdlite-person")
    if path is None:
        return None
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    found = [_kept(_file(clip, sha256, INSTANTS)) for clip in clips]
    known = [(clip, rungs) for clip, rungs in zip(clips, found, strict=True) if rungs]
    if not known:
        return None
    names = [clip for clip, _ in known]
    return Table(path.stem, sha256, "", names, [it for _, rungs in known for it in rungs])


def floor_bps(f1: float, spec: CameraSpec, tell: Tell) -> float:
    """The lowest rate at which such a camera keeps an F1; measures the table if need be. Raises `ConfigError`."""
    if not 0 < f1 < 1:
        raise ConfigError(f"--floor-f1 {f1:g}: expected above 0 and below 1")
    lowest = table(CLIPS, tell).lowest_bps(f1, spec)
    if lowest is None:
        raise ConfigError(f"--floor-f1 {f1:g}: {spec} does not reach it at any rate up to its own")
    return lowest


def _rungs(name: str, detector: Detector, tell: Tell, instants: int, *, again: bool) -> list[Rung]:
    file = _file(name, detector.model.sha256, instants)
    if not again and (known := _kept(file)) is not None:
        return known
    clip = load_clip(
        footage(name, tell),
        detector,
        instants,
        SECONDS,
        lambda done, total: tell(f"{name}: detections in the source", done, total),
    )
    wanted = list(rungs_of(clip))
    made = []
    for index, (varied, spec) in enumerate(wanted):
        tell(f"{name}: by bit rate, frame rate and size", index, len(wanted))
        made.append(measure(clip, varied, spec, detector))
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(made))
    part.replace(file)
    return made


def _file(clip: str, sha256: str, instants: int) -> Path:
    return cache_dir() / "loadtest" / f"accuracy-{_VERSION}-{sha256[:12]}-{clip}-{instants}.json"


def _kept(file: Path) -> list[Rung] | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Rung])
    except (OSError, msgspec.MsgspecError):
        return None
