"""Opens and closes many WHIP sessions with real media against a gateway in this process, and shows what is left of
them: memory, threads, file descriptors and asyncio tasks before and after.

python tests/bench/whip_sessions.py [--sessions 200] [--at-once 10] [--json FILE]
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.footprint import ALLOWED, footprint, leaks, settled
from support.gateways import gateway
from support.stores import temporary_pair

from fishladder.runtime.logs import configure_logging

BENCH = Path(__file__).parent
_LIMITS = {"whip_burst": 100_000, "connections_per_token": 1000, "whip_sessions": 1000}


async def batch(url: str, token: str, sessions: int) -> None:
    command = (sys.executable, str(BENCH / "whip_load.py"), url, str(sessions), "1.5", token)
    load = await asyncio.create_subprocess_exec(*command)
    if await load.wait():
        raise SystemExit("the clients failed, see above")


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sessions", type=int, default=200)
    options.add_argument("--at-once", type=int, default=10)
    options.add_argument("--json", type=Path)
    told = options.parse_args()
    configure_logging("error")
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
            after = await settled(before)
    print(f"{told.sessions} sessions, {told.at_once} at a time\n{'':<12}{'before':>10}{'after':>10}{'allowed':>10}")
    for what, allowed in ALLOWED.items():
        print(f"{what:<12}{before[what]:>10}{after[what]:>10}{'+' + str(allowed):>10}")
    if told.json:
        told.json.write_text(json.dumps({"sessions": told.sessions, "before": before, "after": after}, indent=1) + "\n")
    return int(bool(leaks(before, after)))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
