"""The state store as those need it who only read: is it ours, which cameras are there. It needs no frame store, and
leaves nothing behind in a store that is not in use yet.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from fishladder.runtime.scripts import text
from fishladder.runtime.store import check, connect, redacted
from fishladder.wire import keys
from fishladder.wire.errors import ConfigError, StoreUnavailable
from fishladder.wire.ids import partition_of, site_of


@dataclass(frozen=True, slots=True)
class StateReader:
    state: Redis
    partitions: int
    url: str

    async def known_cameras(self, which: str | None) -> list[str]:
        """All cameras, those of a site, or the one named, sorted; none if they have never been heard of."""
        async with self.state.pipeline(transaction=False) as pipe:
            for partition in self._partitions(which):
                pipe.smembers(keys.cameras(partition))
            names = await pipe.execute()
        known = sorted(text(name) for members in names for name in members)
        return [name for name in known if which is None or which in (name, site_of(name))]

    async def cameras(self, which: str | None) -> list[str]:
        """The same, but raises `ConfigError` if `which` names none."""
        chosen = await self.known_cameras(which)
        if which is not None and not chosen:
            raise ConfigError(f"no {'camera' if '/' in which else 'site'} {which} has ever been heard of in this store")
        return chosen

    def partition(self, camera: str) -> int:
        return partition_of(camera, self.partitions)

    def _partitions(self, which: str | None) -> Iterable[int]:
        return [self.partition(which)] if which and "/" in which else range(self.partitions)


@asynccontextmanager
async def open_reader(url: str) -> AsyncIterator[StateReader]:
    """Connect and check. Raises `StoreUnavailable`, also for what goes wrong within the block."""
    state = connect(url)
    try:
        yield StateReader(state, await check(state, url, "state", create=False), url)
    except (RedisError, OSError) as error:
        if isinstance(error, BrokenPipeError):  # of our own output
            raise
        raise StoreUnavailable(f"the state store {redacted(url)}: {error}") from None
    finally:
        await state.aclose()
