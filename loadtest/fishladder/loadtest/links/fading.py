"""Made-up radio links, for presets where no recorded trace may be shipped: the logarithm of the rate is a first-order
autoregressive process, so that the rate wanders around its mean and forgets in a coherence time.
"""

import math
from random import Random

from fishladder.loadtest.links.link import OPPORTUNITY_BYTES, Trace

_TICK_MS = 10


def fading_trace(mean_bps: float, sigma: float, coherence_ms: float, seconds: float, seed: int) -> Trace:
    """`seconds` of opportunities whose mean is `mean_bps`; `sigma` is the standard deviation of log(rate)."""
    random = Random(f"fading/{seed}")  # noqa: S311 - makes a link, guards nothing
    keep = math.exp(-_TICK_MS / coherence_ms)
    level = random.gauss(0, sigma)
    levels = []
    for _ in range(round(seconds * 1000 / _TICK_MS)):
        levels.append(math.exp(level))
        level = keep * level + random.gauss(0, sigma * math.sqrt(1 - keep * keep))
    per_tick = mean_bps * _TICK_MS / 1000 / 8 / OPPORTUNITY_BYTES / (sum(levels) / len(levels))
    times: list[int] = []
    due = 0.0
    for tick, factor in enumerate(levels):
        for ms in range(_TICK_MS):
            due += per_tick * factor / _TICK_MS
            whole = int(due)
            due -= whole
            times.extend([tick * _TICK_MS + ms + 1] * whole)
    end_ms = len(levels) * _TICK_MS
    if not times or times[-1] != end_ms:
        times.append(end_ms)
    return Trace(f"fading(seed {seed})", tuple(times))
