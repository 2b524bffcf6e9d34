"""How many WHIP sessions of 720p30 a whole gateway takes: `gateway run --processes N` with its stores, and senders on
the same machine that cost as little as they can. There are more in each step, until they are too many for the machine.

python tests/bench/whip_scale.py [--processes 2] [--sessions 40,80,120] [--seconds 12] [--json FILE]

Taken is the part of what was sent that the gateway put together; logged is the part of that in the frame log, which
nobody reads here. The cores used by the gateway's processes, the stores and the senders are told apart.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.cpu import cpu_s
from support.fleet import Fleet, fleet

from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.ids import partition_of

LIGHT = Path(__file__).parents[1] / "support" / "whip_light.py"
FPS = 30
#: Sessions of one token and one sending process.
PER_SENDER = 50
#: Of what was sent, in time: with less the machine is full.
LEAST_TAKEN = 0.98
_WARM_UP_S = 3


def family(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from family(int(child))


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


async def counted(system: Fleet, stores: Stores, cameras: list[str]) -> tuple[int, int]:
    """Units captured, and logged."""
    captured = sum([(await system.ledger(stores, camera)).captured for camera in cameras])
    logs = [keys.log(partition_of(camera, stores.partitions), camera) for camera in cameras]
    return captured, sum([await stores.frames.xlen(log) for log in logs])


async def measure(processes: int, sessions: int, seconds: float) -> dict[str, Any]:
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as place:
        async with fleet(Path(place), ["--processes", str(processes)]) as (system, stores):
            senders, cameras = [], []
            for at in range(0, sessions, PER_SENDER):
                count, site = min(PER_SENDER, sessions - at), f"load{at // PER_SENDER}"
                token = await system.token(site)
                command = (sys.executable, str(LIGHT), f"{system.url}/whip/{site}", str(count))
                command += (str(seconds + _WARM_UP_S + 3), token)
                pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
                senders.append(await asyncio.create_subprocess_exec(*command, **pipes))
                cameras += [f"{site}/c{number}" for number in range(count)]
            for sender in senders:
                assert sender.stdout is not None
                if not await sender.stdout.readline():
                    raise SystemExit("a sender failed, see above")
            for sender in senders:
                assert sender.stdin is not None
                sender.stdin.write(b"\n")
            await asyncio.sleep(_WARM_UP_S)
            everyone = list(family(system.parts[0].process.pid))
            stores_of = [pid for pid in everyone if "unixsocket" in command_of(pid)]
            gateways = [pid for pid in everyone if pid not in stores_of]
            groups = {"gateway": gateways, "stores": stores_of, "senders": [sender.pid for sender in senders]}

            def spent() -> dict[str, float]:
                return {name: sum(cpu_s(pid) for pid in pids) for name, pids in groups.items()}

            each = {pid: cpu_s(pid) for pid in gateways}
            before, (captured, logged) = spent(), await counted(system, stores, cameras)
            await asyncio.sleep(seconds)
            after, (captured_then, logged_then) = spent(), await counted(system, stores, cameras)
            busiest = max(cpu_s(pid) - each[pid] for pid in gateways) / seconds
            late_s = 0.0
            for sender in senders:
                said = (await sender.communicate())[0].splitlines()
                late_s = max([late_s, *(json.loads(line)[1] for line in said[_WARM_UP_S:-2])])
    cpu = {name: (after[name] - before[name]) / seconds for name in groups}
    return {
        "sessions": sessions,
        "taken": (captured_then - captured) / (sessions * FPS * seconds),
        "logged": (logged_then - logged) / max(captured_then - captured, 1),
        "late_s": late_s,
        "cpu": cpu,
        "busiest_process": busiest,
        "cores_used": sum(cpu.values()) / cores,
    }


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--sessions", default="20,40,60,80,100,120", help="how many, step by step")
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--json", type=Path)
    told = options.parse_args()
    steps = []
    for sessions in map(int, told.sessions.split(",")):
        it = await measure(told.processes, sessions, told.seconds)
        steps.append(it)
        cpu = ", ".join(f"{name} {used:.2f}" for name, used in it["cpu"].items())
        print(
            f"{sessions:>4} sessions  taken {it['taken']:.3f}  logged {it['logged']:.3f}  cores: {cpu}; the busiest "
            f"process {it['busiest_process']:.2f}; of the machine {it['cores_used']:.2f}; senders late by up to "
            f"{it['late_s']:.2f} s",
            flush=True,
        )
        if it["taken"] < LEAST_TAKEN:
            break
    if told.json:
        told.json.write_text(json.dumps({"processes": told.processes, "steps": steps}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
