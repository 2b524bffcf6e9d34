"""When to ask for missing packets again (RFC 4585): not at once, since most of what seems lost is only late; not more
often than an answer takes; not for what is nearly given up; and in small portions, so that asking never becomes a
storm. Pure.
"""

from collections.abc import Mapping

from fishladder.gateway.webrtc.reorder import HOLE_S, Missing

#: What is out of order by less than this is not missed yet.
LATE_S = 0.015
#: Between two requests, and packets asked for in one.
PACE_S = 0.01
PORTION = 48
MOST_ASKED = 4
#: An answer that would need longer comes too late.
_TOO_OLD_S = HOLE_S - 0.02
_RTT_S, _LEAST_WAIT_S, _MOST_WAIT_S = 0.06, 0.03, 0.2


class NackPacer:
    """`rtt_s` is learnt from how long answers take."""

    def __init__(self) -> None:
        self.rtt_s = _RTT_S
        self.next_at = float("inf")  #: when `due` has something to do
        self.asked = 0  #: packets
        self._last_at = float("-inf")

    def arrived(self, hole: Missing, now: float) -> None:
        """A missing packet has come."""
        if hole.asked == 1:  # after the second request nobody knows which one was answered
            self.rtt_s += 0.125 * (now - hole.asked_at - self.rtt_s)

    def due(self, missing: Mapping[int, Missing], now: float) -> list[int]:
        """Sequence numbers to ask for now, ascending. Notes that they were asked for."""
        self.next_at = float("inf")
        if not missing:
            return []
        if now - self._last_at < PACE_S:
            self.next_at = self._last_at + PACE_S
            return []
        wait_s = min(max(1.5 * self.rtt_s, _LEAST_WAIT_S), _MOST_WAIT_S)
        ask: list[int] = []
        for seq, hole in missing.items():
            if hole.asked >= MOST_ASKED:
                continue
            at = hole.asked_at + wait_s if hole.asked else hole.since + LATE_S
            if at - hole.since > _TOO_OLD_S:
                continue
            if at > now:
                self.next_at = min(self.next_at, at)
            elif len(ask) == PORTION:
                self.next_at = min(self.next_at, now + PACE_S)
                break
            else:
                hole.asked += 1
                hole.asked_at = now
                ask.append(seq)
                self.next_at = min(self.next_at, now + wait_s)
        if ask:
            self._last_at = now
            self.asked += len(ask)
        return ask
