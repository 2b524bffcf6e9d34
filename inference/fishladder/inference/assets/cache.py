"""Keeps assets in the user's cache directory and fetches what is missing. A file is there whole and checked, or not at
all: several processes may ask for it at once, and any of them may be killed.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fishladder.inference.assets import catalogue
from fishladder.inference.assets.catalogue import Asset
from fishladder.inference.assets.sources import Source, SourceFailed
from fishladder.wire.errors import AssetError

#: Told of a pull: what is being done, bytes so far, and of how many if that is known.
Progress = Callable[[str, int, int | None], None]


def cache_dir() -> Path:
    """$FISHLADDER_CACHE, else `fishladder` in the platform's cache directory of this user."""
    if chosen := os.environ.get("FISHLADDER_CACHE"):
        return Path(chosen).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "fishladder"
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "fishladder"


def cached(name: str) -> Path | None:
    """Where an asset is, or None if it is not here or not whole. Raises `AssetError` for an unknown name."""
    return _find(catalogue.find(name))


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Where an asset is, after fetching it if need be; that may take minutes. Raises `AssetError`."""
    asset = catalogue.find(name)
    if found := _find(asset):
        return found
    report = progress or (lambda what, done, total: None)
    directory = cache_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _alone(directory / f".{asset.file}.lock"):
            # Another process may have fetched it while we waited.
            return _find(asset) or _pull(asset, directory, report)
    except OSError as error:
        raise AssetError(
            f"cannot keep asset {asset.name} in {directory}: {error}; FISHLADDER_CACHE chooses another directory"
        ) from None


def _find(asset: Asset) -> Path | None:
    path = cache_dir() / asset.file
    if not path.is_file() or (asset.sha256 and _sha256(path) != asset.sha256):
        return None
    return path


def _pull(asset: Asset, directory: Path, report: Progress) -> Path:
    """Try the sources in order. The caller holds the lock, so what a killed process left behind can go."""
    workplace = directory / f".{asset.file}.pull"
    shutil.rmtree(workplace, ignore_errors=True)
    tried = []
    try:
        for source in asset.sources:
            try:
                fetched = _get(asset, source, workplace, report)
            except SourceFailed as failure:
                tried.append(f"  {source}: {failure}")
                continue
            ready = _converted(asset, fetched, report)
            path = directory / asset.file
            ready.replace(path)
            return path
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    raise AssetError(
        f"cannot fetch asset {asset.name}. Tried:\n"
        + "\n".join(tried)
        + f"\nConnect this machine to the network (or set its proxy) and try `fishladder assets pull {asset.name}` "
        f"again, or copy {asset.file} from the cache of a machine that has it into {directory}"
    )


def _get(asset: Asset, source: Source, workplace: Path, report: Progress) -> Path:
    shutil.rmtree(workplace, ignore_errors=True)
    scratch = workplace / "scratch"
    scratch.mkdir(parents=True)
    target = workplace / "fetched"
    what = f"{asset.name} from {source}"
    report(what, 0, None)
    source.get(target, scratch, lambda done, total: report(what, done, total))
    if (found := _sha256(target)) != asset.source_sha256:
        raise SourceFailed(f"it gave another file than expected (sha256 {found[:16]}, not {asset.source_sha256[:16]})")
    return target


def _converted(asset: Asset, fetched: Path, report: Progress) -> Path:
    """The file to keep, flushed to disk so that a power cut cannot leave a half one under the final name."""
    ready = fetched.with_name("ready")
    if asset.convert is None:
        fetched.rename(ready)
    else:
        report(f"{asset.name}: converting to ONNX", 0, None)
        ready.write_bytes(asset.convert(fetched.read_bytes()))
        if asset.sha256 and (found := _sha256(ready)) != asset.sha256:
            raise AssetError(
                f"converting asset {asset.name} gave another model than expected (sha256 {found[:16]}, not "
                f"{asset.sha256[:16]}): please report this with your versions of onnx, numpy and protobuf"
            )
    with ready.open("rb") as file:
        os.fsync(file.fileno())
    return ready


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time; the kernel lets go of the lock if its holder dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
