"""The system that faults are injected into: two stores, two gateways behind a balancer, two workers, an agent with
four cameras, and another that pushes a fifth by WHIP, as real processes that are started again whenever they end, as a
service manager would.
"""

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.link import Link, link
from chaos.part import Part
from redis.asyncio import Redis
from redis.exceptions import RedisError
from support import clips
from support.files import write_ts
from support.fleet import FISHLADDER, free_port
from support.models import strips_model
from support.poison import crashing_on_marked

from fishladder.runtime.embedded import frames_options, state_options
from fishladder.runtime.ledger import Ledger, read_ledger
from fishladder.runtime.server import find_server, socket_url
from fishladder.runtime.store import connect
from fishladder.wire.ids import PARTITIONS, partition_of
from fishladder.wire.unit import Codec

SITE = "shop"
FPS = {"bframes": 8, "longgop": 8, "pattern": 5, "small": 4, "whip": 4}
#: By WHIP, which acknowledges nothing: what does not get through is gone, and said to be.
WHIP = "whip"
FRAMES_BYTES, STATE_BYTES, DISK_BYTES = 64 << 20, 64 << 20, 32 << 20
_FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
#: What an agent may take for its last words.
DRAIN_S = 20


@dataclass
class Plant:
    place: Path
    parts: dict[str, Part]
    link: Link
    frames: Redis
    state: Redis
    clock: Path | None  #: what the agent's wall clock is off by, if that can be faked
    poison: Path  #: while it exists, marked units crash whoever decodes them
    disk: Path  #: the agent's, of `DISK_BYTES` where a file system may be mounted

    @property
    def urls(self) -> tuple[str, str]:
        return self.frames_url, self.state_url

    @property
    def frames_url(self) -> str:
        return socket_url(self.place / "f.sock")

    @property
    def state_url(self) -> str:
        return socket_url(self.place / "s.sock")

    async def ledger(self, camera: str) -> Ledger:
        name = f"{SITE}/{camera}"
        return await read_ledger(self.state, partition_of(name, PARTITIONS), name, now_us=time.time_ns() // 1000)

    async def ledgers(self) -> dict[str, Ledger]:
        return {camera: await self.ledger(camera) for camera in FPS}

    async def until(self, what: str, within_s: float, condition: Callable[[dict[str, Ledger]], bool]) -> bool:
        """Wait for a condition of the ledgers; whether it came in time."""
        deadline = time.monotonic() + within_s
        while True:
            with contextlib.suppress(RedisError, OSError):
                if condition(await self.ledgers()):
                    return True
            if time.monotonic() > deadline:
                print(f"not within {within_s:g} s: {what}", flush=True)
                return False
            await asyncio.sleep(0.2)

    async def ledgers_moving(self, within_s: float = 60) -> bool:
        """Whether every camera settles something new in time."""
        while True:
            try:
                before = {camera: one.settled for camera, one in (await self.ledgers()).items()}
                break
            except (RedisError, OSError):
                await asyncio.sleep(0.2)
        return await self.until(
            "every camera goes on", within_s, lambda all_: all(one.settled > before[name] for name, one in all_.items())
        )

    def captures(self) -> dict[str, int]:
        """The agent's capture processes, by their age; which camera each has only they know."""
        agent = self.parts["agent"].pid
        found = {}
        if agent is not None:
            for pid in _children(agent):
                with contextlib.suppress(OSError):
                    if b"fishladder.edge.capture" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found[str(pid)] = pid
        return found


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _sources(place: Path) -> str:
    """The agent's settings: two cameras whose streams pass through, two that are encoded."""
    x264 = {"preset": "veryfast", "x264-params": "scenecut=0:b-adapt=0:b-pyramid=normal"}
    bframes = clips.encode(Codec.H264, 160, gop=16, b_frames=3, options=x264)
    longgop = clips.encode(Codec.H264, 240, gop=60, options=clips.X264)
    marked = clips.marked(bframes, every=16, at=9)
    write_ts(place / "bframes.ts", Codec.H264, marked, fps=FPS["bframes"])
    write_ts(place / "longgop.ts", Codec.H264, clips.marked(longgop, every=40, at=30), fps=FPS["longgop"])
    cameras = {
        "bframes": f'source = "file:{place}/bframes.ts"\nmode = "passthrough"\nloop = true',
        "longgop": f'source = "file:{place}/longgop.ts"\nmode = "passthrough"\nloop = true',
        "pattern": f'source = "test:640x360@{FPS["pattern"]}"\nmode = "encode"\nbitrate_kbps = 400',
        "small": f'source = "test:128x96@{FPS["small"]}"\nmode = "encode"\nbitrate_kbps = 60',
    }
    return "\n".join(f'[[camera]]\nname = "{name}"\n{what}\n' for name, what in cameras.items())


@asynccontextmanager
async def plant() -> AsyncIterator[Plant]:
    """Everything runs, and every camera has results, when the block begins; nothing is left when it ends."""
    binary = await find_server()
    place = Path(tempfile.mkdtemp(prefix="flc-"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        ports = {name: free_port() for name in ("gateway-0", "gateway-1")}
        turn = 0

        async def to_gateway() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            nonlocal turn
            for _ in ports:
                turn += 1
                port = list(ports.values())[turn % len(ports)]
                with contextlib.suppress(OSError):
                    return await asyncio.open_connection("127.0.0.1", port)
            raise OSError("no gateway listens")

        way = await stack.enter_async_context(link(to_gateway))
        poison, clock, disk = place / "poison", place / "faketime", place / "disk"
        stack.enter_context(small_disk(disk))
        memory = _memory(place)
        stack.callback(shutil.rmtree, memory, ignore_errors=True)
        clock.write_text("+0\n")
        urls = {"FISHLADDER_FRAMES": socket_url(place / "f.sock"), "FISHLADDER_REDIS": socket_url(place / "s.sock")}
        parts: dict[str, Part] = {}

        def part(name: str, *command: str, **environment: str) -> Part:
            it = Part(name, command, place / f"{name}.log", environment)
            parts[name] = it
            return it

        for name, socket, options in (
            ("frames", "f.sock", frames_options(FRAMES_BYTES)),
            ("state", "s.sock", state_options(STATE_BYTES)),
        ):
            (place / name).mkdir()
            told = [word for option, value in options.items() for word in (f"--{option}", value)]
            where = ("--port", "0", "--unixsocket", str(place / socket), "--dir", str(place / name))
            part(name, str(binary), *where, *told)
        for name, port in ports.items():
            flags = ("--port", str(port), "--metrics-port", "0", "--data-dir", str(place / "data"))
            part(name, *FISHLADDER, "gateway", "run", *flags, **urls)
        model = strips_model(place / "strips.onnx")
        crashing = crashing_on_marked(poison)
        for name in ("worker-0", "worker-1"):
            flags = ("--model", str(model), "--provider", "cpu", "--processes", "1", "--metrics-port", "0")
            part(name, *FISHLADDER, "worker", "run", *flags, "--lease-ms", "1000", **urls, **crashing)

        frames, state = connect(urls["FISHLADDER_FRAMES"]), connect(urls["FISHLADDER_REDIS"])
        stack.push_async_callback(frames.aclose)
        stack.push_async_callback(state.aclose)
        it = Plant(place, parts, way, frames, state, clock if _FAKETIME else None, poison, disk)

        token = await _token(place)
        config = f'[edge]\ngateway = "{way.url}"\nsite = "{SITE}"\nmetrics_port = 0\ndrain_s = {DRAIN_S}\n'
        spool = f'[spool]\ndirectory = "{disk}"\n'
        (place / "edge.toml").write_text(config + spool + _sources(place))
        lying = {}
        if _FAKETIME:
            lying = {
                "LD_PRELOAD": str(_FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
            }  # fmt: skip
        agent = ("edge", "run", "--config", str(place / "edge.toml"))
        own = {"FISHLADDER_EDGE_TOKEN": token, "XDG_RUNTIME_DIR": str(memory)}
        part("agent", *way.prefix, *FISHLADDER, *agent, **own, **lying)
        pushing = (
            f'[edge]\ngateway = "{way.url}"\nsite = "{SITE}"\nmetrics_port = 0\nuplink = "whip"\n'
            f'[[camera]]\nname = "{WHIP}"\nsource = "test:128x96@{FPS[WHIP]}"\nbitrate_kbps = 60\n'
        )
        (place / "whip.toml").write_text(pushing)
        pusher = ("edge", "run", "--config", str(place / "whip.toml"))
        part("whip agent", *way.prefix, *FISHLADDER, *pusher, FISHLADDER_EDGE_TOKEN=token)
        stack.callback(_forget_clocks, parts["agent"].pids)
        stack.push_async_callback(_end, list(parts.values()))
        keeping = [asyncio.create_task(one.keep(), name=one.name) for one in parts.values()]
        stack.push_async_callback(_cancelled, keeping)
        if not await it.until("every camera has results", 90, lambda all_: all(one.settled for one in all_.values())):
            for one in parts.values():
                print(f"--- {one.name}\n{one.log.read_text(errors='replace')[-1500:]}")
            raise AssertionError("the system does not come up")
        yield it


@contextlib.contextmanager
def small_disk(where: Path) -> Iterator[None]:
    """A directory that can be filled without filling the machine's disk; a plain one where nothing may be mounted."""
    where.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "flc", str(where)], capture_output=True
    )
    try:
        yield
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(where)], capture_output=True, check=False)


async def _token(place: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *FISHLADDER,
        "token",
        "create",
        "--site",
        SITE,
        "--data-dir",
        str(place / "data"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out.decode().strip()


def _memory(place: Path) -> Path:
    """A directory for the agent's runtime files, in memory if there is such a place."""
    shared = Path("/dev/shm")
    memory = shared / place.name if shared.is_dir() else place / "memory"
    memory.mkdir(mode=0o700)
    return memory


def _forget_clocks(pids: list[int]) -> None:
    """What libfaketime leaves of processes that were killed."""
    for pid in pids:
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            (Path("/dev/shm") / name).unlink(missing_ok=True)


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _end(parts: list[Part]) -> None:
    """End what still runs: users before their stores."""
    for part in reversed(parts):
        part.over = True
        if (process := part.process) is None or process.returncode is not None:
            continue
        part.signal(signal.SIGCONT)
        part.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


assert sys.platform == "linux", "faults are injected on Linux only"
