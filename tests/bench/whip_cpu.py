"""CPU per 720p30 session of our WHIP receiver beside stock aiortc with units taken out undecoded, in turns; and what
follows for a core.

    python tests/bench/whip_cpu.py [--sessions 4] [--seconds 12] [--rounds 2] [--json FILE]

Only the receiving process is measured (user and system time); it says some times a second how many units have come.
Ours runs under uvloop, as in the gateway; for stock aiortc that makes no difference.
"""

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.cpu import cpu_s

BENCH = Path(__file__).parent
SUPPORT = BENCH.parent / "support"
LEAST_RATIO = 0.6


@dataclass
class Receiver:
    """A receiving process, and how many units it says have come."""

    process: asyncio.subprocess.Process
    url: str
    warm: int  #: when so many have come, it is past its beginning
    units: int = 0
    is_warm: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.units = int(line)
            if self.units >= self.warm:
                self.is_warm.set()


async def receiver(script: str, warm: int) -> Receiver:
    command = (sys.executable, str(SUPPORT / script))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    return Receiver(process, json.loads(await process.stdout.readline())["url"], warm)


async def measure(script: str, sessions: int, seconds: float, servers: int = 1) -> tuple[float, int]:
    """CPU microseconds a unit, and how many units came to `servers` processes of `sessions` sessions each."""
    receiving = [await receiver(script, 10 * sessions) for _ in range(servers)]
    listening = [asyncio.create_task(one.listen()) for one in receiving]
    loads = []
    try:
        for one in receiving:
            command = (sys.executable, str(BENCH / "whip_load.py"), one.url, str(sessions), str(seconds + 4))
            loads.append(await asyncio.create_subprocess_exec(*command))
        for one in receiving:
            await one.is_warm.wait()
        spent, before = sum(cpu_s(one.process.pid) for one in receiving), sum(one.units for one in receiving)
        await asyncio.sleep(seconds)
        spent = sum(cpu_s(one.process.pid) for one in receiving) - spent
        units = sum(one.units for one in receiving) - before
        return spent * 1e6 / max(units, 1), units
    finally:
        for load in loads:
            await load.wait()
        for one in receiving:
            one.process.terminate()
            await one.process.wait()
        await asyncio.gather(*listening)


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sessions", type=int, default=4)
    options.add_argument("--seconds", type=float, default=12)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--processes", type=int, default=2, help="processes of ours in the last run; 1 leaves it out")
    options.add_argument("--json", type=Path)
    told = options.parse_args()
    figures: dict[str, list[float]] = {"our_whip.py": [], "stock_whip.py": []}
    for turn in range(told.rounds):
        for script, found in figures.items():
            us, units = await measure(script, told.sessions, told.seconds)
            found.append(us)
            print(f"round {turn + 1}  {script:<14} {us:6.0f} us a unit ({units} units)", flush=True)
    ours, stock = (statistics.median(found) for found in figures.values())
    print(f"ours / stock aiortc: {ours / stock:.2f} (at most {LEAST_RATIO})")
    print(f"sessions of 720p30 a core: ours {1e6 / (ours * 30):.0f}, stock {1e6 / (stock * 30):.0f}")
    report: dict[str, object] = {
        "us_per_unit": {"ours": ours, "stock": stock},
        "ratio": ours / stock,
        "sessions_per_core": {"ours": 1e6 / (ours * 30), "stock": 1e6 / (stock * 30)},
    }
    if told.processes > 1:
        us, _ = await measure("our_whip.py", told.sessions, told.seconds, told.processes)
        sessions = told.processes * 1e6 / (us * 30)
        print(f"{told.processes} processes of ours: {us:.0f} us a unit, {sessions:.0f} sessions on as many cores")
        report["processes"] = {"number": told.processes, "us_per_unit": us, "sessions": sessions}
    if told.json:
        told.json.write_text(json.dumps(report, indent=1) + "\n")
    return int(ours / stock > LEAST_RATIO)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
