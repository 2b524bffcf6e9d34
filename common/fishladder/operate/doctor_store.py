"""The stores: whether they can be reached, are new enough, are ours, keep what they acknowledge and refuse what they
cannot hold. Reads only.
"""

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fishladder.operate.doctor_line import Line

if TYPE_CHECKING:
    from redis.asyncio import Redis

_ANSWER_S = 10.0


def check_stores(state: str | None, frames: str | None) -> list[Line]:
    """The stores these URLs name, else those of a gateway on this host, else what a gateway would start."""
    if find_spec("redis") is None:
        return []  # a camera host; the line of its extra says so
    return asyncio.run(_check(state, frames))


async def _check(state: str | None, frames: str | None) -> list[Line]:
    from fishladder.runtime.embedded import store_urls
    from fishladder.wire.errors import FishladderError, StoreUnavailable

    try:
        urls = store_urls(state, frames)
    except StoreUnavailable:  # nobody named a store, and no gateway runs one here
        return [await _what_would_start()]
    except FishladderError as error:
        return [Line("stores", "fail", str(error))]
    lines = await _check_one("state store", urls.state, is_state=True, is_frames=urls.frames == urls.state)
    if urls.frames != urls.state:
        lines += await _check_one("frame store", urls.frames, is_state=False, is_frames=True)
    return lines


async def _what_would_start() -> Line:
    from fishladder.runtime.server import find_server, server_version
    from fishladder.wire.errors import StoreUnavailable

    try:
        binary = await find_server()
        version = await server_version(binary)
    except StoreUnavailable as error:
        return Line("stores", "fail", str(error))
    return Line("stores", "ok", f"no gateway runs here; one would start its own with {binary} ({version})")


async def _check_one(topic: str, url: str, *, is_state: bool, is_frames: bool) -> list[Line]:
    from redis.exceptions import RedisError

    from fishladder.runtime.store import connect, redacted
    from fishladder.wire.errors import ConfigError

    try:
        client = connect(url)
    except ConfigError as error:
        return [Line(topic, "fail", str(error))]
    try:
        async with asyncio.timeout(_ANSWER_S):
            lines = [await _identity(client, topic, redacted(url))]
            if lines[0].status != "fail":
                lines += await _suitability(client, topic, is_state=is_state, is_frames=is_frames)
            return lines
    except TimeoutError:
        return [Line(topic, "fail", f"{redacted(url)} did not answer within {_ANSWER_S:.0f} s")]
    except (RedisError, OSError) as error:
        return [Line(topic, "fail", f"{redacted(url)}: {error}")]
    finally:
        await client.aclose()


async def _identity(client: "Redis", topic: str, url: str) -> Line:
    from fishladder.runtime.server import OLDEST_VERSION
    from fishladder.wire import keys

    info = await client.info("server")
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version", "?"))
    what = f"{url} answers, {name} {version}"
    number = version.partition(".")[0]
    if not number.isdigit() or int(number) < OLDEST_VERSION:
        return Line(topic, "fail", f"{what}: fishladder needs version {OLDEST_VERSION} or later")
    schema = await client.hget(keys.META, "schema")
    if schema is not None and int(schema) != keys.SCHEMA:
        return Line(topic, "fail", f"{what}, holds schema {int(schema)}: this version knows {keys.SCHEMA}")
    return Line(topic, "ok", what if schema is not None else f"{what}, not used by fishladder yet")


async def _suitability(client: "Redis", topic: str, *, is_state: bool, is_frames: bool) -> list[Line]:
    from fishladder.runtime.durability import frame_limits, state_durability

    findings = [await state_durability(client)] if is_state else []
    findings += [await frame_limits(client)] if is_frames else []
    return [Line(topic, "ok" if finding.sound else "warn", finding.why) for finding in findings]
