"""The site's side of a run as a process: the real agent with its rings, sessions and uplink, but pictures that come
from a plan of times and sizes instead of capture processes, so that one process has dozens of cameras. Run as
`python -m fishladder.loadtest.sites.agents`, with a `SiteSpec` on the first line of its input; it says `open` when all
cameras may send, waits for `start NS` (CLOCK_MONOTONIC), plays the plan, writes what became of it and ends.
"""

import asyncio
import os
import sys
import time
from contextlib import suppress
from typing import Literal, TextIO

import msgspec
import numpy as np

from fishladder.edge.agent import Agent
from fishladder.edge.capture_records import Captured, CapturedUnit, Left
from fishladder.edge.config import CameraConfig, EdgeConfig
from fishladder.edge.feed import Feed
from fishladder.edge.session import State
from fishladder.edge.spool.settings import SpoolConfig
from fishladder.loadtest.sites.cameras import UNPLAYED, Adaptive, Cast, Fixed, Plan, Player
from fishladder.loadtest.sites.tcp_info import busiest, congestion_control
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.runtime.logs import configure_logging
from fishladder.wire.errors import FishladderError, UplinkError
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec, Flag

_LOOK_S = 0.01
#: Refusals that asking again does not help.
_FOR_GOOD = ("forbidden", "invalid")

#: It begins at frames of 5 s, when a run's verdict on them is long spoken, and it would leave files.
NO_SPOOL = SpoolConfig(enabled=False)


class Patience(msgspec.Struct, frozen=True):
    """A run in which more than `part` of all frames are handed over later than `late_us` is of no use: it ends when
    that is certain, but not before `from_us`.
    """

    late_us: float
    from_us: float
    part: float = 0.05

    def ends(self, late: int, frames: int, due_us: float) -> bool:
        return late > self.part * frames and due_us >= self.from_us


class SiteSpec(msgspec.Struct, frozen=True):
    """`plan` is an .npz, see `cameras.Plan`. `clip` is MessagePack: a list of encoded H.264 units, or of `Rung`s if the
    cameras adapt (`adaptive` says what they would send). `result` is the .npz that is written: see `play`.
    """

    gateway: str
    site: str
    token: str
    cameras: int
    fps: float
    plan: str
    result: str
    uplink: Literal["stream", "whip"] = "stream"
    clip: str = ""
    adaptive: CameraSpec | None = None
    ca_file: str = ""
    proxy: str = "none"
    width: int = 1280
    height: int = 720
    open_s: float = 30.0
    settle_s: float = 5.0
    patience: Patience | None = None
    ring_bytes: int = 64 << 20


class Acknowledged:
    """When each frame was logged and committed, as the agent heard of it; frames are numbered by what was sent."""

    def __init__(self, agent: Agent, frames: int) -> None:
        self.logged_us = np.full(frames, np.nan)
        self.committed_us = np.full(frames, np.nan)
        self.frame_of: list[list[int]] = [[] for _ in agent.feeds]  # by camera, by seq - 1
        self._agent = agent
        self._seen = [[0, 0] for _ in agent.feeds]

    async def watch(self, start_ns: int) -> None:
        """Look until cancelled."""
        while True:
            self.look((time.monotonic_ns() - start_ns) / 1000)
            await asyncio.sleep(_LOOK_S)

    def look(self, now_us: float) -> None:
        for session, frames, seen in zip(self._agent.sessions, self.frame_of, self._seen, strict=False):  # none of WHIP
            for which, (to, times) in enumerate(
                ((session.ring.logged, self.logged_us), (session.ring.committed, self.committed_us))
            ):
                if to > seen[which]:
                    times[frames[seen[which] : to]] = now_us
                    seen[which] = to


def camera_to_play(name: str) -> CameraConfig:
    return CameraConfig(name=name, source="test:", mode="encode")


def agent_to_play(config: EdgeConfig) -> Agent:
    """An agent that captures nothing by itself: its feeds are given records by whoever plays."""
    agent = Agent(config)
    for feed in agent.feeds:
        feed.child = Player(feed.settings)  # type: ignore[assignment]
    return agent


def _agent(spec: SiteSpec) -> Agent:
    return agent_to_play(
        EdgeConfig(
            gateway=spec.gateway,
            site=spec.site,
            token=spec.token,
            ca_file=spec.ca_file,
            proxy=spec.proxy,
            uplink=spec.uplink,
            ring_bytes=spec.ring_bytes,
            bitrate_kbps=max(round(spec.adaptive.bitrate_bps / 1000), 10) if spec.adaptive else 1500,
            drain_s=0.5,
            metrics_port=0,
            spool=NO_SPOOL,
            cameras=tuple(camera_to_play(f"cam{index}") for index in range(spec.cameras)),
        )
    )


async def all_open(agent: Agent, within_s: float) -> None:
    """Wait until all cameras may send. Raises `UplinkError`."""
    try:
        async with asyncio.timeout(within_s):
            await _all_open(agent)
    except TimeoutError:
        gateway, count = agent.config.gateway, len(agent.config.cameras)
        raise UplinkError(
            f"gateway {gateway}: not all of {count} cameras could be opened within {within_s:g} s; "
            "`fishladder edge check` says whether it can be reached and takes the token"
        ) from None


