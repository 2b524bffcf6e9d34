"""A store at its limit, with the workers away or at work: no error may reach a camera, agents spool, the store stays
under its limit, and everything drains when workers return.

    python tests/chaos/full_stores.py [--store frames|state] [--limit-mb 64] [--minutes 3] [--cameras 4]

`frames`: the workers are stopped for so long. `state`: somebody else's keys take all of the state store but
2.5 MB, and the workers go on; their results soon fill that.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from chaos.ending import run_to_its_end
from support.fleet import Fleet, fleet, until
from support.models import strips_model

from fishladder.inference.assets import fetch
from fishladder.runtime.store import Stores
from fishladder.wire.fates import Fate

SITE = "bench"
#: What is left of a full state store, in MB.
_LEFT_MB = 2.5


async def used_mb(store: object) -> float:
    return (await store.info("memory"))["used_memory"] / 1e6  # type: ignore[attr-defined]


def spooled_mb(place: Path) -> float:
    return sum(it.stat().st_size for it in (place / "spool").rglob("*.sqlite*")) / 1e6


async def limit(stores: Stores, which: str, limit_mb: float) -> float:
    """Set a store's limit; in MB."""
    if which == "frames":
        await stores.frames.config_set("maxmemory", int(limit_mb * 1e6))
        return limit_mb
    await stores.state.config_set("maxmemory", int(limit_mb * 1e6))
    piece = 64 << 10
    number = 0
    while await used_mb(stores.state) < limit_mb - _LEFT_MB:
        number += 1
        await stores.state.set(f"somebody-else:{number}", b"\0" * piece)
    return limit_mb


async def run(which: str, limit_mb: float, minutes: float, cameras: int, kbps: int) -> bool:
    names = [f"cam{index}" for index in range(cameras)]
    footage = fetch("vtest")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model = strips_model(place / "strips.onnx")
        async with fleet(place) as (system, stores):
            worker = await system.worker(model)
            flags = ("--loop", "--mode", "encode", "--bitrate-kbps", str(kbps))
            edge = await system.edge(SITE, dict.fromkeys(names, f"file:{footage}"), *flags)

            async def running() -> bool:
                ledgers = [await system.ledger(stores, f"{SITE}/{name}") for name in names]
                return all(it.settled > 20 for it in ledgers)

            await until(running, 120, "results come")
            most_mb = await limit(stores, which, limit_mb)
            if which == "frames":
                await worker.stop()
                print(f"workers are stopped, the frame store holds {most_mb:.0f} MB at most", flush=True)
            else:
                print(f"the state store holds {most_mb:.1f} MB at most, and has {_LEFT_MB} left", flush=True)
            worst = await watch(stores, which, place, minutes)
            if which == "frames":
                await system.worker(model)
            well = await ended(system, stores, names)
            print(f"most the store held: {worst:.2f} of {most_mb:.1f} MB")
            errors = [line for line in edge.said.splitlines() if '"error"' in line or "camera failed" in line]
            print(f"errors at the agent: {len(errors)} {errors[:3]}")
            status = await edge.stop(60)
            print(f"the agent ends with {status}")
            return well and not errors and status == 0 and worst <= most_mb


async def watch(stores: Stores, which: str, place: Path, minutes: float) -> float:
    """Look on; the most the store held meanwhile, in MB."""
    store = stores.frames if which == "frames" else stores.state
    worst = 0.0
    for tick in range(int(minutes * 60)):
        await asyncio.sleep(1)
        worst = max(worst, await used_mb(store))
        if tick % 20 == 19:
            print(f"  {tick + 1} s: store {await used_mb(store):.2f} MB, spool {spooled_mb(place):.1f} MB", flush=True)
    return worst


async def ended(system: Fleet, stores: Stores, names: list[str]) -> bool:
    """Wait until nothing waits any more; whether every account closes with nothing lost."""

    async def quiet() -> bool:
        ledgers = [await system.ledger(stores, f"{SITE}/{name}") for name in names]
        return all(not it.deferred and it.pending < 60 for it in ledgers)

    for tick in range(120):
        if await quiet():
            break
        if tick % 4 == 3:
            ledgers = [await system.ledger(stores, f"{SITE}/{name}") for name in names]
            print(
                f"  {sum(it.deferred for it in ledgers)} open, {sum(it.pending for it in ledgers)} pending", flush=True
            )
        await asyncio.sleep(5)
    well = True
    for name in names:
        ledger = await system.ledger(stores, f"{SITE}/{name}")
        fates = {fate.label: count for fate, count in ledger.fates.items()}
        print(
            f"{name}: captured {ledger.captured}, {fates}, unaccounted {ledger.unaccounted}, pending {ledger.pending}"
        )
        well &= ledger.closes and set(ledger.fates) <= {Fate.INFERRED, Fate.SAMPLED_OUT}
    return well


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=["frames", "state"], default="frames")
    parser.add_argument("--limit-mb", type=float, default=64)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--kbps", type=int, default=3000)
    args = parser.parse_args()
    well = run_to_its_end(run(args.store, args.limit_mb, args.minutes, args.cameras, args.kbps))
    print("all is as it should be" if well else "something is not as it should be")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
