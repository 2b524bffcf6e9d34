"""A scenario: cameras of one kind on one link, over one transport, for a time. It is what model and emulation both run,
and what every report names.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

from fishladder.edge.rate.control import THIN_KEYFRAME_S
from fishladder.edge.rate.ladder import fitting
from fishladder.loadtest.links.link import Link
from fishladder.loadtest.model.congestion import Law
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.frames import EncodedSizes

#: `stream` is the agent's own uplink (one TCP connection a site), `whip` WebRTC with repair, `datagrams` without.
Transport = Literal["stream", "whip", "datagrams"]
TRANSPORTS: tuple[str, ...] = get_args(Transport)
_ADAPT_S = 12.0  #: for an agent to find out what the link carries
#: Encoders come no closer to an order than this.
_FLOOR_KEPT = 0.95
_SETTLE_S = 2.0  #: for TCP's window, after every camera has had a keyframe


@dataclass(frozen=True)
class Adaptive:
    """Cameras that lower their rate to what the link leaves them, but not below `floor_bps`, the lowest rate that is
    still worth sending (the ladder step that keeps the wanted accuracy).

    `use` is the share of the link the agent fills (assumption, from measurements of ours on a thin link).
    """

    floor_bps: float
    use: float = 0.85

    def share_bps(self, link_bps: float, cameras: int, wanted_bps: float) -> float:
        """What the agent has for each of so many cameras."""
        return min(self.use * link_bps / cameras, wanted_bps)

    def keeps_floor(self, camera_bps: float) -> bool:
        return camera_bps >= _FLOOR_KEPT * self.floor_bps


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
    #: The footage of adaptive cameras as it was encoded for less and less: bitrates, down to the floor, and sizes.
    ladder: tuple[tuple[float, EncodedSizes], ...] = ()

    @property
    def warm_up_s(self) -> float:
        return self.camera.gop_s + (_SETTLE_S if self.adaptive is None else _ADAPT_S)

    def camera_at(self, cameras: int) -> CameraSpec:
        """What each of so many cameras sends, by the orders of its agent where it adapts. Below the floor it is the
        floor: the scenario then shows what that costs.
        """
        if self.adaptive is None:
            return self.camera
        rate = max(self.share_bps(cameras), self.adaptive.floor_bps)
        if self.ladder:
            rate = next((bitrate_bps for bitrate_bps, _ in self.ladder if bitrate_bps <= rate), self.ladder[-1][0])
        if rate >= self.camera.bitrate_bps:
            return self.camera
        camera = self.camera
        rung = fitting(rate, camera.width, camera.height, camera.fps)
        return camera.ordered(rate, rung.fps, THIN_KEYFRAME_S)

    def share_bps(self, cameras: int) -> float:
        """What each of so many cameras may send."""
        if self.adaptive is None:
            return self.camera.bitrate_bps
        up = self.link.up
        link_bps = up.trace.mean_bps if up.trace else up.rate_bps
        return self.adaptive.share_bps(link_bps, cameras, self.camera.bitrate_bps)

    def of_use(self, camera_bps: float) -> bool:
        """Whether a camera that may send so much is still worth having."""
        return self.adaptive is None or self.adaptive.keeps_floor(camera_bps)

    def footage_at(self, cameras: int) -> EncodedSizes | None:
        """The clip each of so many cameras sends, None if sizes are drawn."""
        if not self.ladder:
            return self.footage
        rate = self.camera_at(cameras).bitrate_bps
        return next(sizes for bitrate_bps, sizes in self.ladder if bitrate_bps <= rate * 1.001)
