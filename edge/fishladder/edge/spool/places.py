"""Where an agent keeps what has to outlive it: the spool on disk, and the ring's journal in memory where the system has
a file system there. Sane defaults, and one agent a camera.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from fishladder.wire.errors import ConfigError

log = structlog.get_logger(__name__)

_NAME = "fishladder"
_IN_MEMORY = ("tmpfs", "ramfs")
#: Where no size is given: so much, or half of what is free.
DEFAULT_BYTES = 16 << 30


def default_directory(site: str, gateway: str, env: Mapping[str, str]) -> Path | None:
    """Where a spool is kept unless told: the service manager's state directory, else the user's, in which each stack
    has its own, as a numbering is of no use to another. None if there is no such place.
    """
    if state := env.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0]) / "spool"
    home = env.get("XDG_STATE_HOME") or (f"{env['HOME']}/.local/state" if env.get("HOME") else "")
    if not home:
        return None
    parts = urlsplit(gateway)
    return Path(home) / _NAME / "spool" / f"{parts.hostname}_{parts.port or parts.scheme}" / site


def memory_directory(spool: Path, env: Mapping[str, str]) -> Path | None:
    """Where the ring's journal goes: a directory in memory, of this spool alone; None if the system has none."""
    if runtime := env.get("RUNTIME_DIRECTORY"):
        candidates = [Path(runtime.split(":")[0]) / "ring"]
    else:
        own = hashlib.sha256(str(spool.absolute()).encode()).hexdigest()[:16]
        bases = [Path(env["XDG_RUNTIME_DIR"]) / _NAME] if env.get("XDG_RUNTIME_DIR") else []
        bases.append(Path("/dev/shm") / f"{_NAME}-{os.getuid()}")  # noqa: S108 - made for us alone, and checked to be
        candidates = [base / own for base in bases]
    for directory in candidates:
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = directory.parent.stat() if "RUNTIME_DIRECTORY" not in env else directory.stat()
        except OSError:
            continue
        if found.st_uid == os.getuid() and in_memory(directory):
            return directory
    return None


def in_memory(path: Path) -> bool:
    """Whether a directory is on a file system in memory."""
    best = ("", "")
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return False
    real = str(path.resolve())
    for line in mounts:
        _, where, kind, *_ = line.split(" ")
        where = where.replace("\\040", " ")
        if (real == where or real.startswith(where.rstrip("/") + "/")) and len(where) >= len(best[0]):
            best = (where, kind)
    return best[1] in _IN_MEMORY


def lock_cameras(directory: Path, cameras: Sequence[str]) -> list[int]:
    """Descriptors that keep other agents from these cameras as long as they are open. Raises `ConfigError` if another
    has one of them, or nothing can be written there.
    """
    held: list[int] = []
    camera = ""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for camera in cameras:
            held.append(os.open(directory / f"{camera}.lock", os.O_RDWR | os.O_CREAT, 0o600))
            fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        unlock(held)
        raise ConfigError(
            f"another agent on this host sends camera {camera} from the spool {directory}: stop it, or give one of the "
            "two another directory under [spool] (--spool-dir)"
        ) from None
    except OSError as error:
        unlock(held)
        raise ConfigError(
            f"spool directory {directory}: {error.strerror}: set directory under [spool] (--spool-dir), or --no-spool"
        ) from None
    return held


def unclaimed(directory: Path, cameras: Sequence[str]) -> list[Path]:
    """Spools of other cameras that no agent has: those of cameras that were taken out of the settings."""
    found = []
    for file in sorted(set(directory.glob("*.sqlite")) - {directory / f"{camera}.sqlite" for camera in cameras}):
        try:
            unlock(lock_cameras(directory, [file.stem]))
        except ConfigError:
            continue
        found.append(file)
    return found


def boot_of(memory: Path | None) -> tuple[str, int]:
    """Names what an agent remembers, for as long as its ring's place in memory lasts, and how many hellos it may have
    said under that name: an epoch granted to an agent that then died is so granted to its successor again.
    """
    boot, starts = secrets.token_hex(16), 0
    if memory is None:
        return boot, 0
    file = memory / "boot"
    try:
        before, count = file.read_text().split()
        boot, starts = before[:64], int(count) + 1
    except (OSError, ValueError):
        pass
    try:
        new = file.with_suffix(".new")
        new.write_text(f"{boot} {starts}\n")
        new.replace(file)
    except OSError as error:
        log.warning("cannot be remembered", what=str(file), error=error.strerror)
        return secrets.token_hex(16), 0
    return boot, starts << 20


def unlock(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def default_bytes(directory: Path) -> int:
    """How much a spool may hold unless told: half of what it holds and what is free, no more than is sane, and no less
    than it holds, since a disk that others fill is no reason to drop what is there.
    """
    try:
        held = sum(it.stat().st_size for it in directory.glob("*.sqlite*"))
        return max(held, min(DEFAULT_BYTES, (held + shutil.disk_usage(directory).free) // 2))
    except OSError:
        return DEFAULT_BYTES


def host_start(boot: str | None) -> int:
    """Names this start of the host: monotonic times of another one mean nothing. `boot` lies in memory, if there is
    such a place, for a service that may not see the system's own.
    """
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        text = boot or secrets.token_hex(16)  # without either the wall clock has to do
    return zlib.crc32(text.strip().encode())
