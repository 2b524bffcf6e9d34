"""A master, a replica and a sentinel that fails over between them, as real processes on free ports."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError
from support.fleet import free_port
from support.stores import wait_until

from fishladder.runtime.sentinel import SentinelUrl
from fishladder.runtime.server import find_server

NAME = "fl"


@dataclass
class Member:
    """One server and its port; killing it is the test's business."""

    port: int
    process: asyncio.subprocess.Process

    @property
    def client(self) -> Redis:
        return Redis(port=self.port)


@dataclass
class Replicated:
    """`url` is what a user would give."""

    master: Member
    replica: Member
    sentinel: Member

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{NAME}"

    async def failed_over(self) -> None:
        """Wait until the replica is master and the sentinel says so."""

        async def promoted() -> bool:
            async with self.replica.client as client, self.sentinel.client as sentinel:
                _, port = await sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
                return int(port) == self.replica.port and (await client.info("replication"))["role"] == "master"

        await wait_until(promoted, timeout=60, what="the replica is promoted")

        async def found() -> bool:  # a sentinel calls no master healthy before it has heard of it
            try:
                return await SentinelUrl.parse(self.url).address(1.0) == ("127.0.0.1", self.replica.port)
            except RedisError:
                return False

        await wait_until(found, timeout=60, what="the sentinel names the new master")


async def _start(stack: AsyncExitStack, binary: Path, place: Path, port: int, *options: str) -> Member:
    place.mkdir()  # noqa: ASYNC240 - once, at the start
    process = await asyncio.create_subprocess_exec(
        *(binary, *options, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(place), "--save", ""),
        stdout=asyncio.subprocess.DEVNULL,
    )

    async def stop() -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()

    stack.push_async_callback(stop)
    member = Member(port, process)

    async def answers() -> bool:
        try:
            async with member.client as client:
                return bool(await client.ping())
        except OSError:
            return False

    await wait_until(answers, what=f"the server on port {port} answers")
    return member


@asynccontextmanager
async def replicated() -> AsyncIterator[Replicated]:
    """Both servers durable, the replica in step, the sentinel watching; all gone when the block ends."""
    binary = await find_server()
    place = Path(tempfile.mkdtemp(prefix="fl-"))
    durable = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        master = await _start(stack, binary, place / "master", free_port(), *durable, "--repl-diskless-sync-delay", "0")
        follow = ("--replicaof", f"127.0.0.1 {master.port}")
        replica = await _start(stack, binary, place / "replica", free_port(), *durable, *follow)

        async def in_step() -> bool:
            async with replica.client as client:
                return bool((await client.info("replication"))["master_link_status"] == "up")

        await wait_until(in_step, timeout=30, what="the replica is in step")
        configuration = place / "sentinel.conf"
        configuration.write_text(
            f"sentinel monitor {NAME} 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds {NAME} 1000\n"
            f"sentinel failover-timeout {NAME} 4000\n"
        )
        port = free_port()
        sentinel = await _start(stack, binary, place / "sentinel", port, str(configuration), "--sentinel")

        async def knows_both() -> bool:
            async with sentinel.client as client:
                return len(await client.execute_command("SENTINEL", "REPLICAS", NAME)) == 1

        await wait_until(knows_both, timeout=30, what="the sentinel knows the replica")
        yield Replicated(master, replica, sentinel)
