"""A scenario: cameras of one kind on one link, over one transport, for a time. It is what model and emulation both run,
and what every report names.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from fishladder.loadtest.links.link import Link
from fishladder.loadtest.model.congestion import Law
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.frames import EncodedSizes

#: `stream` is the agent's own uplink (one TCP connection a site), `whip` WebRTC with repair, `datagrams` without.
Transport = Literal["stream", "whip", "datagrams"]
TRANSPORTS: tuple[str, ...] = get_args(Transport)
_SETTLE_S = 2.0  #: for TCP's window, after every camera has had a keyframe


@dataclass(frozen=True)
class Adaptive:
    """Cameras that lower their rate to what the link leaves them, but not below `floor_bps`, the lowest rate that is
    still worth sending (the ladder step that keeps the wanted accuracy).

    `use` is the share of the link the controller fills (assumption, from measurements of ours on a thin link).
    """

    floor_bps: float
    ladder_bps: Sequence[float] = ()  #: steps to choose from; none = any rate
    use: float = 0.85

    def rate_bps(self, link_bps: float, cameras: int, wanted_bps: float) -> float:
        """What each of `cameras` sends. Below the floor it is the floor: the scenario then shows what that costs."""
        share = min(self.use * link_bps / cameras, wanted_bps)
        steps = [step for step in self.ladder_bps if step <= share]
        return max(max(steps) if steps else share if not self.ladder_bps else 0.0, self.floor_bps)


@dataclass(frozen=True)
class Scenario:
    """`seconds` are those counted; before them, every camera has had time to send a keyframe."""

    link: Link
    camera: CameraSpec = field(default_factory=CameraSpec)
    transport: Transport = "stream"
    law: Law = "cubic"
    seconds: float = 40.0
    adaptive: Adaptive | None = None
    footage: EncodedSizes | None = None

    @property
    def warm_up_s(self) -> float:
        return self.camera.gop_s + _SETTLE_S

    def camera_at(self, cameras: int) -> CameraSpec:
        """What each of so many cameras sends."""
        if self.adaptive is None:
            return self.camera
        up = self.link.up
        link_bps = up.trace.mean_bps if up.trace else up.rate_bps
        rate = self.adaptive.rate_bps(link_bps, cameras, self.camera.bitrate_bps)
        return replace(self.camera, bitrate_bps=rate)
