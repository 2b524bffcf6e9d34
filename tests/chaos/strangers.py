"""Strangers at a real gateway: a million malformed messages, and every attempt at its door, while an honest camera
sends. Afterwards the gateway must still be the same process, have said nothing of an exception, and not have grown.

    python tests/chaos/strangers.py [--messages 1000000] [--seed 7] [--crowd 10000] [--seconds 4]
"""

import argparse
import asyncio
import contextlib
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from chaos.ending import run_to_its_end
from support import malformed as malformed_peer
from support.attempts import ATTEMPTS, Door
from support.fleet import Fleet
from support.honest import honest_camera, p99

from fishladder.gateway.tokens import KEYS_FILE, KeyFile

GROWTH_BYTES = 64 << 20


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def malformed(system: Fleet, door: Door, honest: list[float], count: int, seed: int) -> bool:
    """Send the messages from a process of its own, and watch the gateway meanwhile."""
    [gateway] = [part for part in system.parts if part.name == "gateway"]
    before, most, begun, first = resident_bytes(gateway.process.pid), 0, time.monotonic(), len(honest)
    attacker = await asyncio.create_subprocess_exec(
        *(sys.executable, malformed_peer.__file__, door.url, str(count), str(seed)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"TOKEN": door.token("bad")},
    )
    reading = asyncio.create_task(attacker.communicate())
    while not reading.done():
        most = max(most, resident_bytes(gateway.process.pid))
        await asyncio.wait([reading], timeout=0.5)
    sent, connections = (reading.result()[0] or b"0 0").decode().split()
    during = honest[first:]
    faulty = [line for line in gateway.said.splitlines() if "Traceback" in line or '"level": "error"' in line]
    print(f"malformed messages  {int(sent):,} over {int(connections):,} connections, {time.monotonic() - begun:.0f} s")
    print(f"gateway             alive: {gateway.process.returncode is None}, exceptions: {len(faulty)}")
    print(f"its memory          {before >> 20} MiB before, {most >> 20} at most")
    print(f"honest camera       {len(during):,} units logged, p99 {p99(during):.1f} ms, fenced or lost: 0")
    for line in faulty[:5]:
        print(f"  {line[:300]}")
    return gateway.process.returncode is None and not faulty and most < before + GROWTH_BYTES and int(sent) >= count


async def attempts(door: Door, honest: list[float], seconds: float) -> bool:
    """Each attempt again and again for a while; the table."""
    fine = True
    print(f"\n{'attempt':24} {'outcome':28} {'as it should':13} {'times':>6} {'honest p99':>11}")
    for name, (attempt, wanted) in ATTEMPTS.items():
        first, begun, times = len(honest), time.monotonic(), 0
        outcomes = set()
        while not times or time.monotonic() - begun < seconds:
            outcomes.add(await attempt(door))
            times += 1
        good = outcomes == {wanted}
        fine &= good
        shown = " | ".join(sorted(outcomes))
        print(f"{name:24} {shown:28} {'yes' if good else 'NO, ' + wanted:13} {times:>6} ", end="")
        print(f"{p99(honest[first:]):>8.1f} ms", flush=True)
    return fine


async def run(messages: int, seed: int, crowd: int, seconds: float) -> bool:
    with tempfile.TemporaryDirectory(prefix="fl-") as folder:
        system = Fleet(Path(folder))
        try:
            gateway = await system.gateway()
            keys = KeyFile(system.place / "data" / KEYS_FILE)
            door = Door(system.url, system.port, keys, crowd=crowd)
            async with honest_camera(system.url, door.token("honest"), "honest/door") as honest:
                await asyncio.sleep(5)
                print(f"honest camera alone  p99 {p99(honest):.1f} ms of {len(honest)} units\n")
                fine = await malformed(system, door, honest, messages, seed)
                fine &= await attempts(door, honest, seconds)
            said = gateway.said
            if "Traceback" in said:
                fine = False
                print(said[-3000:])
            print(f"\nthe gateway's log    {len(said.splitlines())} lines, {said.count('Traceback')} tracebacks")
            return fine
        finally:
            for part in system.parts:
                with contextlib.suppress(TimeoutError):
                    await part.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--crowd", type=int, default=10_000, help="idle connections at once")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each attempt at the door")
    told = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, told.crowd + 1000)), hard))
    good = run_to_its_end(run(told.messages, told.seed, told.crowd, told.seconds))
    print("all as it should be" if good else "NOT as it should be")
    sys.exit(not good)


if __name__ == "__main__":
    main()
