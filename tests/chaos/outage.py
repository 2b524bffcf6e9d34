"""The link of a site with 4 cameras is cut for some minutes and comes back, over the whole system with the default
model: when live results come again, how late they are before and after, and whether all that was captured follows.

    python tests/chaos/outage.py [--minutes 10] [--how silent|reset] [--model FILE]
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from chaos.ending import run_to_its_end
from support.fleet import Fleet, fleet, until
from support.link import Cut, link

from fishladder.inference.assets import fetch
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.ids import partition_of
from fishladder.wire.result import Hops, Result, decode

SITE, CAMERAS, FPS = "bench", 4, 2.0
#: Live results have to come again within so long, and to be as late as before within so long.
RESUME_S, BACK_S = 2.0, 5.0
#: How much later than before they may then be, besides one inference.
MARGIN_MS = 50.0


class Seen(NamedTuple):
    """A live result: when it was committed and its picture captured (s, the stores' clock), and where its time went."""

    committed_s: float
    captured_s: float
    hops: Hops

    @property
    def late_ms(self) -> float:
        return (self.committed_s - self.captured_s) * 1000


def p95(values: list[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[18] if len(values) > 1 else (values or [float("nan")])[0]


async def live_results(stores: Stores, names: list[str], since_s: float) -> list[Seen]:
    """Of all cameras, committed since then, in the live lane."""
    found: list[Seen] = []
    for name in names:
        camera = f"{SITE}/{name}"
        stream = keys.results(partition_of(camera, stores.partitions), camera)
        async for entry_id, one in _entries(stores, stream, since_s):
            if one.lane == keys.BACKFILL:
                continue
            for frame in one.frames:
                assert frame.hops is not None
                found.append(Seen(entry_id, frame.captured_us / 1e6, frame.hops))
    return sorted(found, key=lambda one: one.committed_s)


def hops_line(results: list[Seen]) -> str:
    """The 95th percentile of each hop."""
    names = Hops.__struct_fields__
    return ", ".join(f"{name} {p95([getattr(it.hops, name) for it in results]):.0f}" for name in names)


async def _entries(stores: Stores, stream: str, since_s: float) -> AsyncIterator[tuple[float, Result]]:
    at = str(int(since_s * 1000))
    while entries := await stores.state.xrange(stream, at, "+", count=500):
        for entry_id, fields in entries:
            yield int(entry_id.split(b"-")[0]) / 1000, decode(fields[b"r"])
        at = "(" + entries[-1][0].decode()


async def now_s(stores: Stores) -> float:
    seconds, micros = await stores.state.time()
    return int(seconds) + int(micros) / 1e6


async def run(minutes: float, how: Cut, model: Path, warm_s: float) -> bool:
    names = [f"cam{index}" for index in range(CAMERAS)]
    footage = fetch("vtest")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        async with fleet(place, ("--fps", str(FPS))) as (system, stores), link(system.port) as way:
            await system.worker(model)
            sources = dict.fromkeys(names, f"file:{footage}")
            edge = await system.edge(SITE, sources, "--loop", "--mode", "encode", gateway=way.url)

            async def running() -> bool:
                return len(await live_results(stores, names, 0)) > 4 * CAMERAS

            await until(running, 120, "results come")
            began_s = await now_s(stores)
            await asyncio.sleep(warm_s)
            before = await live_results(stores, names, began_s)
            print(f"before: {len(before)} live results, p95 {p95([it.late_ms for it in before]):.0f} ms after capture")
            print(f"  p95 of each hop, ms: {hops_line(before)}")
            way.cut(how)
            print(f"the link is cut ({how.value}) for {minutes:g} min", flush=True)
            for _ in range(int(minutes)):
                await asyncio.sleep(60)
                print(f"  {spool_line(place)}", flush=True)
            await asyncio.sleep((minutes - int(minutes)) * 60)
            print(f"  {spool_line(place)}")
            back_s = await now_s(stores)
            way.cut(Cut.NONE)
            well = await resumed(stores, names, before, back_s)
            well &= await drained(system, stores, names, back_s, minutes)
            status = await edge.stop(60)
            print(f"the agent ends with {status}")
            if not well or status:
                standing(system)
            return well and status == 0


def spool_line(place: Path) -> str:
    size = sum(it.stat().st_size for it in (place / "spool").rglob("*.sqlite*"))
    return f"spool: {size / 1e6:.1f} MB on disk"


def standing(system: Fleet) -> None:
    """What the agent says of it, for whoever reads why."""
    for line in system.parts[-1].said.splitlines()[-12:]:
        print(f"  agent: {line}")


async def resumed(stores: Stores, names: list[str], before: list[Seen], back_s: float) -> bool:
    """When each camera's live results come again, and how late they are from `BACK_S` on."""
    await asyncio.sleep(BACK_S + 15)
    after = await live_results(stores, names, back_s)
    first: list[float] = []
    for name in names:
        own = [it for it in await live_results(stores, [name], back_s) if it.captured_s > back_s - RESUME_S]
        first.append(own[0].committed_s - back_s if own else float("inf"))
    was_ms, infer_ms = p95([it.late_ms for it in before]), median([it.hops.infer for it in before])
    settled = [it for it in after if it.committed_s > back_s + BACK_S]
    later = [it.late_ms for it in settled]
    limit_ms = was_ms + infer_ms + MARGIN_MS
    soon, again = max(first) <= RESUME_S, bool(later) and p95(later) <= limit_ms
    print(
        f"live results come again after {', '.join(f'{it:.1f}' for it in first)} s (bound {RESUME_S:g}: "
        f"{'met' if soon else 'MISSED'})"
    )
    print(
        f"from {BACK_S:g} s on, beside the backfill: {len(later)} live results, p95 {p95(later):.0f} ms "
        f"(bound {was_ms:.0f} + {infer_ms:.0f} + {MARGIN_MS:.0f} = {limit_ms:.0f}: {'met' if again else 'MISSED'})"
    )
    print(f"  p95 of each hop, ms: {hops_line(settled)}")
    return soon and again


async def drained(system: Fleet, stores: Stores, names: list[str], back_s: float, minutes: float) -> bool:
    """Wait until nothing waits in the spool; then every camera's account has to close, with nothing lost."""

    async def quiet() -> bool:
        ledgers = [await system.ledger(stores, f"{SITE}/{name}") for name in names]
        return not any(it.deferred for it in ledgers) and all(it.pending < 20 for it in ledgers)

    said = 0.0
    while not await quiet():
        if (at := await now_s(stores) - back_s) - said >= 15:
            said = at
            ledgers = [await system.ledger(stores, f"{SITE}/{name}") for name in names]
            print(f"  {at:.0f} s: {sum(it.deferred for it in ledgers)} frames still open", flush=True)
        if at > max(minutes * 60 * 5, 300):
            print("the spool is not drained: giving up")
            return False
        await asyncio.sleep(1)
    print(f"the spool is drained {await now_s(stores) - back_s:.0f} s after the link came back")
    well = True
    for name in names:
        ledger = await system.ledger(stores, f"{SITE}/{name}")
        account = await system.account(stores, f"{SITE}/{name}")
        fates = {fate.label: count for fate, count in ledger.fates.items()}
        kept = {Fate.INFERRED, Fate.SAMPLED_OUT}
        lost = sum(count for fate, count in ledger.fates.items() if fate not in kept)
        print(
            f"{name}: captured {ledger.captured}, {fates}, lost {lost}, unaccounted {ledger.unaccounted}, "
            f"pending {ledger.pending}"
        )
        for one in account.results if lost else ():
            if losses := [run for run in one.runs if run[0] not in (*kept, Fate.DEFERRED)]:
                print(f"  {one.lane} {one.epoch}: {losses} in {one.first}-{one.last}")
        well &= ledger.closes and not lost and Fate.DEFERRED not in account.fates.values()
    return well


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--how", choices=["silent", "reset"], default="silent")
    parser.add_argument("--model", type=Path, default=Path("ssdlite-person"))
    parser.add_argument("--warm", type=float, default=30, help="seconds measured before")
    args = parser.parse_args()
    well = run_to_its_end(run(args.minutes, Cut(args.how), args.model, args.warm))
    print("all is as it should be" if well else "something is not as it should be")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
