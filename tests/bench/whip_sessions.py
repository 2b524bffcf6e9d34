"""Opens and closes many WHIP sessions with real media against a gateway in this process, and shows what is left of
them: memory, threads, file descriptors and asyncio tasks before and after.

python tests/bench/whip_sessions.py [--sessions 200] [--at-once 10]
"""

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.gateways import gateway
from support.stores import temporary_pair

BENCH = Path(__file__).parent
#: A growth of more is a leak.
ALLOWED = {"memory KB": 8192, "threads": 0, "files": 4, "tasks": 0}
_LIMITS = {"whip_burst": 100_000, "connections_per_token": 1000, "whip_sessions": 1000}


def footprint() -> dict[str, int]:
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "memory KB": int(status["VmRSS"].split()[0]),
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "tasks": len(asyncio.all_tasks()),
    }


async def batch(url: str, token: str, sessions: int) -> None:
    command = (sys.executable, str(BENCH / "whip_load.py"), url, str(sessions), "1.5", token)
    load = await asyncio.create_subprocess_exec(*command)
    assert await load.wait() == 0, "the clients failed"


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sessions", type=int, default=200)
    options.add_argument("--at-once", type=int, default=10)
    told = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        async with temporary_pair() as urls, gateway(Path(place), urls, limits=_LIMITS, log_level="error") as it:
            token = it.token("load")
            for _ in range(3):
                await batch(it.url, token, told.at_once)  # what is made once is made
            before = footprint()
            for done in range(0, told.sessions, told.at_once):
                await batch(it.url, token, told.at_once)
                if sys.stderr.isatty():
                    print(f"\r{done + told.at_once} of {told.sessions}", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(1)
            after = footprint()
    leaked = 0
    print(f"\n{'':<12}{'before':>10}{'after':>10}{'allowed':>10}")
    for what, allowed in ALLOWED.items():
        leaked += after[what] - before[what] > allowed
        print(f"{what:<12}{before[what]:>10}{after[what]:>10}{'+' + str(allowed):>10}")
    return int(leaked > 0)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
