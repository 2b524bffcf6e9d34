"""Commits of several cameras' results streams in the order in which they were made: the last ones, those since some
time, and those still to come. What they say, and how it is printed, is for `results`.
"""

import asyncio
import heapq
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError, RedisError
from redis.exceptions import TimeoutError as ReplyTimeout

from fishladder.runtime.lifecycle import Backoff
from fishladder.runtime.store import redacted
from fishladder.view.reader import StateReader
from fishladder.wire import keys
from fishladder.wire.errors import StoreUnavailable
from fishladder.wire.result import Result, decode

_PAGE = 200
_BLOCK_MS = 1000
#: How often following looks for cameras that are new.
_NEW_CAMERAS_S = 2.0


@dataclass(frozen=True, slots=True)
class Commit:
    """`at` is its stream id, (ms, n); `raw` the result as stored."""

    at: tuple[int, int]
    camera: str
    raw: bytes

    @property
    def result(self) -> Result:
        return decode(self.raw)


def _id(entry_id: bytes) -> tuple[int, int]:
    ms, _, n = entry_id.decode().partition("-")
    return int(ms), int(n)


async def _pages(state: Redis, key: str, camera: str, since_ms: int, *, newest_first: bool) -> AsyncIterator[Commit]:
    """One camera's commits, read page by page."""
    bound = "+" if newest_first else str(since_ms)
    while True:
        if newest_first:
            page: Any = await state.xrevrange(key, max=bound, min=str(since_ms), count=_PAGE)
        else:
            page = await state.xrange(key, min=bound, max="+", count=_PAGE)
        for entry_id, fields in page:
            yield Commit(_id(entry_id), camera, fields[b"r"])
        if len(page) < _PAGE:
            return
        bound = f"({page[-1][0].decode()}"


async def stored(
    reader: StateReader, cameras: Sequence[str], since_ms: int = 0, *, newest_first: bool = False
) -> AsyncIterator[Commit]:
    """The commits that are kept, merged; those made while this reads may be left out."""
    streams = [
        _pages(
            reader.state, keys.results(reader.partition(camera), camera), camera, since_ms, newest_first=newest_first
        )
        for camera in cameras
    ]
    sign = -1 if newest_first else 1
    heads: list[tuple[tuple[int, int, int], int, Commit]] = []

    async def refill(index: int) -> None:
        commit = await anext(streams[index], None)
        if commit is not None:
            ms, n = commit.at
            heapq.heappush(heads, ((sign * ms, sign * n, sign * index), index, commit))

    for index in range(len(streams)):
        await refill(index)
    while heads:
        _, index, commit = heapq.heappop(heads)
        yield commit
        await refill(index)


async def newest(reader: StateReader, camera: str) -> tuple[int, int]:
    """The stream id of a camera's last commit; (0, 0) if none is kept."""
    last: Any = await reader.state.xrevrange(keys.results(reader.partition(camera), camera), count=1)
    return _id(last[0][0]) if last else (0, 0)


async def follow(
    reader: StateReader,
    which: str | None,
    seen: dict[str, tuple[int, int]],
    say: Callable[[str], None],
    *,
    give_up_s: float = 60.0,
) -> AsyncIterator[list[Commit]]:
    """Commits after those `seen` (id by camera), as they come; a camera that is new is read from its beginning.

    Goes on when the store comes back after having been away for less than `give_up_s`; `say` is told of it. Raises
    `StoreUnavailable` then.
    """
    clock = asyncio.get_running_loop().time
    backoff = Backoff(0.2, 5.0)
    away_since: float | None = None
    look_at = 0.0
    names: list[str] = []
    while True:
        try:
            if clock() >= look_at:
                names = await reader.known_cameras(which)
                look_at = clock() + _NEW_CAMERAS_S
            commits = await read_after(reader, names, seen, block_ms=_BLOCK_MS)
            if not names:
                await asyncio.sleep(_BLOCK_MS / 1000)
        except (ConnectionError, ReplyTimeout, OSError) as error:
            now = clock()
            if away_since is None:
                away_since = now
                say(f"the state store {redacted(reader.url)} is away, waiting for it: {error}")
            if now - away_since > give_up_s:
                raise StoreUnavailable(
                    f"the state store {redacted(reader.url)} has been away for {give_up_s:g} s: {error}"
                ) from None
            await asyncio.sleep(backoff.next())
            continue
        except RedisError as error:
            raise StoreUnavailable(f"the state store {redacted(reader.url)} answers: {error}") from None
        if away_since is not None:
            say("the state store is back")
            away_since = None
            backoff.reset()
        for commit in commits:
            seen[commit.camera] = max(commit.at, seen.get(commit.camera, (0, 0)))
        if commits:
            yield commits


async def read_after(
    reader: StateReader, names: Sequence[str], seen: Mapping[str, tuple[int, int]], *, block_ms: int | None = None
) -> list[Commit]:
    """Commits of `names` after those `seen`, in the order of the store's clock, none left out in between; waits up to
    `block_ms` for some. Raises redis' errors.
    """
    if not names:
        return []
    by_key = {keys.results(reader.partition(name), name).encode(): name for name in names}
    after: dict[Any, Any] = {key: "{}-{}".format(*seen.get(name, (0, 0))) for key, name in by_key.items()}
    reply: Any = await reader.state.xread(after, count=_PAGE, block=block_ms)
    commits: list[Commit] = []
    # A page that is full has more behind it: what others have after its end has to wait for that.
    horizon_ms = math.inf
    for key, entries in reply or ():
        commits += (Commit(_id(entry_id), by_key[key], fields[b"r"]) for entry_id, fields in entries)
        if len(entries) == _PAGE:
            horizon_ms = min(horizon_ms, commits[-1].at[0])
    return sorted((commit for commit in commits if commit.at[0] <= horizon_ms), key=lambda commit: commit.at)
