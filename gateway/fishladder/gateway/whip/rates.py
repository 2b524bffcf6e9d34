"""How often somebody may ask: a token bucket for each, and a bounded number of them. Pure."""

from collections import OrderedDict

_MOST_KNOWN = 4096


class Rates:
    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()  # who -> left, when

    def wait_s(self, who: str, now: float) -> float:
        """0 if `who` may, which is counted; else how long to wait."""
        left, at = self._known.pop(who, (float(self._burst), now))
        left = min(left + (now - at) * self._per_s, float(self._burst))
        allowed = left >= 1
        self._known[who] = (left - 1 if allowed else left, now)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_s
