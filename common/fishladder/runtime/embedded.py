"""The store that comes with the gateway: two servers of our own on unix sockets, frames in memory and state durable,
ended with the process that owns them. Where a data directory's servers are is written in it, so that workers and
the command line on the same host find them without being told.
"""

import asyncio
import contextlib
import fcntl
import os
import stat
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha1
from pathlib import Path

import msgspec
import structlog

from fishladder.runtime.server import Server, find_server, run_server, socket_url
from fishladder.runtime.store import StoreUrls
from fishladder.wire.errors import ConfigError, StoreUnavailable

_log = structlog.get_logger(__name__)
FRAMES_BYTES = 512 * 1024 * 1024
STATE_BYTES = 256 * 1024 * 1024
#: `sun_path` has 104 bytes on macOS and 108 on Linux, with a zero at the end.
_MAX_SOCKET_PATH = 100
_OWNER_FILE = "owner.json"
#: How long a start waits for the servers of an owner that has ended.
_HANDOVER_S = 15.0
_POLL_S = 0.05


class Owner(msgspec.Struct, frozen=True):
    """Who runs the servers of a data directory, and where they answer."""

    pid: int
    command: str
    since: str
    frames: str
    state: str


def default_data_dir() -> Path:
    """$FISHLADDER_DATA_DIR, else `fishladder` under $XDG_STATE_HOME or ~/.local/state."""
    if chosen := os.environ.get("FISHLADDER_DATA_DIR"):
        return Path(chosen)
    state_home = os.environ.get("XDG_STATE_HOME")
    return (Path(state_home) if state_home else Path.home() / ".local" / "state") / "fishladder"


def default_urls(data_dir: Path | None = None) -> StoreUrls:
    """Where the servers of a running gateway are. Raises `StoreUnavailable` if none runs on `data_dir`."""
    data_dir = data_dir or default_data_dir()
    try:
        with (data_dir / _OWNER_FILE).open("rb") as file:
            if not _locked_by_other(file.fileno()):
                raise FileNotFoundError
            owner = msgspec.json.decode(file.read(), type=Owner)
    except (OSError, msgspec.DecodeError, UnicodeError) as error:
        why = error.strerror if isinstance(error, PermissionError) else "no gateway with a store of its own runs on it"
        raise StoreUnavailable(
            f"no store at {data_dir}: {why}; start `fishladder gateway run`, or name a store with --redis URL"
        ) from None
    return StoreUrls(owner.frames, owner.state)


def store_urls(state: str | None, frames: str | None, data_dir: Path | None = None) -> StoreUrls:
    """The stores that --redis and --frames name; one URL for both is enough, none means `default_urls`."""
    if state is None and frames is not None:
        raise ConfigError("--frames alone does not do: name the state store with --redis as well")
    if state is None:
        return default_urls(data_dir)
    return StoreUrls(frames or state, state)


