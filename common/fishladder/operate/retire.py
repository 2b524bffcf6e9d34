"""`fishladder retire`: what is not coming back is spoken of no more. Its account and results stay as long as they
would; a camera that is heard of again is back.
"""

import asyncio
import time
from pathlib import Path

import click
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fishladder.runtime.embedded import default_urls
from fishladder.runtime.logs import configure_logging
from fishladder.runtime.scripts import text
from fishladder.runtime.secret_files import SecretOption
from fishladder.runtime.store import check, connect, redacted
from fishladder.view.findings import AWAY_S
from fishladder.view.reader import StateReader
from fishladder.wire import keys
from fishladder.wire.errors import ConfigError, StoreUnavailable


@click.command()
@click.argument("which", metavar="SITE[/CAMERA]", required=False)
@click.option("--sink", help="A sink, by its name, in place of cameras.")
@click.option("--redis", cls=SecretOption, envvar="FISHLADDER_REDIS", help="State store URL.")
@click.option("--frames", cls=SecretOption, envvar="FISHLADDER_FRAMES", hidden=True, expose_value=False)
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Data directory of the gateway here."
)
def retire(which: str | None, sink: str | None, redis: str | None, data_dir: Path | None) -> None:
    """Say that a camera, all of a site's, or a sink is not coming back.

    Status, the live page and alerts are silent about it from then on. Nothing is deleted: its account stays in
    `ledger`, its results until retention ends. When it is heard of again, it is there again.
    """
    configure_logging("error")
    if (which is None) == (sink is None):
        raise click.UsageError("name a SITE, a SITE/CAMERA, or --sink NAME")
    for said in asyncio.run(_run(redis or default_urls(data_dir).state, which, sink)):
        click.echo(said)


async def _run(url: str, which: str | None, sink: str | None) -> list[str]:
    state = connect(url)
    try:
        reader = StateReader(state, await check(state, url, "state", create=False), url)
        if sink is not None:
            return [await _retire_sink(state, sink)]
        return [await _retire(reader, camera) for camera in await reader.cameras(which)]
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"the state store {redacted(url)}: {error}") from None
    finally:
        await state.aclose()


async def _retire(reader: StateReader, camera: str) -> str:
    key = keys.camera(reader.partition(camera), camera)
    heard_us = int(await reader.state.hget(key, "position_us") or 0)
    if heard_us and time.time_ns() // 1000 - heard_us < AWAY_S * 1e6:
        raise ConfigError(f"{camera} is still there: take it out of its agent's settings, or stop its sender, first")
    await reader.state.hset(key, "retired", str(time.time_ns() // 1_000_000))
    return f"{camera} is retired"


async def _retire_sink(state: Redis, sink: str) -> str:
    if not await state.hdel(keys.SINKS, sink):
        known = sorted(text(name) for name in await state.hkeys(keys.SINKS))
        raise ConfigError(f"no sink {sink} has said how it does; there are: {', '.join(known) or 'none'}")
    return f"sink {sink} is retired; where it had come to is kept, should it run again"
