"""Draws the frames that N cameras offer: sizes from the parameters of a `CameraSpec`, or from footage that was encoded
to it. A camera draws the same whatever the number of its neighbours, so that N and N + 1 differ by one camera only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.traffic import Traffic


@dataclass(frozen=True)
class EncodedSizes:
    """The frames of an encoded clip in order: bytes of each, and which are keyframes. It begins with one."""

    size_bytes: NDArray[np.int64]
    key: NDArray[np.bool_]


def draw(spec: CameraSpec, cameras: int, seconds: float, seed: int, *, footage: EncodedSizes | None = None) -> Traffic:
    """What `cameras` of this kind offer in `seconds`, from time 0.

    Each begins somewhere in its group of pictures ("staggered") or with a keyframe at time 0 ("aligned"). With
    `footage`, sizes and keyframes are those of the clip, looped, at the rate of `spec.fps`.
    """
    count = max(int(seconds * spec.fps), 1)
    columns = [_one(spec, count, np.random.default_rng([seed, camera]), footage) for camera in range(cameras)]
    at_us, size, key = (np.concatenate(column) for column in zip(*columns, strict=True))
    camera = np.repeat(np.arange(cameras, dtype=np.int64), count)
    order = np.argsort(at_us, kind="stable")
    return Traffic(
        cameras=cameras,
        fps=spec.fps,
        deadline_us=round(spec.deadline_ms * 1000),
        camera=camera[order],
        at_us=at_us[order],
        size_bytes=size[order],
        key=key[order],
    )


def _one(
    spec: CameraSpec, count: int, rng: np.random.Generator, footage: EncodedSizes | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Times, sizes and keyframes of one camera."""
    offset, turn = (0.0, 0.0) if spec.phases == "aligned" else rng.random(2).tolist()
    at_us = np.rint((np.arange(count) + offset) * (1e6 / spec.fps)).astype(np.int64)
    if footage is not None:
        index = (np.arange(count) + int(turn * len(footage.key))) % len(footage.key)
        return at_us, footage.size_bytes[index], footage.key[index]
    frame = np.arange(count) + int(turn * spec.gop_frames)
    key = frame % spec.gop_frames == 0
    mean = np.where(key, spec.i_bytes, spec.p_bytes)
    if spec.sigma:
        # A lognormal whose mean, not whose median, is 1.
        mean = mean * rng.lognormal(-(spec.sigma**2) / 2, spec.sigma, count)
    return at_us, np.maximum(np.rint(mean), 1).astype(np.int64), key
