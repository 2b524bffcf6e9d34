"""What a link can carry by when: bytes of service offered since time 0, and back. Constant rates, rates that change by
a schedule, and recorded traces are all such a curve, which is why one queue model serves for all of them.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fishladder.loadtest.traffic import Floats

TRACE_PACKET_BYTES = 1500  #: what one line of a mahimahi trace carries


class Capacity(Protocol):
    """`served(t)` is the service in bytes offered from 0 to `t` microseconds, `when(w)` the first time it reaches `w`.

    Both take and give arrays (or single numbers) and never decrease.
    """

    def served(self, at_us: Floats) -> Floats: ...

    def when(self, work_bytes: Floats) -> Floats: ...

    def served_one(self, at_us: float) -> float: ...

    def when_one(self, work_bytes: float) -> float: ...

    def mean_bps(self, until_us: float) -> float: ...


@dataclass(frozen=True)
class ConstantRate:
    rate_bps: float

    def __post_init__(self) -> None:
        if not self.rate_bps > 0:
            raise ValueError(f"rate {self.rate_bps}: must be above 0")

    def served(self, at_us: Floats) -> Floats:
        return at_us * (self.rate_bps / 8e6)

    def when(self, work_bytes: Floats) -> Floats:
        return work_bytes * (8e6 / self.rate_bps)

    def served_one(self, at_us: float) -> float:
        return at_us * (self.rate_bps / 8e6)

    def when_one(self, work_bytes: float) -> float:
        return work_bytes * (8e6 / self.rate_bps)

    def mean_bps(self, until_us: float) -> float:
        return self.rate_bps


class Steps:
    """Rates from given times on, the last for ever; a rate of 0 is an outage. The last must be above 0."""

    def __init__(self, from_us: Floats, rate_bps: Floats) -> None:
        if len(from_us) == 0 or from_us[0] != 0 or np.any(np.diff(from_us) <= 0):
            raise ValueError("steps must begin at 0 and ascend")
        if np.any(rate_bps < 0) or not rate_bps[-1] > 0:
            raise ValueError("rates must not be negative, and the last must be above 0")
        self._from_us = np.asarray(from_us, float)
        self._per_us = np.asarray(rate_bps, float) / 8e6
        self._work = np.concatenate([[0.0], np.cumsum(np.diff(self._from_us) * self._per_us[:-1])])

    def served(self, at_us: Floats) -> Floats:
        step = np.clip(np.searchsorted(self._from_us, at_us, "right") - 1, 0, None)
        return np.asarray(self._work[step] + (at_us - self._from_us[step]) * self._per_us[step])

    def when(self, work_bytes: Floats) -> Floats:
        # "left": work that is done exactly as an outage begins is done before it.
        step = np.clip(np.searchsorted(self._work, work_bytes, "left") - 1, 0, None)
        rest = work_bytes - self._work[step]
        with np.errstate(divide="ignore", invalid="ignore"):
            after = np.where(rest > 0, rest / self._per_us[step], 0.0)
        return np.asarray(self._from_us[step] + after)

    def served_one(self, at_us: float) -> float:
        return float(self.served(np.array([at_us]))[0])

    def when_one(self, work_bytes: float) -> float:
        return float(self.when(np.array([work_bytes]))[0])

    def mean_bps(self, until_us: float) -> float:
        return self.served_one(until_us) * 8e6 / until_us


class Trace:
    """A mahimahi trace: at each of `at_ms` the link can deliver 1500 bytes; what is not used then is lost. It repeats
    after its last line.
    """

    def __init__(self, at_ms: NDArray[np.int64]) -> None:
        if len(at_ms) == 0 or np.any(np.diff(at_ms) < 0) or at_ms[-1] <= 0:
            raise ValueError("a trace needs ascending milliseconds that end above 0")
        self._at_us = np.asarray(at_ms, float) * 1000
        self._period_us = float(self._at_us[-1])
        self._last = int((self._at_us == self._period_us).sum())

    def served(self, at_us: Floats) -> Floats:
        # Opportunities before `at_us`: one at that very moment can still be used.
        laps, rest = np.divmod(np.asarray(at_us, float), self._period_us)
        seen = laps * len(self._at_us) + np.searchsorted(self._at_us, rest, "left")
        # The last lines of a lap fall on the first moment of the next.
        seen = seen - np.where((rest == 0) & (laps > 0), self._last, 0)
        return np.asarray(seen * float(TRACE_PACKET_BYTES))

    def when(self, work_bytes: Floats) -> Floats:
        opportunity = np.maximum(np.ceil(np.asarray(work_bytes) / TRACE_PACKET_BYTES - 1e-9) - 1, 0).astype(np.int64)
        laps, line = np.divmod(opportunity, len(self._at_us))
        return np.asarray(laps * self._period_us + self._at_us[line])

    def served_one(self, at_us: float) -> float:
        return float(self.served(np.array([at_us]))[0])

    def when_one(self, work_bytes: float) -> float:
        return float(self.when(np.array([work_bytes]))[0])

    def mean_bps(self, until_us: float) -> float:
        return len(self._at_us) * TRACE_PACKET_BYTES * 8e6 / self._period_us
