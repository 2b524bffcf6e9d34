"""Leases in the state store: who has a partition, or whatever else only one may have at a time."""

from redis.asyncio import Redis

from fishladder.runtime.scripts import run
from fishladder.wire import keys


async def acquire_lease(state: Redis, partition: int, token: str, ttl_ms: int) -> bool:
    """Take a partition's lease if it is free."""
    return await acquire_lease_of(state, keys.lease(partition), token, ttl_ms)


async def renew_lease(state: Redis, partition: int, token: str, ttl_ms: int) -> bool:
    """Keep a lease; False if it is no longer ours."""
    return await renew_lease_of(state, keys.lease(partition), token, ttl_ms)


async def release_lease(state: Redis, partition: int, token: str) -> bool:
    """Give a lease up, so that another worker need not wait for it to expire."""
    return await release_lease_of(state, keys.lease(partition), token)


async def acquire_lease_of(state: Redis, key: str, token: str, ttl_ms: int) -> bool:
    """The same of any lease, by its key."""
    return bool(await run(state, "lease", [key], ["acquire", token, ttl_ms]))


async def renew_lease_of(state: Redis, key: str, token: str, ttl_ms: int) -> bool:
    return bool(await run(state, "lease", [key], ["renew", token, ttl_ms]))


async def release_lease_of(state: Redis, key: str, token: str) -> bool:
    return bool(await run(state, "lease", [key], ["release", token, 0]))
