"""Whether the two stores are what they should be: a state store that is on disk before it answers, a frame store with a
memory limit that refuses rather than forgets. Only says so; a weaker store works, and its users are told.
"""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError


@dataclass(frozen=True, slots=True)
class Finding:
    """`sound` None means that the store does not let us see; `why` is for people, and worth showing if `sound` is."""

    sound: bool | None
    why: str

    def __str__(self) -> str:
        return self.why


async def state_durability(state: Redis) -> Finding:
    """Whether a commit that the state store has acknowledged survives its machine's loss of power."""
    info = await state.info()
    settings = await _settings(state, "appendonly", "appendfsync")
    return judge_state(info, settings)


async def frame_limits(frames: Redis) -> Finding:
    """Whether the frame store has a memory limit and refuses writes over it."""
    return judge_frames(await frames.info("memory"))


def judge_state(info: dict[str, Any], settings: dict[str, str] | None) -> Finding:
    """The same from what INFO and CONFIG GET say; `settings` None = not allowed to ask. Pure."""
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory") and policy != "noeviction":
        return Finding(False, f"not durable: maxmemory-policy {policy} may evict state, set noeviction")
    replicas = int(info.get("connected_slaves", 0))
    beside = f" ({replicas} replica{'s' if replicas > 1 else ''})" if replicas else ""
    if not info.get("aof_enabled"):
        return Finding(False, f"not durable: appendonly is off{beside}, set appendonly yes and appendfsync always")
    if info.get("aof_last_write_status", "ok") != "ok":
        return Finding(False, "not durable: the last write to its append-only file failed, is its disk full?")
    if settings is None:
        return Finding(None, f"unknown: appendonly is on{beside}, but the store does not let us read appendfsync")
    fsync = settings.get("appendfsync")
    if fsync != "always":
        return Finding(False, f"not durable: appendfsync is {fsync}{beside}, set appendfsync always")
    return Finding(True, f"durable{beside}")


def judge_frames(info: dict[str, Any]) -> Finding:
    """The same from what INFO says of memory. Pure."""
    limit = info.get("maxmemory")
    if limit is None:
        return Finding(None, "unknown: the store does not tell its maxmemory")
    if not limit:
        return Finding(False, "no memory limit: set maxmemory, or a long outage of the workers fills the machine")
    policy = info.get("maxmemory_policy")
    if policy != "noeviction":
        return Finding(False, f"forgets frames when full: maxmemory-policy is {policy}, set noeviction")
    return Finding(True, f"{int(limit) // 2**20} MiB, refuses more when full")


async def _settings(store: Redis, *names: str) -> dict[str, str] | None:
    """CONFIG GET, or None where it is denied (managed services do)."""
    try:
        found = await store.config_get(*names)
    except ResponseError:
        return None
    return {str(name): str(value) for name, value in found.items()} or None
