"""Real agents on emulated thin links, beside a fixed rate and stock aiortc on the same: how much of the link is used,
how old frames are when they have come, how often the picture stands still, what a detector still finds; and the cases
of RFC 8867. One table at the end, with what was asked for and whether it is met.

    python tests/bench/thin_link.py [--only CASE[,CASE...]] [--variant NAME] [--seeds 3] [--seconds 60]
                                    [--jobs N] [--minutes M] [--json FILE] [--markdown FILE] [--plot FILE]

Each cell (case, variant, seed) is a process of its own; its figures are written to the JSON file as soon as it ends,
and a run with the same file goes on where the last one stopped. Without root it works in a user namespace.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from thin.cases import CASES, MUST_SHOW, RFC_8867
from thin.cell import NotRunnable, environment, run_cell
from thin.curve import plot
from thin.footage import footage
from thin.table import markdown, rows

from fishladder.loadtest.emulation import privileges
from fishladder.loadtest.errors import CannotEmulate

Cell = tuple[str, str, int]
#: What a cell takes besides its run.
_AROUND_S = 18.0


def wanted(names: Sequence[str], variants: Sequence[str], seeds: int) -> list[Cell]:
    """In the order of the table, first seeds first, so that one stopped early has something of everything."""
    cases = [CASES[name] for name in names]
    return [
        (case.name, variant, seed)
        for seed in range(1, seeds + 1)
        for case in cases
        for variant in case.variants
        if seed <= case.seeds and (not variants or variant in variants)
    ]


def takes_s(cell: Cell, seconds: float) -> float:
    return (CASES[cell[0]].seconds or seconds) + _AROUND_S


def one(cell: Cell, seconds: float, clips: Path, out: Path) -> None:
    """Run a cell in this process, and write its figures."""
    name, variant, seed = cell
    said: dict[str, Any] = {"case": name, "variant": variant, "seed": seed, "seconds": seconds}
    environment()
    with tempfile.TemporaryDirectory(prefix="fl-") as place:
        try:
            said["figures"] = run_cell(CASES[name], variant, seed, seconds, Path(place), clips)
        except NotRunnable as error:
            said["error"] = f"not run: {error}"
        except Exception as error:  # noqa: BLE001 - of whatever kind, the table says so and the others go on
            said["error"] = f"failed: {error}"
            traceback.print_exc()
            for log in sorted(Path(place).rglob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}", file=sys.stderr)
    out.write_text(json.dumps(said))


def run_all(cells: Sequence[Cell], args: argparse.Namespace, done: list[dict[str, Any]], clips: Path) -> None:
    for name in {cell[0] for cell in cells}:  # before anything is measured
        case = CASES[name]
        for quiet_s in {0.0, case.quiet_s}:
            footage(clips, "people" if case.detect else "street", case.fps, quiet_s)

    ends_s = time.monotonic() + args.minutes * 60
    whole_s = sum(takes_s(cell, args.seconds) for cell in cells) / args.jobs
    print(f"{len(cells)} cells to run, about {math.ceil(whole_s / 60)} minutes", flush=True)

    def start(cell: Cell) -> None:
        if args.minutes and time.monotonic() + takes_s(cell, args.seconds) > ends_s:
            return
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            command = [sys.executable, __file__, "--cell", *map(str, cell), "--out", out.name, "--clips", str(clips)]
            subprocess.run([*command, "--seconds", str(args.seconds)], check=False)
            text = Path(out.name).read_text()
        name, variant, seed = cell
        said = json.loads(text) if text else {"case": name, "variant": variant, "seed": seed, "error": "it died"}
        done.append(said)
        if args.json:
            new = args.json.with_suffix(".new")
            new.write_text(json.dumps({"cells": done, "table": rows(done)}, indent=1) + "\n")
            new.rename(args.json)
        print(f"[{len(done)}] {name} {variant} seed {seed}: {said.get('error') or said['figures']}", flush=True)

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(start, cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of each run, where a case has no length of its own"
    )
    parser.add_argument(
        "--only", default="", help=f"cases, with commas between: {', '.join(CASES)}; or must-show, or rfc8867"
    )
    parser.add_argument("--variant", action="append", default=[], choices=["ours", "fixed", "stock"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="cells at a time, each with links of its own. With a core for each, goodput and shares are as they are "
        "alone; ages are not (8 cameras: p95 140 ms alone and 212 beside another cell) though neither is `limited`, so "
        "judge bounds on ages with 1. Cells that the machine limited are run again by the same command",
    )
    parser.add_argument("--minutes", type=float, default=0.0, help="begin no cell that would not end within so long")
    parser.add_argument("--json", type=Path, help="figures; a file that is there is continued")
    parser.add_argument("--markdown", type=Path, help="where the table is written besides standard output")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="F1 and F1 per megabit by rate, as PNG, SVG or PDF")
    parser.add_argument("--again", action="store_true", help="run also what the JSON file has already")
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--clips", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cell:
        one((args.cell[0], args.cell[1], int(args.cell[2])), args.seconds, args.clips, args.out)
        return
    if args.plot and args.plot.suffix not in (".png", ".svg", ".pdf"):
        parser.error(f"--plot {args.plot}: expected a name that ends in .png, .svg or .pdf")
    groups = {"must-show": MUST_SHOW, "rfc8867": RFC_8867}
    names: list[str] = []
    for name in filter(None, args.only.split(",")) if args.only else CASES:
        if name not in CASES and name not in groups:
            parser.error(f"--only {name}: expected one of {', '.join([*groups, *CASES])}")
        names += [case.name for case in groups[name]] if name in groups else [name]
    try:
        privileges.enter(sys.argv[1:], (__file__,))
    except CannotEmulate as error:
        sys.exit(f"this takes network namespaces: {error}")
    before: list[dict[str, Any]] = (
        json.loads(args.json.read_text())["cells"] if args.json and args.json.exists() else []
    )
    cells = wanted(names, args.variant, args.seeds)
    done = [
        it
        for it in before
        if "figures" in it
        and (it["case"] in CASES and not (args.again and (it["case"], it["variant"], it["seed"]) in cells))
        and (it["seconds"] == args.seconds or CASES[it["case"]].seconds or it["case"] not in names)
    ]
    have = {(it["case"], it["variant"], it["seed"]) for it in done if not it["figures"]["limited"]}
    done = [it for it in done if (it["case"], it["variant"], it["seed"]) in have]
    with tempfile.TemporaryDirectory(prefix="fl-clips-") as clips:
        try:
            run_all([cell for cell in cells if cell not in have], args, done, Path(clips))
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
    table = rows(done)
    text = markdown(table)
    print(text)
    if args.markdown:
        args.markdown.write_text(text)
    if args.plot:
        try:
            plot(table, args.plot)
        except ValueError as error:
            cases = ",".join(it.name for it in MUST_SHOW if it.detect)
            sys.exit(f"--plot {args.plot}: {error}: --only {cases}")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    main()
