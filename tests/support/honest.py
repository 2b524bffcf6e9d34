"""A well-behaved camera that sends all the while others do not, and how long each of its units took to be acknowledged.
It is a process of its own, `python honest.py URL CAMERA` with its token in TOKEN, so that it waits for nobody's turn.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from support.agent_client import agent, unit
from support.stores import wait_until

EVERY_S = 0.02


def p99(latencies_ms: list[float]) -> float:
    return sorted(latencies_ms)[int(len(latencies_ms) * 0.99)] if latencies_ms else float("nan")


class _Acks(dict[int, int]):
    """Prints, for each unit, how long it took from being sent until it was known to be logged."""

    def __init__(self, sent_at: list[float]) -> None:
        super().__init__()
        self._sent_at = sent_at

    def __setitem__(self, channel: int, seq: int) -> None:
        now = time.monotonic()
        for one in range(self.get(channel, 0), seq):
            print(f"{(now - self._sent_at[one]) * 1000:.2f}", flush=True)
        super().__setitem__(channel, seq)


async def send(url: str, camera: str, token: str) -> None:
    """50 units a second until stdin is closed; fails if any of them is not logged in the end."""
    sent_at: list[float] = []
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    async with agent(url, token, boot="honest") as client:
        acks = client.logged = _Acks(sent_at)
        await client.open(camera)
        while not over.done():
            sent_at.append(time.monotonic())
            await client.send(0, unit(1, len(sent_at)))
            await asyncio.sleep(EVERY_S)
        await wait_until(lambda: acks.get(0, 0) == len(sent_at), 20, "all that was sent is logged")


@asynccontextmanager
async def honest_camera(url: str, token: str, camera: str) -> AsyncIterator[list[float]]:
    """The process while the block runs; the latencies of its units in milliseconds, as they come. None may be lost."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, url, camera),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"TOKEN": token},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    latencies_ms: list[float] = []
    lines = process.stdout

    async def read() -> None:
        async for line in lines:
            latencies_ms.append(float(line))  # noqa: PERF401 - as they come

    reading = asyncio.create_task(read())
    try:
        await wait_until(lambda: latencies_ms or process.returncode is not None, 30, "the honest camera sends")
        yield latencies_ms
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(30):
                status = await process.wait()
        except TimeoutError:
            process.kill()
            status = await process.wait()
        await reading
    assert status == 0, "the honest camera was disturbed"


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(send(sys.argv[1], sys.argv[2], os.environ["TOKEN"]))
