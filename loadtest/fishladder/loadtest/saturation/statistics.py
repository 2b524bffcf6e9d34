"""Student's t on the results of a handful of seeds: one-sided bounds of a mean, and the verdict they allow."""

import math
from dataclasses import dataclass
from enum import Enum
from statistics import NormalDist, fmean, stdev


class Verdict(Enum):
    """Whether the mean reaches the target: surely (lower bound at or above), surely not (upper bound below)."""

    PASSES = "passes"
    UNSURE = "unsure"
    FAILS = "fails"


@dataclass(frozen=True)
class Sample:
    """Results of independent seeds, and their one-sided bounds at `level`."""

    values: tuple[float, ...]
    level: float = 0.95

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def half_width(self) -> float:
        """From the mean to either one-sided bound; infinite for a single value."""
        count = len(self.values)
        if count < 2:
            return math.inf
        spread = stdev(self.values)
        return t_quantile(self.level, count - 1) * spread / math.sqrt(count)

    @property
    def lower(self) -> float:
        return self.mean - self.half_width

    @property
    def upper(self) -> float:
        return self.mean + self.half_width

    def verdict(self, target: float) -> Verdict:
        if self.lower >= target:
            return Verdict.PASSES
        return Verdict.FAILS if self.upper < target else Verdict.UNSURE


def t_quantile(level: float, freedom: int) -> float:
    """The quantile of Student's t: exact for 1 and 2 degrees of freedom, else by bisection of its distribution."""
    if not 0 < level < 1 or freedom < 1:
        raise ValueError(f"level {level}, degrees of freedom {freedom}")
    if level < 0.5:
        return -t_quantile(1 - level, freedom)
    if freedom > 200:
        # Cornish and Fisher's first two terms (Abramowitz and Stegun 26.7.5) are exact to 1e-6 here.
        z = NormalDist().inv_cdf(level)
        return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    low, high = 0.0, 1.0
    while t_distribution(high, freedom) < level:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_distribution(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def t_distribution(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0, by the finite series for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 4)."""
    angle = math.atan2(t, math.sqrt(freedom))
    cos2 = math.cos(angle) ** 2
    term = total = 1.0
    if freedom % 2:
        if freedom == 1:
            return 0.5 + angle / math.pi
        for k in range(1, (freedom - 1) // 2):
            term *= cos2 * 2 * k / (2 * k + 1)
            total += term
        return 0.5 + (angle + math.sin(angle) * math.cos(angle) * total) / math.pi
    for k in range(1, freedom // 2):
        term *= cos2 * (2 * k - 1) / (2 * k)
        total += term
    return 0.5 + math.sin(angle) * total / 2
