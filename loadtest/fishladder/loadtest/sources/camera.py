"""What a camera of a scenario sends, as a planner would describe it: resolution, frame rate, bit rate, how often a
keyframe comes and how large. Drawing frames from it is `parametric`'s, encoding footage to it is `ladder`'s.
"""

from dataclasses import dataclass, replace
from typing import Literal

from fishladder.edge.encode import vbv_s
from fishladder.wire.errors import ConfigError

Phases = Literal["staggered", "aligned"]


@dataclass(frozen=True)
class CameraSpec:
    """The default is 720p at 15 fps and 2 Mbit/s (Unifore's table of H.264 rates).

    `ip_ratio` is the size of a keyframe over that of the others: 10 to 20 in static scenes (IPVM). `sigma` is the
    spread of the logarithm of frame sizes (assumption). `phases`: cameras run freely ("staggered", drawn by the seed),
    or all take their pictures and keyframes at the same instant ("aligned", the worst case: a site that lost power).
    `paced` spreads the packets of a frame over its interval where the transport is datagrams; a byte stream is
    paced by TCP. `deadline_ms` is how old a frame may be when it, and all it refers to, has arrived.
    """

    width: int = 1280
    height: int = 720
    fps: float = 15.0
    bitrate_bps: float = 2_000_000.0
    gop_s: float = 2.0
    ip_ratio: float = 10.0
    sigma: float = 0.2
    phases: Phases = "staggered"
    paced: bool = False
    deadline_ms: float = 500.0

    def __post_init__(self) -> None:
        bounds = [
            ("fps", self.fps, 0.1, 240.0),
            ("bitrate in Mbit/s", self.bitrate_bps / 1e6, 0.001, 1000.0),
            ("gop", self.gop_s, 0.0, 600.0),
            ("ip-ratio", self.ip_ratio, 1.0, 1000.0),
            ("sigma", self.sigma, 0.0, 2.0),
            ("deadline", self.deadline_ms, 1.0, 600_000.0),
        ]
        for name, value, low, high in bounds:
            if not low <= value <= high:
                raise ConfigError(f"camera {name} {value:g}: expected {low:g} to {high:g}")
        if self.width < 16 or self.height < 16:
            raise ConfigError(f"camera size {self.width}x{self.height}: expected 16x16 or more")

    @property
    def gop_frames(self) -> int:
        """Frames from keyframe to keyframe, at least 1."""
        return max(round(self.gop_s * self.fps), 1)

    @property
    def mean_frame_bytes(self) -> float:
        return self.bitrate_bps / 8 / self.fps

    @property
    def p_bytes(self) -> float:
        """Mean size of a frame that is no keyframe: mean * G / (G - 1 + ratio)."""
        return self.mean_frame_bytes * self.gop_frames / (self.gop_frames - 1 + self.ip_ratio)

    @property
    def i_bytes(self) -> float:
        return self.p_bytes * self.ip_ratio

    def at_night(self) -> "CameraSpec":
        """The same camera in the dark: noise makes every frame cost like new, so that the rate rises by half where
        nothing caps it and keyframes stand out less (assumptions).
        """
        return replace(self, bitrate_bps=self.bitrate_bps * 1.5, ip_ratio=max(self.ip_ratio / 2.5, 1.0))

    def with_buffer(self, seconds: float) -> "CameraSpec":
        """The same camera with an encoder whose rate buffer is so long: no keyframe is larger than what it holds, and
        other frames have the rest.
        """
        most = seconds * self.fps  # mean frames
        gop = self.gop_frames
        if most >= gop:
            return self
        return replace(self, ip_ratio=min(self.ip_ratio, max(most * (gop - 1) / (gop - most), 1.0)))

    def ordered(self, bitrate_bps: float, fps: float, keyframe_s: float) -> "CameraSpec":
        """The same camera under an agent's order, made with its encoder's short buffer."""
        rate = max(min(bitrate_bps, self.bitrate_bps), 1000.0)
        gop_s = max(self.gop_s, keyframe_s)
        return replace(self, bitrate_bps=rate, fps=fps, gop_s=gop_s).with_buffer(vbv_s(fps))

    def __str__(self) -> str:
        return f"{self.width}x{self.height}, {self.fps:g} fps, {self.bitrate_bps / 1e6:g} Mbit/s"
