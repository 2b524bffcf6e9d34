"""Faults of more than twenty kinds over a whole system, by a seed; afterwards every captured frame must have exactly
one fate, and a reason a person would accept. Prints what hit, what became of the frames, and what is not as it should.

    python tests/chaos/run.py [--faults 300] [--seed 1] [--log chaos.jsonl]
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from chaos.ending import run_to_its_end
from chaos.inject import Injector
from chaos.plan import Fault, Kind, schedule
from chaos.plant import DRAIN_S, FPS, SITE, WHIP, Plant, plant
from chaos.verdict import BY_WHIP, Loss, unacceptable
from chaos.witness import Seen, Witness
from support.fleet import FISHLADDER

from fishladder.inference.suspects import POISON_FIELD, parse_poison
from fishladder.wire import keys
from fishladder.wire.fates import Fate
from fishladder.wire.ids import PARTITIONS, Position, partition_of

_REASONS = {fate.label: fate for fate in Fate}
_PASSED_OVER = "a unit crashes its worker: it is passed over"
#: What a log says of an exception that nobody caught.
_UNFORESEEN = ("Traceback (most recent call last)", "exception was never retrieved")


@dataclass
class Outcome:
    """What a run came to. `problems` are for people; none = all is as it should be."""

    hit: Counter[str]
    captured: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    whip: Counter[str] = field(default_factory=Counter)  #: the same of the camera that pushes by WHIP
    gaps: dict[str, float] = field(default_factory=dict)
    unaccounted: int = 0
    duplicates: int = 0
    crashes: int = 0  #: of workers, by poison
    losses: list[Loss] = field(default_factory=list)  #: what was dropped, for whatever reason
    problems: list[str] = field(default_factory=list)


async def chaos(faults: list[Fault], log: Path) -> Outcome:
    """Inject, heal, wait for quiet, audit."""
    async with plant() as it:
        print(
            f"{len(faults)} faults over {faults[-1].at_s:.0f} s; the link: {it.link.kind}; the log: {log}", flush=True
        )
        began = time.monotonic()
        injector = Injector(it, log)
        witness = Witness(it.frames, it.state, [f"{SITE}/{camera}" for camera in FPS])
        progress = asyncio.create_task(_progress(injector, len(faults)))
        watching = asyncio.create_task(witness.run())
        try:
            await injector.run(faults)
        finally:
            progress.cancel()
        outcome = Outcome(Counter(fault.kind.value for fault in injector.hit))
        await _quiet(it, outcome)
        if watching.done():
            watching.result()
        watching.cancel()
        await witness.look()
        await _account(it, outcome, time.monotonic() - began)
        outcome.losses = list(_losses(witness, injector.began_ms))
        _judge(outcome, witness.seen, await _set_aside(it))
        for part in it.parts.values():
            poisoned = [status for status in part.ended if status == -signal.SIGABRT and outcome.hit[Kind.POISON]]
            outcome.crashes += len(poisoned)
            others = [status for status in part.ended if status not in poisoned]
            outcome.problems += [f"{part.name} ended by itself with status {status}" for status in others]
            if any(sign in part.log.read_text(errors="replace") for sign in _UNFORESEEN):
                outcome.problems.append(f"{part.name} met an exception that nobody had foreseen: see its log")
        if outcome.problems or outcome.losses:
            kept = log.with_suffix(".logs")
            kept.mkdir(exist_ok=True)
            for part in it.parts.values():
                (kept / part.log.name).write_bytes(part.log.read_bytes())
            print(f"logs of all parts: {kept}")
        return outcome


async def _progress(injector: Injector, faults: int) -> None:
    while True:
        await asyncio.sleep(15)
        print(f"{len(injector.hit) + len(injector.missed)} of {faults} faults are over", flush=True)


async def _quiet(it: Plant, outcome: Outcome) -> None:
    """Let all parts come back, end the cameras, and wait until nothing is pending."""
    agent, pusher = it.parts["agent"], it.parts["whip agent"]
    for part in it.parts.values():
        part.signal(signal.SIGCONT)
    moving = await it.ledgers_moving()
    if not moving:
        outcome.problems.append("after all faults were healed, not every camera goes on within 60 s")
    if not await it.until("backfill is done", 120, lambda all_: not any(one.deferred for one in all_.values())):
        outcome.problems.append("what was deferred is not settled 120 s after all faults were healed")
    agent.over = agent.expected = pusher.over = pusher.expected = True
    agent.signal(signal.SIGTERM)
    pusher.signal(signal.SIGTERM)
    if agent.process is not None:
        try:
            status = await asyncio.wait_for(agent.process.wait(), DRAIN_S + 30)
        except TimeoutError:
            agent.process.kill()
            outcome.problems.append("the agent did not end when it was told to")
        else:
            if status:
                outcome.problems.append(f"the agent ended with status {status}: frames were left uncommitted")
    if not await it.until("nothing is pending", 30, lambda all_: not any(one.pending for one in all_.values())):
        outcome.problems.append("frames are pending though all is quiet")


async def _account(it: Plant, outcome: Outcome, took_s: float) -> None:
    process = await asyncio.create_subprocess_exec(
        *FISHLADDER, "ledger", "--audit", "--json", "--redis", it.state_url, "--frames", it.frames_url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    if process.returncode not in (0, 1) or not out:
        outcome.problems.append(f"the audit failed: {err.decode().strip()}")
        return
    document: dict[str, Any] = json.loads(out)
    for camera in document["cameras"]:
        name = camera["camera"]
        if name == f"{SITE}/{WHIP}":
            outcome.whip.update(camera["reasons"])
        else:
            outcome.captured += camera["captured"]
            outcome.counts.update(camera["reasons"])
        outcome.unaccounted += camera["captured"] - sum(camera["reasons"].values()) - camera["pending"]
        expected = FPS[name.removeprefix(f"{SITE}/")] * took_s
        outcome.gaps[name] = max(expected - camera["captured"], 0) / FPS[name.removeprefix(f"{SITE}/")]
        for finding in camera["findings"]:
            outcome.problems.append(
                f"{name} {finding['epoch']}-{finding['first']}..{finding['last']}: {finding['what']}"
            )
            if "twice" in finding["what"] or "both" in finding["what"]:
                outcome.duplicates += finding["last"] - finding["first"] + 1


async def _set_aside(it: Plant) -> dict[str, set[Position]]:
    """The units that are passed over as poison, by camera: as the store remembers, and, since one that is full cannot,
    as workers have said.
    """
    found = {}
    for camera in (f"{SITE}/{name}" for name in FPS):
        raw = await it.state.hget(keys.cursor(partition_of(camera, PARTITIONS), camera), POISON_FIELD)
        found[camera] = parse_poison(raw)
    for part in it.parts.values():
        for line in part.log.read_text(errors="replace").splitlines():
            if _PASSED_OVER in line and line.startswith("{"):
                said = json.loads(line)
                found[said["camera"]].add(Position.parse(said["unit"]))
    return found


def _judge(
    outcome: Outcome, seen: Mapping[str, Mapping[Position, Seen]], set_aside: Mapping[str, set[Position]]
) -> None:
    whip = [loss for loss in outcome.losses if loss.camera == f"{SITE}/{WHIP}"]
    outcome.losses = [loss for loss in outcome.losses if loss not in whip]
    bad = unacceptable(outcome.losses, seen, set_aside, {Kind(name) for name in outcome.hit})
    bad += [loss for loss in whip if loss.fate not in BY_WHIP]
    outcome.problems += [f"nobody would accept of these faults: {loss}" for loss in bad]
    known = Counter(loss.fate.label for loss in outcome.losses for _ in range(loss.first, loss.last + 1))
    for reason, count in outcome.counts.items():
        if _REASONS[reason].group == "dropped" and count != known[reason]:
            outcome.problems.append(f"{count} frames {reason}, of which the results name {known[reason]}")


def _losses(witness: Witness, began_ms: int) -> Iterator[Loss]:
    """Runs of frames that were dropped, so that they can be laid beside the faults."""
    for name, settled in witness.settled.items():
        begun: Loss | None = None
        for at in sorted(settled):
            fate, lane, worker, at_ms = settled[at]
            where = f"({lane}) at {(at_ms - began_ms) / 1000:.1f} s by {worker}"
            one = Loss(name, at.epoch, at.seq, at.seq, fate, where)
            if begun is not None and one == replace(begun, first=at.seq, last=at.seq) and at.seq == begun.last + 1:
                begun = replace(begun, last=at.seq)
                continue
            if begun is not None:
                yield begun
            begun = one if fate.group == "dropped" else None
        if begun is not None:
            yield begun


def tell(outcome: Outcome, seed: int) -> None:
    for kind, count in sorted(outcome.hit.items()):
        print(f"  {count:4} {kind}")
    print(f"faults        {outcome.hit.total()} of {len(outcome.hit)} kinds, seed {seed}")
    if outcome.crashes:
        print(f"crashes       {outcome.crashes} of workers by poison units, each of which may cost two")
    print(f"captured      {outcome.captured}")
    for reason, count in outcome.counts.most_common():
        print(f"  {reason:12}{count}")
    print(f"by WHIP       {outcome.whip.total()}")
    for reason, count in outcome.whip.most_common():
        print(f"  {reason:12}{count}")
    print(f"duplicates    {outcome.duplicates}")
    print(f"unaccounted   {outcome.unaccounted}")
    gaps = ", ".join(f"{camera} {gap_s:.1f} s" for camera, gap_s in sorted(outcome.gaps.items()))
    print(f"source_gap    {gaps} (never captured, by the cameras' rate: agent or camera was dead or paused)")
    for loss in outcome.losses:
        print(f"lost          {loss}")
    for problem in outcome.problems:
        print(f"PROBLEM       {problem}")
    print("clean" if not outcome.problems else f"NOT clean: repeat with SEED={seed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", help="only these, by their names with _ and a comma between")
    parser.add_argument("--log", type=Path, help="JSON lines: which fault hit when  [default: chaos-SEED.jsonl]")
    args = parser.parse_args()
    kinds = tuple(Kind[name.upper()] for name in args.kinds.split(",")) if args.kinds else tuple(Kind)
    log = args.log or Path(f"chaos-{args.seed}.jsonl")
    log.unlink(missing_ok=True)
    outcome = run_to_its_end(chaos(schedule(args.seed, args.faults, kinds), log))
    tell(outcome, args.seed)
    sys.exit(1 if outcome.problems else 0)


if __name__ == "__main__":
    main()
