"""Real agents on emulated thin links: how much of the link is used, how old frames are when they reach the gateway, how
often the picture stands still. Without the worker, which has no part in it.

    python tests/bench/thin_link.py [--seconds 60] [--only NAME] [--json FILE]

Needs root, or `unshare -Urn`.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import quantiles

import av
import numpy as np
from av.video.reformatter import VideoReformatter

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.fleet import FISHLADDER, Fleet, until

from fishladder.inference.assets import fetch
from fishladder.loadtest.emulation import privileges
from fishladder.loadtest.emulation.network import CORE_ADDRESS, Network, emulate
from fishladder.loadtest.links.link import Direction, Link, Loss, Step
from fishladder.runtime.embedded import default_urls
from fishladder.runtime.store import open_stores
from fishladder.wire import keys
from fishladder.wire.entry import LoggedUnit, read_entry
from fishladder.wire.fates import Fate
from fishladder.wire.ids import partition_of
from fishladder.wire.unit import Range

PORT = 8889
#: What comes before is how a new connection finds its rate.
SETTLED_S = 3.0
FREEZE_S = 0.3


@dataclass(frozen=True)
class Case:
    """`cameras` are weights; each would send `kbps` at `fps`. Rates in Mbit/s, `steps` are (second, rate)."""

    name: str
    rate: float
    cameras: Sequence[float] = (1.0,)
    kbps: int = 3000
    fps: int = 30
    queue_bytes: int = 62_500
    rtt_ms: float = 20.0
    loss: float = 0.0
    steps: Sequence[tuple[float, float]] = ()
    bounds: str = ""

    def link(self) -> Link:
        steps = tuple(Step(at * 1000, "up", rate_bps=rate * 1e6) for at, rate in self.steps)
        up = Direction(self.rate * 1e6, self.queue_bytes, delay_ms=self.rtt_ms / 2, loss=Loss(self.loss))
        return Link(self.name, up, Direction(20e6, 250_000, delay_ms=self.rtt_ms / 2), schedule=steps)


CASES = (
    Case("1-mbit", 1.0, bounds="used >= 85 %, age above base p50 <= 60, p95 <= 150, p99 <= 300 ms, no freeze"),
    Case("step-up", 1.0, kbps=6000, steps=((20.0, 4.0),), bounds="90 % of 4 Mbit/s used within 5 s of the step"),
    Case("step-down", 4.0, kbps=6000, steps=((20.0, 1.0),), bounds="p99 <= 500 ms in the 5 s after the step"),
    Case("250-kbit", 0.25, rtt_ms=100.0, queue_bytes=31_250, bounds="p95 age < 1 s"),
    Case("100-kbit", 0.1, rtt_ms=100.0, queue_bytes=12_500, bounds="p95 age < 1 s"),
    Case(
        "8-cameras",
        6.0,
        cameras=(4, 2, 1, 1, 1, 1, 1, 1),
        kbps=2000,
        fps=10,
        queue_bytes=150_000,
        bounds="shares within 10 % of the weights, used >= 90 %, p95 <= 150 ms",
    ),
    Case("2%-loss", 2.0, rtt_ms=60.0, loss=0.02, queue_bytes=62_500, bounds="age bounded"),
)


@dataclass
class Frames:
    """One camera's log: (captured, received, bytes, clean) of each unit in seconds, and how many were declared."""

    units: list[tuple[float, float, int, bool]] = field(default_factory=list)
    declared: dict[str, int] = field(default_factory=dict)


def footage(place: Path, fps: int) -> Path:
    """Ten seconds of a street at 640x360 with the noise of a small sensor, so that an encoder can fill 3 Mbit/s."""
    path = place / f"street-{fps}.mkv"
    scaler = VideoReformatter()
    with av.open(str(fetch("bikes"))) as clip:
        pictures = [scaler.reformat(frame, 640, 360, "yuv420p").to_ndarray() for frame in clip.decode(video=0)]
    rng = np.random.default_rng(1)
    noise = [rng.normal(0, 5, (360, 640)) for _ in range(16)]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=fps)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.bit_rate, stream.gop_size = 20_000_000, 10
        for index in range(10 * fps):
            planes = pictures[index % len(pictures)].copy()
            planes[:360] = (planes[:360] + noise[int(rng.integers(16))]).clip(0, 255)
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, fps)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


async def run(case: Case, place: Path, seconds: float) -> dict[str, object]:
    """One case: its figures."""
    clip = footage(place, case.fps)
    system = Fleet(place, port=PORT)
    with emulate(case.link()) as network:
        try:
            return await _measured(case, system, network, clip, seconds)
        finally:
            for part in reversed(system.parts):
                if part.process.returncode is None:
                    part.kill()
                await part.process.wait()


async def _start(system: Fleet, name: str, where: Sequence[str], *command: str, env: dict[str, str]) -> None:
    path = system.place / f"{name}.log"
    with path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *where, *FISHLADDER, *command, stdout=log, stderr=log, env={**os.environ, **env}
        )
    from support.fleet import Part

    system.parts.append(Part(name, process, path))


