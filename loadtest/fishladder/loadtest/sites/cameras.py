"""What stands in the place of capture processes while a plan is played: `Player` takes the agent's commands, and a cast
of cameras says what each planned picture becomes: what the plan says (`Fixed`), or what the agent's orders leave of it
(`Adaptive`).
"""

import asyncio
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from fishladder.edge.agent import Agent
from fishladder.edge.capture import CaptureSettings, Command
from fishladder.edge.capture_records import Opened
from fishladder.loadtest.sites.obedient import Obedient
from fishladder.loadtest.sites.payload import marked, synthetic
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.ladder import Rung

#: What became of a planned picture.
SENT, THINNED, HELD, UNPLAYED = range(4)


class Player:
    """A capture process as its feed sees it. Commands go to `obedient`, if the camera is one that adapts."""

    restarts = 0
    error = ""
    failed = False

    def __init__(self, settings: CaptureSettings) -> None:
        self.settings = settings
        self.obedient: Obedient | None = None
        self.keyframes_asked = 0
        self._stopping = asyncio.Event()

    def command(self, command: Command) -> None:
        self.keyframes_asked += command.keyframe
        if self.obedient is not None:
            self.obedient.orders.take(command)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        await self._stopping.wait()


class Plan:
    """The pictures of all cameras in order of time: `camera, at_us, size_bytes, key`, and, if there is a clip, `frame`,
    the number of each in it.
    """

    def __init__(self, path: str) -> None:
        with np.load(path) as plan:
            self.camera: list[int] = plan["camera"].tolist()
            self.at_us: list[int] = plan["at_us"].tolist()
            self.key: list[bool] = plan["key"].tolist()
            self.size_bytes: list[int] = plan["size_bytes"].tolist()
            self.frame: list[int] = plan["frame"].tolist() if "frame" in plan.files else []

    def __len__(self) -> int:
        return len(self.at_us)


class Picture(NamedTuple):
    """A planned picture as a unit, made for `ordered_bps` (0 = nobody orders)."""

    payload: bytes
    key: bool
    width: int
    height: int
    ordered_bps: int = 0


class Cast(Protocol):
    """All cameras of a plan."""

    def take(self, index: int) -> Picture | int:
        """What picture `index` becomes: a unit, or `THINNED` or `HELD`."""


class Fixed:
    """Every picture is sent as planned; `clip` (H.264 units) gives them content."""

    def __init__(self, plan: Plan, clip: str, size: tuple[int, int]) -> None:
        self._plan, self._size = plan, size
        self._clip = msgspec.msgpack.decode(Path(clip).read_bytes(), type=list[bytes]) if clip else []

    def take(self, index: int) -> Picture | int:
        plan = self._plan
        key = plan.key[index]
        payload = (
            marked(index, self._clip[plan.frame[index]])
            if self._clip
            else synthetic(index, plan.size_bytes[index], key=key)
        )
        return Picture(payload, key, *self._size)


class Adaptive:
    """Cameras that obey the agent: it is told what they could send, and they send what it orders. With a ladder
    (`Rung`s), content is that of its clips; each camera begins elsewhere in it.
    """

    def __init__(self, plan: Plan, spec: CameraSpec, ladder: str, agent: Agent) -> None:
        self._plan, self._spec = plan, spec
        rungs = msgspec.msgpack.decode(Path(ladder).read_bytes(), type=list[Rung]) if ladder else []
        self._cameras = []
        opened = Opened("encode", "h264", spec.width, spec.height, spec.fps)
        for channel, feed in enumerate(agent.feeds):
            turn_s = channel * 0.618 % 1.0 * len(rungs[0].key) / rungs[0].fps if rungs else 0.0
            camera = Obedient(spec, rungs, turn_s)
            assert isinstance(feed.child, Player)
            feed.child.obedient = camera
            self._cameras.append(camera)
            feed.on_record(opened)

    def take(self, index: int) -> Picture | int:
        plan, spec = self._plan, self._spec
        camera = self._cameras[plan.camera[index]]
        noise = plan.size_bytes[index] / (spec.i_bytes if plan.key[index] else spec.p_bytes)
        made = camera.take(plan.at_us[index], noise)
        if made is None:
            return HELD if camera.orders.hold else THINNED
        if made.payload is not None:
            payload = marked(index, made.payload)
        else:
            payload = synthetic(index, made.size_bytes, key=made.key)
        return Picture(payload, made.key, made.width, made.height, camera.orders.bitrate_bps)
