"""What cameras offered to a link and what became of it, as arrays, and the one measure that all judgements use: which
frames could be decoded by their deadline. Where the frames come from, and what carried them, is left to others: model
and emulation both end here.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Traffic:
    """Frames in the order they were offered; all arrays are of one length.

    `at_us` is when the agent had the frame ready to send, ascending, on any one clock; `camera` counts from 0.
    `deadline_us` is how old a frame may be when it, and all it refers to, has arrived.
    """

    cameras: int
    fps: float
    deadline_us: int
    camera: Ints
    at_us: Ints
    size_bytes: Ints
    key: Bools

    def __post_init__(self) -> None:
        if not len(self.camera) == len(self.at_us) == len(self.size_bytes) == len(self.key):
            raise ValueError("camera, at_us, size_bytes and key differ in length")
        if np.any(np.diff(self.at_us) < 0):
            raise ValueError("frames must be in the order they are offered")

    def __len__(self) -> int:
        return len(self.at_us)

    @property
    def offered_bps(self) -> float:
        """Mean rate of the payload over the time it was offered; a frame counts for 1/fps."""
        if not len(self):
            return 0.0
        span_s = (int(self.at_us[-1]) - int(self.at_us[0])) / 1e6 + 1 / self.fps
        return float(self.size_bytes.sum()) * 8 / span_s


@dataclass(frozen=True)
class Outcome:
    """`arrival_us` is when the last byte of each frame of a `Traffic` was there, nan where it never came.

    The queue is the bottleneck's: what packets waited in it, as pairs of time and wait. `lateness_us` is by how much
    the generator was behind its own plan, frame by frame (zeros in the model).
    """

    arrival_us: Floats
    packets: int = 0  #: offered to the bottleneck
    packets_dropped: int = 0  #: by its queue
    packets_lost: int = 0  #: on the line
    queue_at_us: Floats = field(default_factory=lambda: np.zeros(0))
    queue_us: Floats = field(default_factory=lambda: np.zeros(0))
    lateness_us: Floats = field(default_factory=lambda: np.zeros(0))


def decodable(traffic: Traffic, outcome: Outcome) -> Bools:
    """Which frames could be decoded by their deadline: the frame and every frame before it, back to its keyframe, had
    arrived by `at_us + deadline_us` of this frame. What comes before a camera's first keyframe cannot be.
    """
    if len(outcome.arrival_us) != len(traffic):
        raise ValueError(f"{len(outcome.arrival_us)} arrivals for {len(traffic)} frames")
    if not len(traffic):
        return np.zeros(0, bool)
    order = np.argsort(traffic.camera, kind="stable")
    camera, at_us, key = traffic.camera[order], traffic.at_us[order], traffic.key[order]
    begins = np.empty(len(order), bool)
    begins[0] = True
    begins[1:] = camera[1:] != camera[:-1]
    due_us = at_us + traffic.deadline_us
    # Counted from the first offer and cut off just past the last deadline, so that a row of groups fits an int64.
    start_us = int(at_us.min())
    never_us = int(due_us.max()) - start_us + 1
    since_us = outcome.arrival_us[order] - start_us
    arrived_us = np.where(np.isnan(since_us), never_us, np.minimum(np.ceil(since_us - 1e-3), never_us)).astype(np.int64)
    arrived_us = np.maximum(arrived_us, 0)
    arrived_us[begins & ~key] = never_us  # nothing to refer to until a keyframe comes
    # The running maximum within a group of pictures: each group is lifted above everything before it.
    lift_us = (np.cumsum(key | begins) - 1) * (never_us + 1)
    complete_us = np.maximum.accumulate(arrived_us + lift_us) - lift_us
    result = np.empty(len(order), bool)
    result[order] = complete_us <= due_us - start_us
    return result


def decodable_by_camera(traffic: Traffic, outcome: Outcome, *, from_us: int | None = None) -> Floats:
    """The fraction of frames decodable by their deadline, one for each camera; nan for one that offered none.

    Frames offered before `from_us` (the warm-up) are not counted.
    """
    good = decodable(traffic, outcome)
    counted = np.ones(len(traffic), bool) if from_us is None else traffic.at_us >= from_us
    offered = np.bincount(traffic.camera[counted], minlength=traffic.cameras).astype(float)
    arrived = np.bincount(traffic.camera[counted & good], minlength=traffic.cameras)
    with np.errstate(invalid="ignore"):
        return np.asarray(arrived / np.where(offered == 0, np.nan, offered))
