"""CPU per 720p30 session of our WHIP receiver beside stock aiortc with units taken out undecoded, in turns; and what
follows for a core.

    python tests/bench/whip_cpu.py [--sessions 4] [--seconds 12] [--rounds 2] [--json FILE]

Only the receiving process is measured (user and system time). Both say a line for each unit, which costs both the
same. Ours runs under uvloop, as in the gateway; for stock aiortc that makes no difference.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
from pathlib import Path

BENCH = Path(__file__).parent
SUPPORT = BENCH.parent / "support"
LEAST_RATIO = 0.6


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(script: str, sessions: int, seconds: float, servers: int = 1) -> tuple[float, int]:
    """CPU microseconds a unit, and how many units came to `servers` processes of `sessions` sessions each."""
    receiving, loads, counts = [], [], []
    try:
        for _ in range(servers):
            command = (sys.executable, str(SUPPORT / script), "--units")
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, limit=2**20)
            receiving.append(process)
            assert process.stdout is not None
            url = json.loads(await process.stdout.readline())["url"]
            counts.append(asyncio.create_task(count(process.stdout)))
            command = (sys.executable, str(BENCH / "whip_load.py"), url, str(sessions), str(seconds + 4))
            loads.append(await asyncio.create_subprocess_exec(*command))
        marks = [0] * servers
        while min(marks) < 10 * sessions:
            await asyncio.sleep(0.2)
            marks = [units.get("units", 0) for units in SEEN.values()][-servers:]
        spent, before = sum(cpu_s(one.pid) for one in receiving), total()
        await asyncio.sleep(seconds)
        spent, units = sum(cpu_s(one.pid) for one in receiving) - spent, total() - before
        return spent * 1e6 / max(units, 1), units
    finally:
        for load in loads:
            await load.wait()
        for process in receiving:
            process.terminate()
            await process.wait()
        for task in counts:
            task.cancel()
        await asyncio.gather(*counts, return_exceptions=True)


SEEN: dict[int, dict[str, int]] = {}


def total() -> int:
    return sum(one["units"] for one in SEEN.values())


async def count(lines: asyncio.StreamReader) -> None:
    mine = SEEN.setdefault(id(lines), {"units": 0})
    async for _ in lines:
        mine["units"] += 1


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
