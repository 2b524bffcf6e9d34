"""Whether a run was limited by the machine it ran on and not by its link. With several cells at a time each judges all
that runs, its neighbours' starting up included: what holds it up is the same to it.
"""

import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from thin.figures import SETTLED_S

_LOOK_S = 0.5
#: With less of it idle over a run, or idle as little in so much of a run, or pictures later than this, the machine was
#: the limit.
BUSY, FULL_SHARE, LATE_MS = 0.93, 0.1, 100.0


class Ticks(NamedTuple):
    """Of all cores together until a Unix time."""

    at_s: float
    busy: int
    whole: int


class Machine:
    """Looks how busy the machine is, with everything that runs on it, until it is told to stop."""

    def __init__(self) -> None:
        self.ticks: list[Ticks] = []
        self._stop = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            ticks = [int(it) for it in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
            self.ticks.append(Ticks(time.time(), sum(ticks) - ticks[3] - ticks[4], sum(ticks)))


def cpu_figures(ticks: Sequence[Ticks], began_s: float, seconds: float) -> dict[str, float]:
    """Of the settled part of a run: `cpu` is how much of all cores was used, `cpu_full` for how much of the time next
    to nothing was left. Empty if it was not seen."""
    seen = [it for it in ticks if SETTLED_S <= it.at_s - began_s <= seconds]
    shares = [(after.busy - before.busy) / max(after.whole - before.whole, 1) for before, after in pairwise(seen)]
    if not shares:
        return {}
    return {
        "cpu": round(sum(shares) / len(shares), 2),
        "cpu_full": round(sum(it > BUSY for it in shares) / len(shares), 2),
    }


def limited(cpu: float, cpu_full: float, late_pictures_ms: float) -> bool:
    return cpu > BUSY or cpu_full > FULL_SHARE or late_pictures_ms > LATE_MS
