"""A link applied to packets whose sending times are known: what the preset promises for just this traffic. It is the
yardstick of the emulation's self-test; the model is its fast sibling.
"""

import numpy as np
from numpy.typing import NDArray

from fishladder.loadtest.links.bottleneck import Bottleneck
from fishladder.loadtest.links.impairments import way_seed
from fishladder.loadtest.links.link import Link
from fishladder.loadtest.links.medium import Medium
from fishladder.loadtest.links.timeline import Timeline, Way


def arrivals_ms(
    link: Link, way: Way, seed: int, sent_ms: NDArray[np.float64], ip_bytes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """When each packet arrives, in ms after the link's start; nan for one dropped or lost. `sent_ms` ascends."""
    timeline = Timeline(link, way)
    queue, medium = Bottleneck(timeline, way_seed(seed, way)), Medium(timeline, way_seed(seed, way))
    arrived = np.full(len(sent_ms), np.nan)
    for index, (now_ms, size) in enumerate(zip(sent_ms.tolist(), ip_bytes.tolist(), strict=True)):
        departs_ms = queue.offer(now_ms, size)
        if departs_ms is not None and (arrives_ms := medium.cross(departs_ms)) is not None:
            arrived[index] = arrives_ms
    return arrived