async def _measured(case: Case, system: Fleet, network: Network, clip: Path, seconds: float) -> dict[str, object]:
    data = system.place / "data"
    await _start(
        system,
        "gateway",
        network.core.command(),
        *("gateway", "run", "--host", "0.0.0.0", "--insecure", "--port", str(PORT), "--metrics-port", "0"),
        *("--data-dir", str(data)),
        env={},
    )
    gateway = system.parts[0]

    async def ready() -> bool:
        assert gateway.process.returncode is None, gateway.said
        return "ready" in gateway.said

    await until(ready, 30, "the gateway is ready")
    token = await system.token("site")
    toml = system.place / "edge.toml"
    lines = ["[edge]", f'gateway = "http://{CORE_ADDRESS}:{PORT}"', 'site = "site"', "metrics_port = 0"]
    lines += ["[spool]", f'directory = "{system.place / "spool"}"']
    for index in range(len(case.cameras)):
        lines += ["[[camera]]", f'name = "c{index}"', f'source = "file:{clip}"', "loop = true", 'mode = "encode"']
        lines += [f"bitrate_kbps = {case.kbps}"]
    toml.write_text("\n".join(lines) + "\n")
    async with open_stores(default_urls(data)) as stores:
        from fishladder.runtime.state import set_policy
        from fishladder.wire.messages import Policy

        names = [f"site/c{index}" for index in range(len(case.cameras))]
        for name, weight in zip(names, case.cameras, strict=True):
            await set_policy(stores.state, partition_of(name, stores.partitions), name, Policy(weight=weight))
        env = {"FISHLADDER_EDGE_TOKEN": token}
        await _start(system, "edge", network.site.command(), "edge", "run", "--config", str(toml), env=env)

        async def flows() -> bool:
            assert system.parts[1].process.returncode is None, system.parts[1].said
            for name in names:
                if not await stores.frames.xlen(keys.log(partition_of(name, stores.partitions), name)):
                    return False
            return True

        await until(flows, 60, "all cameras flow")
        network.begin()
        began = int((await stores.frames.time())[0]) + int((await stores.frames.time())[1]) / 1e6
        await asyncio.sleep(seconds)
        cameras = []
        for name in names:
            it = Frames()
            for entry_id, fields in await stores.frames.xrange(keys.log(partition_of(name, stores.partitions), name)):
                entry = read_entry(entry_id, fields)
                if isinstance(entry, LoggedUnit):
                    stamp = entry.stamp
                    unit = (stamp.captured_us / 1e6 - began, stamp.received_us / 1e6 - began, len(entry.data) + 56)
                    it.units.append((*unit, bool(entry.header.flags & 1)))
                elif isinstance(entry, Range) and entry.fate is not Fate.SAMPLED_OUT:
                    count = entry.last - entry.first + 1
                    it.declared[entry.fate.label] = it.declared.get(entry.fate.label, 0) + count
            cameras.append(it)
    return figures(case, cameras, seconds)


def figures(case: Case, cameras: list[Frames], seconds: float) -> dict[str, object]:
    """What is asked of a run, from its logs."""
    rates = [(0.0, case.rate), *case.steps]
    base_ms = case.rtt_ms / 2

    def ages(since: float, until_s: float) -> list[float]:
        return [
            (received - captured) * 1000 - base_ms
            for it in cameras
            for captured, received, _, _ in it.units
            if since <= captured < until_s
        ]

    def used(since: float, until_s: float, rate: float) -> float:
        came = sum(size for it in cameras for _, received, size, _ in it.units if since <= received < until_s)
        return came * 8 / (until_s - since) / (rate * 1e6)

    last_at, last_rate = rates[-1]
    since = SETTLED_S if not case.steps else last_at + 5
    found: dict[str, object] = {"case": case.name, "used": round(used(since, seconds, last_rate), 3)}
    all_ages = ages(since, seconds - 2)
    if len(all_ages) > 10:
        cuts = quantiles(all_ages, n=100, method="inclusive")
        found["age_ms"] = [round(cuts[at]) for at in (49, 94, 98)]
    if case.steps:
        after = ages(last_at, last_at + 5)
        found["after_step_p99_ms"] = round(quantiles(after, n=100, method="inclusive")[98]) if len(after) > 10 else None
        found["used_by_second"] = [round(used(last_at + s, last_at + s + 1, last_rate), 2) for s in range(8)]
    arrivals = [sorted(received for _, received, _, _ in it.units if received > SETTLED_S) for it in cameras]
    gaps = [b - a for times in arrivals for a, b in pairwise(times)]
    found["freezes"] = sum(gap > FREEZE_S for gap in gaps)
    found["longest_gap_ms"] = round(max(gaps, default=0.0) * 1000)
    found["fps"] = [round(sum(r > since for r in times) / (seconds - since), 1) for times in arrivals]
    found["kbps"] = [
        round(sum(size for _, r, size, _ in it.units if r > since) * 8 / (seconds - since) / 1000) for it in cameras
    ]
    found["declared"] = [it.declared for it in cameras] if len(cameras) < 3 else {}
    found["bounds"] = case.bounds
    return found


def _said(found: dict[str, object]) -> list[str]:
    """For people."""
    lines = [f"{found['case']}: {found['bounds']}"]
    lines += [
        f"  {name.replace('_', ' '):18} {value}"
        for name, value in found.items()
        if name not in ("case", "bounds") and value not in ({}, [])
    ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", action="append", choices=[case.name for case in CASES])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if privileges.privileges().kind != "root":
        sys.exit("this takes network namespaces: run it as root, or in `unshare -Urn`")
    rows = []
    for case in CASES:
        if args.only and case.name not in args.only:
            continue
        with tempfile.TemporaryDirectory(prefix="fl-") as place:
            try:
                found = asyncio.run(run(replace(case), Path(place), args.seconds))
            except AssertionError:
                for log in Path(place).glob("*.log"):
                    print(f"--- {log.name}\n{log.read_text()[-3000:]}", file=sys.stderr)
                raise
        rows.append(found)
        print("\n".join(_said(found)), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
