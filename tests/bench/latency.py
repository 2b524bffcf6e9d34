"""From capture to committed on loopback: 4 cameras of 2 analysed frames a second through the real agent, gateway,
stores and worker with the default model. Inference and the wait for it are hops of their own; the bound is on the rest.

    python tests/bench/latency.py [--seconds 60] [--json FILE]
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from statistics import quantiles

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.fleet import fleet, until

from fishladder.inference.assets import fetch
from fishladder.view.recent import HOPS
from fishladder.wire import keys
from fishladder.wire.ids import partition_of
from fishladder.wire.result import decode

CAMERAS = 4
FPS = 2.0
OF_INFERENCE = ("batch", "infer")
BOUND_P50_MS, BOUND_P99_MS = 20.0, 60.0


def spread(values: list[float]) -> tuple[float, float, float]:
    """p50, p95, p99."""
    cuts = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]


async def measure(seconds: int) -> dict[str, object]:
    """Run the system and return the spread of each hop in ms."""
    names = [f"cam{index}" for index in range(CAMERAS)]
    footage = fetch("vtest")
    with tempfile.TemporaryDirectory() as place:
        async with fleet(Path(place), ("--fps", str(FPS))) as (system, stores):
            await system.worker(Path("ssdlite-person"))
            await system.edge("bench", dict.fromkeys(names, f"file:{footage}"), "--loop")
            rows: list[dict[str, float]] = []
            for name in names:
                camera = f"bench/{name}"
                stream = keys.results(partition_of(camera, stores.partitions), camera)

                async def running(stream: str = stream) -> bool:
                    return bool(await stores.state.xlen(stream) > 5)

                await until(running, 60, f"{camera} has results")
            since = int((await stores.state.time())[0]) * 1000
            await asyncio.sleep(seconds)
            for name in names:
                camera = f"bench/{name}"
                stream = keys.results(partition_of(camera, stores.partitions), camera)
                for entry_id, fields in await stores.state.xrange(stream, str(since), "+"):
                    for frame in decode(fields[b"r"]).frames:
                        assert frame.hops is not None
                        hops = {hop: getattr(frame.hops, hop) for hop in HOPS[:-1]}
                        age = int(entry_id.split(b"-")[0]) - frame.captured_us / 1000
                        hops["commit"] = max(age - sum(hops.values()), 0.0)
                        rows.append(hops)
    table = {hop: spread([row[hop] for row in rows]) for hop in HOPS}
    less = spread([sum(ms for hop, ms in row.items() if hop not in OF_INFERENCE) for row in rows])
    whole = spread([sum(row.values()) for row in rows])
    return {"frames": len(rows), "hops_ms": table, "without_inference_ms": less, "whole_ms": whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report = asyncio.run(measure(args.seconds))
    print(
        f"latency, {CAMERAS} cameras x {FPS:g} analysed fps on loopback, {report['frames']} frames, ms p50 / p95 / p99"
    )
    for hop, (p50, p95, p99) in report["hops_ms"].items():  # type: ignore[attr-defined]
        print(f"  {hop:<10}{p50:8.1f}{p95:8.1f}{p99:8.1f}")
    for name in ("without_inference_ms", "whole_ms"):
        p50, p95, p99 = report[name]  # type: ignore[misc]
        print(f"  {name[:-3].replace('_', ' '):<20}{p50:8.1f}{p95:8.1f}{p99:8.1f}")
    p50, _, p99 = report["without_inference_ms"]  # type: ignore[misc]
    met = p50 <= BOUND_P50_MS and p99 <= BOUND_P99_MS
    print(f"  bound: p50 <= {BOUND_P50_MS:g}, p99 <= {BOUND_P99_MS:g}: {'met' if met else 'MISSED'}")
    report["met"] = met
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
