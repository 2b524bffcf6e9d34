"""One run: a site's real agents play a plan of frames over a link to a stack, and what became of each frame is put
together from what the agents sent, the gateway received and the worker committed.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from fishladder.loadtest.emulation.network import Network, Report
from fishladder.loadtest.errors import CannotEmulate
from fishladder.loadtest.links.timeline import WAYS, Way
from fishladder.loadtest.sites.agents import Patience, SiteSpec
from fishladder.loadtest.sites.cameras import HELD, SENT
from fishladder.loadtest.sites.null_worker import read_arrivals
from fishladder.loadtest.sites.place import run_folder
from fishladder.loadtest.sites.processes import Load, Part, Times
from fishladder.loadtest.sites.stack import SITE, Stack, run_stack
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.ladder import Rung
from fishladder.loadtest.traffic import Bools, Floats, Ints, Outcome, Traffic
from fishladder.runtime.embedded import default_urls
from fishladder.runtime.store import open_stores
from fishladder.wire import keys, result
from fishladder.wire.errors import ConfigError
from fishladder.wire.ids import partition_of

_LOOK_S = 0.25
_LEAD_S = 0.3


@dataclass(frozen=True)
class Clip:
    """Real footage for a plan: encoded H.264 units, and which of them each frame of the plan is."""

    units: Sequence[bytes]
    frame: Ints


@dataclass(frozen=True)
class Ladder:
    """Cameras that adapt: what they would send, and the clip at each rate they may be ordered to (none: sizes follow
    from the orders).
    """

    camera: CameraSpec
    rungs: Sequence[Rung] = ()


@dataclass(frozen=True)
class Orders:
    """What agents made of cameras that adapt, for each picture that was to be sent: its camera, when it was taken, the
    bitrate it was made for, and whether it was held back since too much waited for the link.
    """

    camera: Ints
    at_us: Ints
    bitrate_bps: Ints
    held: Bools


@dataclass(frozen=True)
class SiteRun:
    """`traffic` is the plan as it was really sent, without what `orders` left out. `outcome` holds arrivals at the
    gateway (on a stack that is not ours: the gateway's acknowledgement, which took the way back as well);
    `committed_us` when the agent heard that a frame's result is committed, nan if it did not. All times in us after the
    start.
    """

    traffic: Traffic
    outcome: Outcome
    committed_us: Floats
    congestion_control: str
    reports: dict[Way, Report]  #: of the link, empty without one
    cores: dict[str, Load]  #: that agents, gateway and worker used, and waited for
    orders: Orders | None = None  #: of cameras that adapt


@dataclass(frozen=True)
class Foreign:
    """A stack that is not ours: the user's own, at `url`. `ca_file` and `proxy` are as in `[edge]`."""

    url: str
    site: str
    token: str
    ca_file: str = ""
    proxy: str = ""


def run_site(
    plan: Traffic,
    *,
    network: Network | None = None,
    uplink: Literal["stream", "whip"] = "stream",
    clip: Clip | Ladder | None = None,
    model: str | None = None,
    foreign: Foreign | None = None,
    open_s: float = 30.0,
    settle_s: float = 5.0,
    patience: Patience | None = None,
    size: tuple[int, int] = (1280, 720),
    progress: Callable[[float], None] | None = None,
) -> SiteRun:
    """Play `plan` (times from 0). `network` None: over loopback. `model`: infer with it instead of only committing.
    `foreign`: only the site's side, against that stack. All cameras have to be open within `open_s`; after the last
    frame up to `settle_s` are waited for what is under way. `progress` is called now and then with the seconds since
    the start.

    Raises `CannotEmulate` if a part does not start or ends early, `ConfigError` for what cannot be combined.
    """
    if uplink == "whip" and isinstance(clip, Ladder):
        raise ConfigError(
            "agents adapt on their own stream: with --adaptive leave out --uplink, or use --backend model"
        )
    if uplink == "whip" and (model or foreign):
        raise ConfigError(
            "with --uplink whip only the null worker knows frames again: infer, or use your own gateway, with stream"
        )
    if network and foreign:
        raise ConfigError("a gateway of your own is reached over your own line: leave out the link")
    with run_folder() as folder, ExitStack() as stack:
        ours = None if foreign else stack.enter_context(run_stack(folder, network, model=model))
        spec = _spec(plan, folder, ours or foreign, uplink=uplink, clip=clip, size=size)
        spec = msgspec.structs.replace(spec, open_s=open_s, settle_s=settle_s, patience=patience)
        site = network.site if network else None
        agents = Part("agents", site, ["fishladder.loadtest.sites.agents"], folder / "agents.log", talks=True)
        stack.enter_context(agents)
        agents.say(msgspec.json.encode(spec))
        if agents.hear() != b"open":
            raise agents.failure()
        parts = (agents, *(ours.parts if ours else ()))
        before = [part.times() for part in parts]
        start_ns = network.begin(lead_s=_LEAD_S) if network else time.monotonic_ns() + int(_LEAD_S * 1e9)
        wall_start_us = (time.time_ns() - time.monotonic_ns() + start_ns) / 1000
        agents.say(b"start %d" % start_ns)
        watch = _Watch(network, start_ns, progress)
        used = watch.until_ended(parts)
        if agents.process.returncode:
            raise agents.failure()
        elapsed_s = (time.monotonic_ns() - start_ns) / 1e9
        reports = {way: network.report(way) for way in WAYS} if network else {}
        if ours is not None:
            ours.parts[1].stop()  # what it knows is written then
        with np.load(spec.result) as done:
            found = {name: done[name] for name in done.files}
        arrival_us = _arrivals(plan, ours, found, wall_start_us)
        sent = np.flatnonzero(found["became"] == SENT)
        return SiteRun(
            traffic=_as_sent(plan, found, sent),
            outcome=_outcome(plan, arrival_us, found, watch, reports.get("up"), sent),
            committed_us=found["committed_us"][sent],
            congestion_control=str(found["congestion_control"]),
            reports=reports,
            orders=_orders(plan, found) if isinstance(clip, Ladder) else None,
            cores={it.name: after.since(b, elapsed_s) for it, b, after in zip(parts, before, used, strict=True)},
        )


def _spec(
    plan: Traffic,
    folder: Path,
    stack: Stack | Foreign | None,
    *,
    uplink: Literal["stream", "whip"],
    clip: Clip | Ladder | None,
    size: tuple[int, int],
) -> SiteSpec:
    assert stack is not None
    columns = {"camera": plan.camera, "at_us": plan.at_us, "size_bytes": plan.size_bytes, "key": plan.key}
    clip_file = ""
    if isinstance(clip, Clip):
        columns["frame"] = clip.frame
    if content := list(clip.units if isinstance(clip, Clip) else clip.rungs if clip else ()):
        clip_file = str(folder / "clip.msgpack")
        Path(clip_file).write_bytes(msgspec.msgpack.encode(content))
    np.savez(folder / "plan.npz", **columns)  # type: ignore[arg-type]
    return SiteSpec(
        gateway=stack.url,
        site=stack.site if isinstance(stack, Foreign) else SITE,
        token=stack.token,
        cameras=plan.cameras,
        fps=plan.fps,
        plan=str(folder / "plan.npz"),
        result=str(folder / "result.npz"),
        uplink=uplink,
        clip=clip_file,
        adaptive=clip.camera if isinstance(clip, Ladder) else None,
        ca_file=stack.ca_file if isinstance(stack, Foreign) else "",
        proxy=stack.proxy if isinstance(stack, Foreign) else "none",
        width=size[0],
        height=size[1],
    )


class _Watch:
    """Looks at the queue while the agents play."""

    def __init__(self, network: Network | None, start_ns: int, progress: Callable[[float], None] | None) -> None:
        self.queue: list[tuple[float, float]] = []  # us after the start, bytes
        self._network = network
        self._start_ns = start_ns
        self._progress = progress

    def until_ended(self, parts: Sequence[Part]) -> list[Times]:
        """Until the first of them (the agents) ends; the times of all at the last look."""
        agents, *others = parts
        used = [part.times() for part in parts]
        while not agents.ended(_LOOK_S):
            if dead := [part for part in others if part.process.poll() is not None]:
                raise dead[0].failure()
            used = [seen.later(part.times()) for seen, part in zip(used, parts, strict=True)]
            now_us = (time.monotonic_ns() - self._start_ns) / 1000
            if self._network is not None and (state := self._network.queue("up")) is not None:
                self.queue.append((now_us, state.backlog_bytes))
            if self._progress is not None:
                self._progress(now_us / 1e6)
        return used


def _as_sent(plan: Traffic, found: dict[str, Any], sent: Ints) -> Traffic:
    at_us = np.rint(np.maximum.accumulate(found["sent_us"])).astype(np.int64) if len(plan) else plan.at_us
    return Traffic(
        plan.cameras,
        plan.fps,
        plan.deadline_us,
        plan.camera[sent],
        at_us[sent],
        found["size_bytes"].astype(np.int64)[sent],
        found["key"].astype(bool)[sent],
    )


def _orders(plan: Traffic, found: dict[str, Any]) -> Orders:
    wanted = np.flatnonzero((found["became"] == SENT) | (found["became"] == HELD))
    return Orders(
        plan.camera[wanted],
        plan.at_us[wanted],
        found["ordered_bps"].astype(np.int64)[wanted],
        found["became"][wanted] == HELD,
    )


def _outcome(
    plan: Traffic,
    arrival_us: Floats,
    found: dict[str, Any],
    watch: _Watch,
    report: Report | None,
    sent: Ints,
) -> Outcome:
    queue = np.array(watch.queue).reshape(-1, 2)
    rate_bps = watch._network.link.up.rate_bps if watch._network else 1.0
    return Outcome(
        arrival_us=arrival_us[sent],
        packets=report.offered if report else 0,
        packets_dropped=report.dropped if report else 0,
        packets_lost=report.relay.lost_count if report else 0,
        queue_at_us=queue[:, 0],
        queue_us=queue[:, 1] * 8e6 / rate_bps,
        lateness_us=(found["sent_us"] - plan.at_us)[sent],
    )


def _arrivals(plan: Traffic, stack: Stack | None, found: dict[str, Floats], wall_start_us: float) -> Floats:
    """When each frame was at the gateway."""
    if stack is None:
        return found["logged_us"]
    if stack.arrivals is None:
        return asyncio.run(_inferred(plan, stack, wall_start_us))
    arrival_us = np.full(len(plan), np.nan)
    for arrival in read_arrivals(stack.arrivals):
        arrival_us[arrival.frame] = arrival.received_us - wall_start_us
    return arrival_us


async def _inferred(plan: Traffic, stack: Stack, wall_start_us: float) -> Floats:
    """From the results of a real worker, which say how long a frame took to the gateway; the plan's times are pts."""
    arrival_us = np.full(len(plan), np.nan)
    frames = {key: index for index, key in enumerate(zip(plan.camera.tolist(), plan.at_us.tolist(), strict=True))}
    async with open_stores(default_urls(stack.data_dir)) as stores:
        for camera in range(plan.cameras):
            name = f"{SITE}/cam{camera}"
            entries: Any = await stores.state.xrange(keys.results(partition_of(name, stores.partitions), name))
            for _, fields in entries:
                for frame in result.decode(fields[b"r"]).frames:
                    index = frames.get((camera, frame.pts_us))
                    if index is None or frame.hops is None:
                        raise CannotEmulate(f"{name} has a result for a frame that was not sent: {frame.pts_us}")
                    hops_ms = frame.hops.capture + frame.hops.uplink
                    arrival_us[index] = frame.captured_us + hops_ms * 1000 - wall_start_us
    return arrival_us