async def _all_open(agent: Agent) -> None:
    while not (agent.uplink.connected and all(it.state is State.OPEN for it in agent.sessions)):
        await asyncio.sleep(0.02)
        for session in agent.sessions:
            if session.refusal is not None and session.refusal.code in _FOR_GOOD:
                raise UplinkError(f"gateway {agent.config.gateway}: {session.camera}: {session.refusal.message}")


async def play(spec: SiteSpec, plan: Plan, cast: Cast, agent: Agent, start_ns: int) -> None:
    """Hand over each frame when its time has come, wait until all is committed or `settle_s` has passed, and write, for
    each frame: sent_us (handed over, after the start), size_bytes, key, kept, what became of it (see `cameras`), the
    bitrate that was ordered, logged_us, committed_us; and how TCP is paced. Where `patience` ends, so does the run.
    """
    camera, at_us = plan.camera, plan.at_us
    sent_us, kept = np.zeros(len(at_us)), np.zeros(len(at_us), bool)
    sizes, key = np.zeros(len(at_us), np.int64), np.zeros(len(at_us), bool)
    became, ordered_bps = np.zeros(len(at_us), np.int64), np.zeros(len(at_us), np.int64)
    heard = Acknowledged(agent, len(at_us))
    watching = asyncio.create_task(heard.watch(start_ns))
    duration_us = round(1e6 / spec.fps)
    control, late = "", 0
    for index, due_us in enumerate(at_us):
        if spec.patience is not None and spec.patience.ends(late, len(at_us), due_us):
            became[index:] = UNPLAYED
            break
        due_ns = start_ns + due_us * 1000
        if (wait_s := (due_ns - time.monotonic_ns()) / 1e9) > 0:
            await asyncio.sleep(wait_s)
        elif index % 16 == 0:
            await asyncio.sleep(0)  # the uplink has its turn, however late we are
        feed = agent.feeds[camera[index]]
        heard.frame_of[camera[index]].append(index)
        sent_us[index] = (time.monotonic_ns() - start_ns) / 1000
        late += spec.patience is not None and sent_us[index] - due_us > spec.patience.late_us
        picture = cast.take(index)
        if isinstance(picture, int):
            became[index] = picture
            feed.on_record(Captured(due_ns // 1000))
            feed.on_record(Left(Fate.SHED))
            continue
        sizes[index], key[index] = len(picture.payload), picture.key
        ordered_bps[index] = picture.ordered_bps
        flags = Flag.CLEAN if picture.key else Flag(0)
        kept[index] = _hand_over(
            feed,
            CapturedUnit(
                Codec.H264,
                flags,
                picture.width,
                picture.height,
                duration_us,
                due_us,
                due_ns // 1000,
                picture.payload,
            ),
        )
        if not control and spec.uplink == "stream" and index % 64 == 0:
            control = _congestion_control()
    with suppress(TimeoutError):
        async with asyncio.timeout(0 if UNPLAYED in became else spec.settle_s):
            while spec.uplink == "whip" or any(feed.sink.pending for feed in agent.feeds):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(_LOOK_S)
    watching.cancel()
    heard.look((time.monotonic_ns() - start_ns) / 1000)
    np.savez(
        spec.result,
        sent_us=sent_us,
        size_bytes=sizes,
        key=key,
        kept=kept,
        became=became,
        ordered_bps=ordered_bps,
        logged_us=heard.logged_us,
        committed_us=heard.committed_us,
        congestion_control=np.array(control or "none"),
    )


def _hand_over(feed: Feed, unit: CapturedUnit) -> bool:
    dropped = feed.sink.dropped
    feed.on_record(unit)
    return feed.sink.dropped == dropped


def _congestion_control() -> str:
    """Of this process' connection to the gateway, '' if there is none yet."""
    if (connection := busiest()) is None:
        return ""
    with connection:
        return congestion_control(connection)


def _insist_on_every_frame(spec: SiteSpec, agent: Agent) -> None:
    """A gateway may want fewer pictures than are planned; real cameras would obey, and the plan cannot."""
    wanted = [session.policy.fps for session in agent.sessions if session.policy and session.policy.fps]
    if wanted and min(wanted) < spec.fps:
        raise UplinkError(
            f"gateway {spec.gateway} wants at most {min(wanted):g} pictures a second of these cameras, "
            f"not {spec.fps:g}: test with as many, or give them another policy"
        )


async def _run(spec: SiteSpec, talk: TextIO) -> None:
    plan = Plan(spec.plan)
    agent = _agent(spec)
    cast: Cast = (
        Fixed(plan, spec.clip, (spec.width, spec.height))
        if spec.adaptive is None
        else Adaptive(plan, spec.adaptive, spec.clip, agent)
    )
    stopping = asyncio.Event()
    running = asyncio.create_task(agent.run(stopping))
    try:
        await all_open(agent, spec.open_s)
        if spec.adaptive is None:
            _insist_on_every_frame(spec, agent)
        talk.write("open\n")
        talk.flush()
        told = (await asyncio.to_thread(sys.stdin.readline)).split()
        if len(told) == 2:
            await play(spec, plan, cast, agent, int(told[1]))
    finally:
        stopping.set()
        await running


def main() -> None:
    talk = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what logs and libraries say must not get between the answers
    spec = msgspec.json.decode(sys.stdin.readline(), type=SiteSpec)
    configure_logging("warning")
    try:
        asyncio.run(_run(spec, talk))
    except FishladderError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
