"""What is wanted of cameras, in the state store: what people desire (the policy), what the stack asks beyond that, and
a keyframe now. Whoever says so is heard at once by the gateway that has the camera.
"""

import time
from collections.abc import Mapping, Sequence

import msgspec
from redis.asyncio import Redis

from fishladder.wire import keys, reports
from fishladder.wire.messages import Asked, Policy


async def set_policy(state: Redis, partition: int, camera: str, policy: Policy) -> None:
    """Set what is wanted of a camera, in place of its gateway's default, and tell the gateway that has it."""
    at_ms = time.time_ns() // 1_000_000
    items: list[bytes | str] = ["policy", msgspec.json.encode(policy), "policy_set", "1", "policy_ms", str(at_ms)]
    await state.hset(keys.camera(partition, camera), items=items)
    await state.publish(keys.control(partition), msgspec.json.encode({"camera": camera, "policy": policy}))


async def set_asked(state: Redis, partition: int, cameras: Mapping[str, Asked]) -> None:
    """The same of what the stack asks of cameras of a partition by itself."""
    async with state.pipeline(transaction=False) as pipe:
        for camera, asked in cameras.items():
            pipe.hset(keys.camera(partition, camera), "asked", msgspec.json.encode(asked))
            pipe.publish(keys.control(partition), msgspec.json.encode({"camera": camera, "asked": asked}))
        await pipe.execute()


async def ask_keyframe(state: Redis, partition: int, camera: str) -> None:
    """Have a camera's agent send a keyframe at once, if a gateway has it."""
    await state.publish(keys.control(partition), msgspec.json.encode({"camera": camera, "keyframe": True}))


async def read_wanted(state: Redis, cameras: Sequence[tuple[int, str]]) -> list[tuple[Policy | None, Asked | None]]:
    """What is wanted of some cameras, by (partition, name); None where nothing is stored that can be read."""
    async with state.pipeline(transaction=False) as pipe:
        for partition, camera in cameras:
            pipe.hmget(keys.camera(partition, camera), "policy", "asked")
        return [(reports.read(Policy, policy), reports.read(Asked, asked)) for policy, asked in await pipe.execute()]
