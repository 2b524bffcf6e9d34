"""Connections to the two stores. A `Stores` is a pair of clients and the number of partitions they agree on."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from fishladder.runtime import sentinel
from fishladder.wire import keys
from fishladder.wire.errors import ConfigError, StoreError, StoreMismatch, StoreUnavailable
from fishladder.wire.ids import PARTITIONS

_ANSWER_S = 10.0
_SCHEMES = ("redis", "rediss", "unix")


@dataclass(frozen=True, slots=True)
class StoreUrls:
    """Where the frame store (memory only) and the state store (durable) are; they may be one."""

    frames: str
    state: str


@dataclass(frozen=True, slots=True)
class Stores:
    frames: Redis
    state: Redis
    partitions: int
    urls: StoreUrls


def redacted(url: str) -> str:
    """A store URL without its password, for messages and logs."""
    # Up to the last @: a password with a / or # in it, which should have been percent-encoded, is a password still.
    without = re.sub(r"(?<=//).*@", "***@", url)
    return re.sub(r"(?<=password=)[^&#]*", "***", without)


def connect(url: str, *, timeout_s: float = 5.0) -> Redis:
    """A client for `redis://`, `rediss://`, `unix://` or, with Sentinel, the URLs of `sentinel`; it connects on first
    use and leaves retries to its user.

    Raises `ConfigError`.
    """
    scheme = urlsplit(url).scheme
    if scheme in sentinel.SCHEMES:
        try:
            return sentinel.SentinelUrl.parse(url).client(timeout_s)
        except ValueError as error:
            raise ConfigError(f"store URL {redacted(url)!r}: {error}") from None
    if scheme not in _SCHEMES:
        known = "redis://, rediss://, unix:// or redis+sentinel://"
        raise ConfigError(f"store URL {redacted(url)!r}: expected {known}")
    try:
        return Redis.from_url(url, socket_connect_timeout=timeout_s, socket_timeout=None, health_check_interval=0)
    except ValueError:  # not quoted: it may repeat a piece of the password
        raise ConfigError(
            f"store URL {redacted(url)!r}: cannot be read; in a password, / # ? @ and % must be percent-encoded"
        ) from None


async def give_up_after(client: Redis, seconds: float) -> None:
    """Make a client fail with `TimeoutError` when an answer takes longer, and not try again: its user does.

    In place of redis-py's `socket_timeout`, which sends through `asyncio.wait_for`: on Python 3.11 that loses
    cancellations, and a loop told to end goes on for ever.
    """

    class Bounded:
        async def read_response(self, *args: Any, **kwargs: Any) -> Any:
            async with asyncio.timeout(seconds):
                return await super().read_response(*args, **kwargs)  # type: ignore[misc]

    pool = client.connection_pool
    pool.connection_class = type("BoundedConnection", (Bounded, pool.connection_class), {})
    client.set_retry(Retry(NoBackoff(), 0))
    await pool.disconnect()  # those that are open know nothing of it


async def check(client: Redis, url: str, what: str, partitions: int | None = None, *, create: bool = True) -> int:
    """Make sure a store answers and is ours; return its partitions. A new one gets `partitions` (default 64).

    Those who only read say `create=False`: then a new one is none. Raises `StoreUnavailable`, `StoreMismatch`.
    """
    try:
        async with asyncio.timeout(_ANSWER_S):
            schema, count = await client.hmget(keys.META, "schema", "partitions")
            # Only where it is missing: a full store takes no writes, but those who drain it must be able to start.
            if create and (schema is None or count is None):
                await client.hsetnx(keys.META, "schema", str(keys.SCHEMA))
                await client.hsetnx(keys.META, "partitions", str(partitions or PARTITIONS))
                schema, count = await client.hmget(keys.META, "schema", "partitions")
    except TimeoutError:
        raise StoreUnavailable(f"the {what} store {redacted(url)} does not answer within {_ANSWER_S:g} s") from None
    except ResponseError as error:
        raise StoreUnavailable(f"the {what} store {redacted(url)} answers: {error}") from None
    except (RedisError, OSError) as error:
        if isinstance(error, AuthenticationError) or isinstance(error.__cause__, AuthenticationError):
            raise StoreUnavailable(f"the {what} store {redacted(url)} refuses the login: {error}") from None
        raise StoreUnavailable(f"no {what} store at {redacted(url)}: {error}") from None
    if not create and (schema is None or count is None):
        raise StoreUnavailable(f"the {what} store {redacted(url)} holds nothing of ours: no gateway has used it yet")
    if schema is None or count is None:
        raise StoreError(f"the {what} store {redacted(url)} lost {keys.META} while it was read")
    if int(schema) != keys.SCHEMA:
        raise StoreMismatch(
            f"the {what} store {redacted(url)} holds schema {int(schema)}, this version knows {keys.SCHEMA}: "
            "use the version that wrote it, or an empty store"
        )
    if partitions is not None and int(count) != partitions:
        raise StoreMismatch(
            f"the {what} store {redacted(url)} was made with {int(count)} partitions, not {partitions}: "
            "that number is fixed when a store is first used"
        )
    return int(count)


@asynccontextmanager
async def open_stores(urls: StoreUrls, *, partitions: int | None = None) -> AsyncIterator[Stores]:
    """Connect to both stores and check that they belong together."""
    state = connect(urls.state)
    frames = state if urls.frames == urls.state else connect(urls.frames)
    try:
        count = await check(state, urls.state, "state", partitions)
        if frames is not state:
            await check(frames, urls.frames, "frame", count)
        yield Stores(frames, state, count, urls)
    finally:
        await frames.aclose()
        if state is not frames:
            await state.aclose()
