"""Asking a store with a bound on how long: a peer that vanished without a word (a cut cable, a frozen machine) answers
nothing for ever, and connections to it in a client's pool are as dead as the one that was tried.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

from fishladder.wire.errors import StoreUnavailable

ANSWER_S = 5.0


@asynccontextmanager
async def asking(store: Redis, what: str) -> AsyncIterator[None]:
    """Within the block the store has `ANSWER_S` to answer. Raises `StoreUnavailable`, beginning with `what`.

    After a time-out the pool's idle connections are closed, so that the next try has a new one.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except TimeoutError:
        await hang_up(store)
        raise StoreUnavailable(f"{what}: no answer within {ANSWER_S:g} s") from None
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"{what}: {error}") from None


async def hang_up(store: Redis) -> None:
    """Close the idle connections of a store that did not answer; those in use have their own time-outs."""
    with contextlib.suppress(RedisError, OSError):  # the peer may be gone, which is why we hang up
        await store.connection_pool.disconnect(inuse_connections=False)