@asynccontextmanager
async def embedded_stores(
    data_dir: Path,
    *,
    frames_bytes: int = FRAMES_BYTES,
    state_bytes: int = STATE_BYTES,
    binary: Path | None = None,
) -> AsyncIterator[StoreUrls]:
    """Run the two servers of `data_dir` while the block runs; both are ready when it begins.

    Raises `StoreUnavailable` if somebody else runs them, if they do not start, and, out of the block, when one ends
    before its time.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at the start
    except OSError as error:
        raise StoreUnavailable(f"data directory {data_dir}: {error.strerror}") from None
    binary = binary or await find_server()
    frames_socket, state_socket = _socket_paths(data_dir)
    lock = await _own(data_dir, frames_socket, state_socket)
    async with AsyncExitStack() as stack:
        stack.callback(os.close, lock)
        servers = [
            await stack.enter_async_context(
                run_server(
                    "frame",
                    binary=binary,
                    socket=frames_socket,
                    directory=data_dir,
                    options=frames_options(frames_bytes),
                    hold_fds=(lock,),
                )
            ),
            await stack.enter_async_context(
                run_server(
                    "state",
                    binary=binary,
                    socket=state_socket,
                    directory=data_dir / "state",
                    options=state_options(state_bytes),
                    hold_fds=(lock,),
                )
            ),
        ]
        await stack.enter_async_context(_ends_with(servers))
        _log.info("stores ready", binary=str(binary), frames=servers[0].url, state=servers[1].url)
        yield StoreUrls(frames=servers[0].url, state=servers[1].url)


def frames_options(maxmemory_bytes: int) -> dict[str, str]:
    """Settings of a frame store: memory only, refusing rather than forgetting when full."""
    return {"save": "", "appendonly": "no", "maxmemory": str(maxmemory_bytes), "maxmemory-policy": "noeviction"}


def state_options(maxmemory_bytes: int) -> dict[str, str]:
    """Settings of a state store: on disk before it answers."""
    return {
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "auto-aof-rewrite-min-size": "64mb",
        "maxmemory": str(maxmemory_bytes),
        "maxmemory-policy": "noeviction",
    }


@asynccontextmanager
async def _ends_with(servers: list[Server]) -> AsyncIterator[None]:
    """End the block with `StoreUnavailable` when one of the servers ends."""
    task = asyncio.current_task()
    assert task is not None
    said: list[str] = []

    async def watch(server: Server) -> None:
        said.append(await server.ended())
        _log.error("store ended", what=said[-1])
        if len(said) == 1:
            task.cancel()

    watches = [asyncio.create_task(watch(server), name=f"watch the {server.name} store") for server in servers]
    try:
        yield
    except BaseException as error:
        if not said:
            raise
        # What the block ran into (our cancel, or a connection that broke) is only the echo of it.
        if task.uncancel() > 0 and isinstance(error, asyncio.CancelledError):
            raise  # somebody else wants the task to end as well
        raise StoreUnavailable(said[0]) from error
    finally:
        for it in watches:
            it.cancel()
        await asyncio.wait(watches)


def _make_private(directory: Path) -> None:
    """Make a directory that only we may enter, or check that it is one. Raises `StoreUnavailable`."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise StoreUnavailable(f"directory {directory} for sockets: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StoreUnavailable(
            f"directory {directory} for sockets must be ours alone (mode 700): remove it, or set XDG_RUNTIME_DIR"
        )


def _socket_paths(data_dir: Path) -> tuple[Path, Path]:
    """Where the frame and the state server listen: in the data directory, if its path is short enough for a socket."""
    place = data_dir.resolve()
    if len(os.fsencode(place / "frames.sock")) > _MAX_SOCKET_PATH:
        name = sha1(os.fsencode(place), usedforsecurity=False).hexdigest()[:12]
        run_dir = os.environ.get("XDG_RUNTIME_DIR")
        base = Path(run_dir) / "fishladder" if run_dir else Path(f"/tmp/fishladder-{os.geteuid()}")  # noqa: S108
        if len(os.fsencode(base / name / "frames.sock")) > _MAX_SOCKET_PATH:
            raise ConfigError(f"XDG_RUNTIME_DIR {run_dir}: its path is too long for a socket")
        _make_private(base)
        place = base / name
        _make_private(place)
    return place / "frames.sock", place / "state.sock"


async def _own(data_dir: Path, frames: Path, state: Path) -> int:
    """Become the one owner of a data directory; the descriptor returned holds the lock.

    The servers inherit it, so that a new owner waits until those of one that was killed are gone as well: two
    servers must never write one file. Raises `StoreUnavailable` naming the process that holds it.
    """
    path = data_dir / _OWNER_FILE
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from None
    try:
        deadline = time.monotonic() + _HANDOVER_S
        while not _try_lock(lock, fcntl.LOCK_EX):
            holder = _read_owner(lock)
            if time.monotonic() > deadline or (holder and _alive(holder.pid)):
                who = f"process {holder.pid} ({holder.command}) since {holder.since}" if holder else "another process"
                raise StoreUnavailable(
                    f"{data_dir} is in use by {who}: stop it, or choose another place with --data-dir"
                )
            await asyncio.sleep(_POLL_S)
        owner = Owner(
            os.getpid(),
            " ".join(sys.argv)[:200],
            time.strftime("%Y-%m-%d %H:%M:%S"),
            socket_url(frames),
            socket_url(state),
        )
        os.ftruncate(lock, 0)
        os.pwrite(lock, msgspec.json.encode(owner), 0)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _try_lock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked_by_other(descriptor: int) -> bool:
    """Whether a file is locked. The moment in which we hold it ourselves does not stop a start: that tries again."""
    if not _try_lock(descriptor, fcntl.LOCK_SH):
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _read_owner(descriptor: int) -> Owner | None:
    with contextlib.suppress(msgspec.DecodeError, UnicodeError):
        return msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Owner)
    return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
