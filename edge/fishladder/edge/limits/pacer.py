"""Lets so many bits a second go and no more: a token bucket that may be overdrawn by one message, which the next one
waits for. Pure.
"""

import math

#: What may go at once after a pause, in seconds of the rate.
BURST_S = 0.1
#: And of a link on which others shall not notice us.
GENTLE_BURST_S = 0.01


class Pacer:
    """Times in seconds on one clock. `rate_bps` infinite = nothing waits; 0 = nothing goes."""

    def __init__(self) -> None:
        self.rate_bps = math.inf
        self._burst_s = BURST_S
        self._allowed_bits = 0.0
        self._at_s: float | None = None

    def set(self, rate_bps: float, *, gentle: bool, now_s: float) -> None:
        """From now on."""
        if self.rate_bps in (math.inf, 0.0):
            self._allowed_bits = 0.0  # what went before was without measure, or went all the same: nobody owes that
        self._follow(now_s)
        self.rate_bps, self._burst_s = rate_bps, GENTLE_BURST_S if gentle else BURST_S

    def wait_s(self, now_s: float) -> float:
        """How long until the next message may go; 0 = now. Infinite while nothing may."""
        if self.rate_bps == math.inf:
            return 0.0
        self._follow(now_s)
        if self._allowed_bits >= 0 < self.rate_bps:
            return 0.0
        return -self._allowed_bits / self.rate_bps if self.rate_bps > 0 else math.inf

    def sent(self, size: int) -> None:
        """So many bytes went, allowed or not. Negative: fewer did than was said before."""
        if self.rate_bps != math.inf:
            self._allowed_bits -= size * 8

    def _follow(self, now_s: float) -> None:
        if self._at_s is not None and self.rate_bps != math.inf:
            gained = max(now_s - self._at_s, 0.0) * self.rate_bps
            self._allowed_bits = min(self._allowed_bits + gained, self.rate_bps * self._burst_s)
        self._at_s = now_s
