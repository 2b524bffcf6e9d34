"""The gateway's CPU time for a unit, from TLS to the log's acknowledgement, into a real store, beside plain loops
that do only that. Loads and systems are processes of their own; rounds of the systems alternate, since the machine
drifts.

    python tests/bench/gateway.py [--rounds 3] [--seconds 10] [--connections 5] [--cameras 8] [--fps 30] [--json FILE]
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from support.certificates import localhost_certificate  # noqa: E402
from support.cpu import cpu_s  # noqa: E402
from support.fleet import free_port, listens  # noqa: E402
from support.stores import temporary_server, wait_until  # noqa: E402 - the path had to be set first

from fishladder.gateway.tokens import KEYS_FILE, KeyFile, issue  # noqa: E402
from fishladder.runtime.store import connect  # noqa: E402

SYSTEMS = ("gateway", "await", "pipeline")
BOUND = 0.8
WARM_S = 3
FRAMES_BYTES = 2 * 1024**3


@asynccontextmanager
async def running(*command: str, out: int | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=out)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def measure(system: str, args: argparse.Namespace, place: Path) -> dict[str, float]:
    """One round: CPU microseconds a unit of the system and of the stores."""
    cert, key = place / "cert.pem", place / "key.pem"
    port = free_port()
    async with temporary_server("frames", maxmemory=FRAMES_BYTES) as frames, temporary_server("state") as state:
        if system == "gateway":
            keys = KeyFile(place / KEYS_FILE)
            token = ",".join(
                issue(
                    keys,
                    subject=f"site{index}",
                    site=f"site{index}",
                    cameras=["*"],
                    scope=["publish"],
                    lifetime_s=3600,
                    now=time.time(),
                )
                for index in range(args.connections)
            )
            command = ["-m", "fishladder.runtime", "gateway", "run", "--port", str(port), "--metrics-port", "0"]
            command += ["--tls-cert", str(cert), "--tls-key", str(key), "--data-dir", str(place)]
            command += ["--redis", state.url, "--frames", frames.url, "--log-level", "warning"]
        else:
            token = "-"
            command = [str(HERE / "gateway_plain.py"), system, str(port), str(cert), str(key), frames.url]
        load = [str(HERE / "gateway_load.py"), f"https://127.0.0.1:{port}", str(cert), token]
        load += [str(it) for it in (args.connections, args.cameras, args.fps, WARM_S + args.seconds)]
        async with running(*command) as served:
            await wait_until(lambda: listens(port), 30)
            if system == "gateway":
                await asyncio.sleep(1)  # until its stores are open
            async with running(*load, out=asyncio.subprocess.PIPE) as loading:
                assert loading.stdout is not None
                samples: list[dict[str, float]] = []
                async for line in loading.stdout:
                    sample = json.loads(line)
                    sample["cpu"] = cpu_s(served.pid)
                    sample["stores"] = await store_cpu_s(frames.url) + await store_cpu_s(state.url)
                    samples.append(sample)
                status = await loading.wait()
                assert status == 0, f"the load ended with {status}"
    first, last = samples[WARM_S - 1], samples[-1]
    units = last["acked"] - first["acked"]
    wanted = args.connections * args.cameras * args.fps * (last["at"] - first["at"])
    assert units > 0, f"{system} logged nothing"
    return {
        "us": (last["cpu"] - first["cpu"]) / units * 1e6,
        "store_us": (last["stores"] - first["stores"]) / units * 1e6,
        "units_per_s": units / (last["at"] - first["at"]),
        "kept_up": units / wanted,  # below 1: the machine, or the system, was too slow for the load
    }


async def store_cpu_s(url: str) -> float:
    client = connect(url)
    info = await client.info("cpu")
    await client.aclose()
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


async def run(args: argparse.Namespace) -> dict[str, object]:
    rounds: dict[str, list[dict[str, float]]] = {system: [] for system in args.systems}
    with tempfile.TemporaryDirectory() as place:
        localhost_certificate(Path(place))
        for _ in range(args.rounds):
            for system in args.systems:
                rounds[system].append(await measure(system, args, Path(place)))
    middle = {system: {key: median(one[key] for one in done) for key in done[0]} for system, done in rounds.items()}
    report: dict[str, object] = {
        "load": f"{args.connections} connections x {args.cameras} cameras, {args.fps:g} fps, 1.65 Mbit/s, TLS",
        "median": middle,
        "rounds": rounds,
    }
    if {"gateway", "await"} <= set(middle):
        report["ratio"] = middle["gateway"]["us"] / middle["await"]["us"]
        report["met"] = report["ratio"] <= BOUND
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=5)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report = asyncio.run(run(args))
    print(f"gateway, {report['load']}: CPU us a unit (median of {args.rounds})")
    for system, row in report["median"].items():  # type: ignore[attr-defined]
        name = {"await": "plain, XADD awaited", "pipeline": "plain, 5 ms pipelines, uvloop"}.get(system, system)
        rate = f"at {row['units_per_s']:.0f} units/s, kept up {row['kept_up']:.0%}"
        print(f"  {name:<32}{row['us']:8.0f}   store {row['store_us']:6.0f}   {rate}")
    if "ratio" in report:
        print(f"  ratio {report['ratio']:.2f}, bound {BOUND:g}: {'met' if report['met'] else 'MISSED'}")
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
