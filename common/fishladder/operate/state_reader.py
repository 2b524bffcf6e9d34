"""The state store as commands need it that only read: which one, is it ours, which cameras are meant. It needs no frame
store, and leaves nothing behind in a store that is not in use yet.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fishladder.runtime.embedded import default_urls
from fishladder.runtime.scripts import text
from fishladder.runtime.secret_files import SecretOption
from fishladder.runtime.store import check, connect, redacted
from fishladder.wire import keys
from fishladder.wire.errors import ConfigError, StoreUnavailable, WireError
from fishladder.wire.ids import check_camera, check_name, partition_of, site_of


@dataclass(frozen=True, slots=True)
class StateReader:
    state: Redis
    partitions: int
    url: str

    async def known_cameras(self, which: str | None) -> list[str]:
        """All cameras, those of a site, or the one named, sorted; none if they have never been heard of."""
        names = [await self.state.smembers(keys.cameras(partition)) for partition in self._partitions(which)]
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


def state_url(redis: str | None, data_dir: Path | None) -> str:
    """The URL --redis gives, else that of a gateway on this host. Raises `StoreUnavailable`."""
    return redis or default_urls(data_dir).state


def check_which(_: click.Context, __: click.Parameter, which: str | None) -> str | None:
    """Click callback of the argument [CAMERA|SITE]."""
    if which is not None:
        try:
            check_camera(which) if "/" in which else check_name(which, "site")
        except WireError as error:
            raise click.BadParameter(str(error)) from None
    return which


def reader_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument [CAMERA|SITE] (`which`) and the options that say which store (`redis`, `data_dir`)."""
    for add in (
        click.argument("which", required=False, metavar="[CAMERA|SITE]", callback=check_which),
        click.option(
            "--redis",
            cls=SecretOption,
            envvar="FISHLADDER_REDIS",
            help="State store URL  [default: a gateway's on this host]",
        ),
        # Not needed to read, but one pair of flags shall do for all commands.
        click.option("--frames", cls=SecretOption, envvar="FISHLADDER_FRAMES", hidden=True, expose_value=False),
        click.option(
            "--data-dir",
            type=click.Path(file_okay=False, path_type=Path),
            help="Data directory of the gateway on this host.",
        ),
    ):
        command = add(command)
    return command
