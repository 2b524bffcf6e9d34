"""Which of a sender's encodings to take, where it sends several at once that only their ssrcs tell apart: the largest,
or, while its link is too thin for that one, the largest that comes. Pure.
"""

from collections.abc import Sequence

#: One is silent if so long others have come and it has not: on their clock, since pictures may be far apart.
SILENT_S = 2.0
#: Of those that come, one that has come so lately is taken in place of one that is silent.
_LATELY_S = 1.0
#: A larger one has to come for so long without falling silent, and twice as long each time it did so within this time.
STAYS_S, MOST_STAYS_S, AGAIN_S = 3.0, 48.0, 60.0


class Encodings:
    """`wanted` is the ssrc of the one to take."""

    def __init__(self, largest_first: Sequence[int]) -> None:
        self.wanted = largest_first[0]
        self._order = tuple(largest_first)
        self._since: dict[int, float] = {}  # it has come without falling silent
        self._last: dict[int, float] = {}
        self._missed: dict[int, float] = {}  # others have come since, and it has not
        self._stays_s = STAYS_S
        self._up_at = float("-inf")

    def came(self, ssrc: int, now: float) -> None:
        """A packet of one of them has come at `now` (seconds, any steady clock)."""
        if ssrc not in self._since or self._silent(ssrc, now):
            self._since[ssrc] = now
        self._last[ssrc] = now
        for other in self._order:
            if other != ssrc:
                self._missed.setdefault(other, now)
        self._missed.pop(ssrc, None)
        self._decide(now)

    def left(self, ssrc: int) -> None:
        """Its sender says that no more of it will come."""
        if ssrc in self._order:
            self._missed[ssrc] = self._last[ssrc] = float("-inf")

    def _silent(self, ssrc: int, now: float) -> bool:
        missed = self._missed.get(ssrc)
        return missed is not None and now - missed >= SILENT_S

    def _decide(self, now: float) -> None:
        if self._silent(self.wanted, now):
            fit = [ssrc for ssrc in self._order if ssrc != self.wanted and self._comes(ssrc, now)]
        else:
            larger = self._order[: self._order.index(self.wanted)]
            fit = [ssrc for ssrc in larger if self._stays(ssrc, now)]
        if fit:
            self._change(fit[0], now)

    def _comes(self, ssrc: int, now: float) -> bool:
        return ssrc in self._last and now - self._last[ssrc] < _LATELY_S

    def _stays(self, ssrc: int, now: float) -> bool:
        came_s = self._last[ssrc] - self._since[ssrc] if ssrc in self._since else 0.0
        return came_s >= self._stays_s and not self._silent(ssrc, now)

    def _change(self, ssrc: int, now: float) -> None:
        if self._order.index(ssrc) < self._order.index(self.wanted):
            self._up_at = now
        elif now - self._up_at < AGAIN_S:
            self._stays_s = min(2 * self._stays_s, MOST_STAYS_S)
        else:
            self._stays_s = STAYS_S
        self.wanted = ssrc
