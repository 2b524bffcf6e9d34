"""What each kind of fault does to the plant, and how it is healed. One whose target is down already does nothing."""

import asyncio
import contextlib
import json
import os
import signal
import time
from pathlib import Path

from chaos.plan import Fault, Kind
from chaos.plant import FRAMES_BYTES, STATE_BYTES, Plant
from chaos.power import cut_power
from redis.asyncio import Redis
from redis.exceptions import RedisError


class Injector:
    """Says each fault and its end as a JSON line to `log`. Cuts of the link add up: it heals when the last is over."""

    def __init__(self, plant: Plant, log: Path) -> None:
        self.hit: list[Fault] = []
        self.missed: list[Fault] = []
        self._plant = plant
        self._log = log
        self._began = time.monotonic()
        self._offset_s = 0
        self.began_ms = 0  #: when the first fault was due, Unix milliseconds

    async def run(self, faults: list[Fault]) -> None:
        """All of them, each at its time; returns when all are healed."""
        self._began, self.began_ms = time.monotonic(), time.time_ns() // 1_000_000
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(self._inject(fault), name=f"fault {fault.number}")

    async def _inject(self, fault: Fault) -> None:
        await asyncio.sleep(max(0.0, self._began + fault.at_s - time.monotonic()))
        did = await self._do(fault)
        (self.hit if did else self.missed).append(fault)
        self._say(fault, "healed" if did else "nothing to hit")

    def _say(self, fault: Fault, what: str, **more: object) -> None:
        at_s = round(time.monotonic() - self._began, 2)
        line = {
            "at_s": at_s,
            "fault": fault.number,
            "kind": fault.kind.value,
            "target": fault.target,
            "for_s": fault.for_s,
        }
        with self._log.open("a") as out:
            out.write(json.dumps(line | {"what": what} | more) + "\n")

    async def _do(self, fault: Fault) -> bool:
        self._say(fault, "begins")
        plant, target, for_s = self._plant, fault.target, fault.for_s
        match fault.kind:
            case Kind.WORKER_KILLED | Kind.GATEWAY_KILLED | Kind.AGENT_KILLED | Kind.FRAMES_KILLED:
                return await self._ended(target, signal.SIGKILL, for_s)
            case Kind.WORKER_RESTARTED | Kind.GATEWAY_RESTARTED | Kind.AGENT_RESTARTED:
                return await self._ended(target, signal.SIGTERM, for_s)
            case Kind.STATE_POWER_CUT:
                return await self._power_cut(fault)
            case Kind.WORKER_PAUSED | Kind.GATEWAY_PAUSED | Kind.AGENT_PAUSED | Kind.FRAMES_PAUSED | Kind.STATE_PAUSED:
                return await self._paused(target, for_s)
            case Kind.LINK_UP_CUT:
                return await self._cut(for_s, up=True, down=False)
            case Kind.LINK_DOWN_CUT:
                return await self._cut(for_s, up=False, down=True)
            case Kind.LINK_CUT:
                return await self._cut(for_s, up=True, down=True)
            case Kind.CAMERA_KILLED:
                return self._camera_killed(fault)
            case Kind.FRAMES_WIPED:
                with contextlib.suppress(RedisError, OSError):
                    async with asyncio.timeout(5):
                        await plant.frames.flushall()
                        return True
                return False
            case Kind.FRAMES_FULL:
                return await self._full(plant.frames, for_s, FRAMES_BYTES)
            case Kind.STATE_FULL:
                return await self._full(plant.state, for_s, STATE_BYTES)
            case Kind.CLOCK_STEPPED:
                return await self._clock(fault)
            case Kind.POISON:
                plant.poison.touch()
                await asyncio.sleep(for_s)
                plant.poison.unlink(missing_ok=True)
                return True
            case Kind.DISK_FULL:
                return await self._disk_full(for_s)

    async def _ended(self, target: str, number: int, down_s: float) -> bool:
        part = self._plant.parts[target]
        process = part.process
        if process is None or not part.end(number, down_s):
            return False
        await process.wait()
        await asyncio.sleep(down_s)
        return True

    async def _power_cut(self, fault: Fault) -> bool:
        part = self._plant.parts[fault.target]
        if (pid := part.pid) is None:
            return False
        part.expected, part.restart_s = True, fault.for_s
        lost = await asyncio.to_thread(cut_power, pid, self._plant.place / fault.target / "appendonlydir")
        self._say(fault, "power is off", unsynced_bytes=lost)
        await asyncio.sleep(fault.for_s)
        return True

    async def _paused(self, target: str, for_s: float) -> bool:
        part = self._plant.parts[target]
        pid = part.pid
        if not part.signal(signal.SIGSTOP):
            return False
        await asyncio.sleep(for_s)
        if part.pid == pid:
            part.signal(signal.SIGCONT)
        return True

    async def _cut(self, for_s: float, *, up: bool, down: bool) -> bool:
        self._plant.link.cut(up=up, down=down)
        await asyncio.sleep(for_s)
        self._plant.link.cut(up=False, down=False)
        return True

    def _camera_killed(self, fault: Fault) -> bool:
        captures = sorted(self._plant.captures().values())
        if not captures:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(captures[fault.number % len(captures)], signal.SIGKILL)
            return True
        return False

    async def _full(self, store: Redis, for_s: float, limit_bytes: int) -> bool:
        """Not a byte more than there is now."""
        if not await self._limit(store, None):
            return False
        await asyncio.sleep(for_s)
        for _ in range(60):
            if await self._limit(store, limit_bytes):
                return True
            await asyncio.sleep(0.5)  # paused, or down
        return True

    async def _limit(self, store: Redis, limit_bytes: int | None) -> bool:
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(3):
                if limit_bytes is None:
                    limit_bytes = int((await store.info("memory"))["used_memory"])
                await store.config_set("maxmemory", str(limit_bytes))
                return True
        return False

    async def _disk_full(self, for_s: float) -> bool:
        if not self._plant.disk.is_mount():
            return False
        ballast = self._plant.disk / "ballast"
        try:
            with ballast.open("wb") as file:
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
        except OSError:  # there is no room for more
            await asyncio.sleep(for_s)
        ballast.unlink()
        return True

    async def _clock(self, fault: Fault) -> bool:
        """Steps ahead or back, and stays there."""
        if self._plant.clock is None:
            return False
        self._offset_s += (3600, -7200, 86_400, -86_400 * 400)[fault.number % 4]
        new = self._plant.place / "faketime.new"
        new.write_text(f"{self._offset_s:+d}s\n")
        new.replace(self._plant.clock)
        await asyncio.sleep(fault.for_s)
        return True
