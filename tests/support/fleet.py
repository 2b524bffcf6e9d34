"""A whole system of real processes for end-to-end tests: gateway with its embedded stores, workers, agents, started by
the commands an operator would type. Each writes a log file, shown when a test fails.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fishladder.runtime.embedded import default_urls
from fishladder.runtime.ledger import Ledger, read_ledger
from fishladder.runtime.store import Stores, open_stores
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.ids import partition_of
from fishladder.wire.result import Result, decode

FISHLADDER = (sys.executable, "-m", "fishladder.runtime")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def listens(port: int) -> bool:
    """Whether somebody here takes connections at it."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@dataclass
class Part:
    """One process and its log."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        self.process.kill()

    async def stop(self, within_s: float = 30) -> int:
        """SIGTERM, and its exit status."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), within_s)

    async def ended(self, within_s: float = 60) -> int:
        return await asyncio.wait_for(self.process.wait(), within_s)


@dataclass
class Account:
    """A camera's settled seqs as its results say: (epoch, seq) -> fate, and what was seen in the inferred ones."""

    fates: dict[tuple[int, int], Fate] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def frames(self) -> dict[tuple[int, int], list[object]]:
        """(epoch, seq) -> detections."""
        return {(r.epoch, frame.seq): list(frame.detections) for r in self.results for frame in r.frames}


@dataclass
class Fleet:
    place: Path
    port: int = field(default_factory=free_port)
    parts: list[Part] = field(default_factory=list)
    stores: Stores | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, name: str, *command: str, env: dict[str, str] | None = None) -> Part:
        """Start `fishladder COMMAND`."""
        number = sum(part.name == name for part in self.parts)
        path = self.place / f"{name}-{number}.log"
        with path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *FISHLADDER, *command, stdout=log, stderr=log, env={**os.environ, **self.environment, **(env or {})}
            )
        part = Part(name, process, path)
        self.parts.append(part)
        return part

    async def run(self, *command: str, within_s: float = 60) -> tuple[int, str, str]:
        """Run a command to its end; its status, stdout and stderr."""
        process = await asyncio.create_subprocess_exec(
            *FISHLADDER,
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self.environment},
        )
        out, err = await asyncio.wait_for(process.communicate(), within_s)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def gateway(self, *flags: str) -> Part:
        """A gateway with embedded stores, listening."""
        part = await self.start(
            "gateway",
            *("gateway", "run", "--host", "127.0.0.1", "--port", str(self.port), "--metrics-port", "0"),
            *("--data-dir", str(self.place / "data"), *flags),
        )
        await until(lambda: self._listens(part), 60, "the gateway listens")
        return part

    async def _listens(self, part: Part) -> bool:
        assert part.process.returncode is None, f"the gateway ended: {part.said[-2000:]}"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def token(self, site: str, *flags: str) -> str:
        status, out, err = await self.run(
            "token", "create", "--site", site, "--data-dir", str(self.place / "data"), *flags
        )
        assert status == 0, err
        return out.strip()

    async def worker(self, model: Path, *flags: str) -> Part:
        return await self.start(
            "worker",
            *("worker", "run", "--model", str(model), "--processes", "1", "--metrics-port", "0"),
            *("--data-dir", str(self.place / "data"), *flags),
        )

    async def edge(
        self, site: str, cameras: dict[str, str], *flags: str, gateway: str | None = None, token: str | None = None
    ) -> Part:
        """An agent for a site; `cameras` maps names to sources."""
        command = ["edge", "run", "--gateway", gateway or self.url, "--site", site, "--metrics-port", "0"]
        for name, source in cameras.items():
            command += ["--camera", f"{name}={source}"]
        env = {"FISHLADDER_EDGE_TOKEN": token or await self.token(site)}
        if "--spool-dir" not in flags and "--no-spool" not in flags:
            command += ["--spool-dir", str(self.place / "spool" / site)]
        return await self.start("edge", *command, *flags, env=env)

    async def ledger(self, stores: Stores, camera: str) -> Ledger:
        partition = partition_of(camera, stores.partitions)
        return await read_ledger(stores.state, partition, camera, now_us=time.time_ns() // 1000)

    async def settled(self, stores: Stores, camera: str, captured: int = 1, within_s: float = 60) -> Ledger:
        """Wait until at least `captured` frames were captured and none is pending; the ledger, which must close."""

        async def quiet() -> bool:
            ledger = await self.ledger(stores, camera)
            return ledger.captured >= captured and ledger.pending == 0

        await until(quiet, within_s, f"{camera} has {captured} frames captured and none pending")
        ledger = await self.ledger(stores, camera)
        assert ledger.closes, ledger
        return ledger

    async def account(self, stores: Stores, camera: str) -> Account:
        """Recount a camera from its results: every seq once, in order, without holes within an epoch; what was deferred
        once more, in any order. What is still `deferred` has no fate yet.
        """
        entries = await stores.state.xrange(keys.results(partition_of(camera, stores.partitions), camera))
        account = Account()
        at: dict[int, int] = {}
        for _, fields in entries:
            one = decode(fields[b"r"])
            account.results.append(one)
            if one.lane == keys.BACKFILL:
                for code, first, last in one.runs:
                    for seq in range(first, last + 1):
                        before = account.fates[one.epoch, seq]
                        assert before is Fate.DEFERRED, (
                            f"{camera}: {one.epoch}-{seq} is settled again, after {before!r}"
                        )
                        account.fates[one.epoch, seq] = Fate(code)
                continue
            assert one.first == at.get(one.epoch, 0) + 1, f"{camera}: {one.epoch}-{one.first} after {at}"
            covered = one.first - 1
            for code, first, last in one.runs:
                assert first == covered + 1, f"{camera}: a hole before {one.epoch}-{first}"
                for seq in range(first, last + 1):
                    account.fates[one.epoch, seq] = Fate(code)
                covered = last
            assert covered == one.last
            at[one.epoch] = one.last
        return account


async def until(condition: Callable[[], Awaitable[bool]], within_s: float, what: str) -> None:
    """Wait for `condition`, looking every 50 ms."""
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def fleet(place: Path, gateway_flags: Sequence[str] = ()) -> AsyncIterator[tuple[Fleet, Stores]]:
    """A gateway and clients for its stores; everything started through it ends with it."""
    it = Fleet(place)
    try:
        await it.gateway(*gateway_flags)
        async with open_stores(default_urls(place / "data")) as stores:
            it.stores = stores
            yield it, stores
    except BaseException:
        for part in it.parts:
            print(f"--- {part.log.name}\n{part.said[-4000:]}")
        raise
    finally:
        for part in reversed(it.parts):
            if part.process.returncode is None:
                part.process.terminate()
        for part in reversed(it.parts):
            try:
                await asyncio.wait_for(part.process.wait(), 15)
            except TimeoutError:
                part.process.kill()
                await part.process.wait()
