"""Half an hour of 8 cameras over the whole system, with nothing wrong: no process may grow, and the camera host's flash
is spared.

    python tests/chaos/soak.py [--minutes 30] [--model FILE]

Of each process that an operator would see it prints resident memory, descriptors, threads and tasks after the first 5
minutes (or a quarter of the run) and at the end; and how much of the video was written to disk by the agent. Results
are kept up to 128 KB a camera rather than 16 MB, so that the state store is as full as it gets within those minutes.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).parent.parent))

from chaos.ending import run_to_its_end
from prometheus_client.parser import text_string_to_metric_families
from support.fleet import Part, fleet, free_port, until

from fishladder.inference.assets import fetch

CAMERAS, FPS = 8, 2.0
SITE = "soak"
SAMPLE_S = 5.0
SETTLED_S = 300.0
MOST_GROWTH, MOST_GROWTH_BYTES = 0.05, 8 << 20
#: Descriptors and threads may be this many more at one moment than at another: connections come and go.
MARGIN = 4
MOST_FLASH = 0.01
KEEP_RESULTS = "128KB"


class Sample(NamedTuple):
    at_s: float
    resident_bytes: int
    descriptors: int
    threads: int
    tasks: int


def tree(pid: int) -> Iterator[int]:
    """A process and those it started."""
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree(int(child))
    except OSError:
        return


def name_of(part: Part, pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    text = b" ".join(words).decode(errors="replace")
    for mark, what in (("edge.capture", "capture"), ("valkey", "store"), ("redis-server", "store")):
        if mark in text:
            return f"{part.name} {what} {pid}"
    return f"{part.name} {pid}"


def sample(pid: int, at_s: float, tasks: int) -> Sample | None:
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        # What the kernel maps for a file is not what a process grows by.
        resident = int(status["RssAnon"].split()[0]) * 1024 if "RssAnon" in status else 0
        return Sample(at_s, resident, len(list(Path(f"/proc/{pid}/fd").iterdir())), int(status["Threads"]), tasks)
    except (OSError, KeyError):
        return None


def metric(port: int, name: str) -> float:
    """The sum of a counter over its labels."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    families = text_string_to_metric_families(text)
    return sum(it.value for family in families for it in family.samples if it.name == name)


def written_bytes(pid: int) -> int:
    """What a process had written to a disk, by the kernel's count."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split(":")[1]) for line in lines if line.startswith("write_bytes")), 0)


async def run(minutes: float, model: Path) -> bool:
    names = [f"cam{index}" for index in range(CAMERAS)]
    footage = fetch("vtest")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        ports = {name: free_port() for name in ("gateway", "worker", "edge")}
        metrics = {name: ("--metrics-port", str(port)) for name, port in ports.items()}
        async with fleet(place, ("--fps", str(FPS), *metrics["gateway"])) as (system, stores):
            await system.worker(model, "--keep-bytes", KEEP_RESULTS, *metrics["worker"])
            sources = dict.fromkeys(names, f"file:{footage}")
            edge = await system.edge(SITE, sources, "--loop", "--mode", "encode", *metrics["edge"])
            port = ports["edge"]

            async def running() -> bool:
                ledgers = [await system.ledger(stores, f"{SITE}/{name}") for name in names]
                return all(it.settled > 5 for it in ledgers)

            await until(running, 180, "results come")
            samples: dict[str, list[Sample]] = {}
            loop = asyncio.get_running_loop()
            began_s, said_s = loop.time(), 0.0
            video, disk = metric(port, "fishladder_edge_unit_bytes_total"), written_bytes(edge.process.pid)
            while (at_s := loop.time() - began_s) < minutes * 60:
                for part in system.parts:
                    own = part.process.pid
                    tasks = int(metric(ports[part.name], "fishladder_process_tasks"))
                    for pid in tree(own):
                        if (one := sample(pid, at_s, tasks if pid == own else 0)) is not None:
                            samples.setdefault(name_of(part, pid), []).append(one)
                if at_s - said_s >= 60:
                    said_s = at_s
                    print(f"{at_s / 60:.0f} of {minutes:g} min", flush=True)
                await asyncio.sleep(SAMPLE_S)
            video = metric(port, "fishladder_edge_unit_bytes_total") - video
            spooled = metric(port, "fishladder_edge_spool_written_bytes_total")
            disk = written_bytes(edge.process.pid) - disk
            well = table(samples, min(SETTLED_S, minutes * 60 / 4))
            flash = max(disk, spooled) / max(video, 1)
            print(
                f"video {video / 1e6:.1f} MB; written to flash: {disk / 1e6:.3f} MB by the kernel's count, "
                f"{spooled / 1e6:.3f} MB of video: {flash:.2%} (bound {MOST_FLASH:.0%}: "
                f"{'met' if flash <= MOST_FLASH else 'MISSED'})"
            )
            for name in names:
                ledger = await system.ledger(stores, f"{SITE}/{name}")
                fates = {fate.label: count for fate, count in ledger.fates.items()}
                print(f"{name}: captured {ledger.captured}, {fates}, unaccounted {ledger.unaccounted}")
                well &= ledger.closes
            return well and flash <= MOST_FLASH


def table(samples: dict[str, list[Sample]], settled_s: float) -> bool:
    """Print each process' first and last tenth after it has settled; whether none has grown."""
    well = True
    print(f"{'process':<28}{'memory MB':>20}{'growth':>10}{'descriptors':>14}{'threads':>10}{'tasks':>10}")
    for name, rows in sorted(samples.items()):
        rows = [row for row in rows if row.at_s >= settled_s]
        if len(rows) < 4:
            continue
        few = max(len(rows) // 10, 2)
        first, last = rows[:few], rows[-few:]

        def middle(part: list[Sample], field: str) -> int:
            return int(median(getattr(row, field) for row in part))

        size = [middle(part, "resident_bytes") for part in (first, last)]
        files = [middle(part, "descriptors") for part in (first, last)]
        threads = [middle(part, "threads") for part in (first, last)]
        tasks = [middle(part, "tasks") for part in (first, last)]
        grown = size[1] - size[0]
        fine = grown <= max(size[0] * MOST_GROWTH, MOST_GROWTH_BYTES)
        fine &= files[1] <= files[0] + MARGIN and threads[1] <= threads[0] + MARGIN and tasks[1] <= tasks[0] + MARGIN
        well &= fine
        print(
            f"{name:<28}{size[0] / 1e6:>10.1f}{size[1] / 1e6:>10.1f}{grown / max(size[0], 1):>10.1%}"
            f"{files[0]:>8}{files[1]:>6}{threads[0]:>6}{threads[1]:>4}{tasks[0]:>6}{tasks[1]:>4}"
            f"{'' if fine else '  GROWS'}"
        )
    return well


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--model", type=Path, default=Path("ssdlite-person"))
    args = parser.parse_args()
    well = run_to_its_end(run(args.minutes, args.model))
    print("all is as it should be" if well else "something is not as it should be")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
