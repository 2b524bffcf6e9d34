"""When to ask for missing packets again (RFC 4585): not at once, since most of what seems lost is only late; not more
often than an answer takes; not for what is nearly given up; and in small portions, so that asking never becomes a
storm. Pure.
"""

from collections.abc import Mapping

from fishladder.gateway.webrtc.reorder import HOLE_S, MOST_HOLE_S, Missing

#: What is out of order by less is not missed yet: at first, and as far as it grows where packets overtake each other.
LATE_S, MOST_LATE_S = 0.005, 0.05
#: Between two requests, and packets asked for in one.
PACE_S = 0.01
PORTION = 48
MOST_ASKED = 6
#: Holes are waited for so many round trips, so that three answers may be lost: what comes behind a hole that is given
#: up is of no use before the next keyframe, which takes longer.
_ROUND_TRIPS = 4.5
_RTT_S, _LEAST_WAIT_S, _MOST_WAIT_S = 0.06, 0.03, 0.4
#: An answer to a request cannot be here in this part of a round trip: it was on its way already.
_SOONER_THAN_ANSWERED = 0.6


class NackPacer:
    """`rtt_s` is learnt from how long answers take, `late_s` from how late packets come by themselves."""

    def __init__(self) -> None:
        self.rtt_s = _RTT_S
        self.late_s = LATE_S
        self.next_at = float("inf")  #: when `due` has something to do
        self.asked = 0  #: packets
        self._last_at = float("-inf")
        self._answered = (float("-inf"), 0)  # of what came again: when it was asked for the only time, and its number
        self._answered_at = float("-inf")

    def arrived(self, hole: Missing, now: float, *, again: bool) -> None:
        """A missing packet has come; `again`: it says of itself that it was sent a second time."""
        took_s = now - hole.asked_at
        if not again and (not hole.asked or took_s < _SOONER_THAN_ANSWERED * self.rtt_s):
            self.late_s = max(self.late_s, min(1.1 * (now - hole.since), MOST_LATE_S))
            return
        self.late_s = max(0.95 * self.late_s, LATE_S)
        if hole.asked == 1 and (hole.asked_at, hole.number) > self._answered:
            self._answered, self._answered_at = (hole.asked_at, hole.number), now
            self.next_at = min(self.next_at, now + self.late_s)
        if hole.asked:  # mostly the first request is the one that is answered
            self.rtt_s += 0.25 * (now - hole.first_asked_at - self.rtt_s)

    @property
    def hole_s(self) -> float:
        """How long a hole is worth waiting for."""
        return min(max(_ROUND_TRIPS * self.rtt_s, HOLE_S), MOST_HOLE_S)

    def due(self, missing: Mapping[int, Missing], now: float) -> list[int]:
        """Sequence numbers to ask for now, ascending. Notes that they were asked for."""
        self.next_at = float("inf")
        if not missing:
            return []
        if now - self._last_at < PACE_S:
            self.next_at = self._last_at + PACE_S
            return []
        wait_s = min(max(1.1 * self.rtt_s + 0.005, _LEAST_WAIT_S), _MOST_WAIT_S)
        ask: list[int] = []
        for seq, hole in missing.items():
            if hole.asked >= MOST_ASKED:
                continue
            # Once an answer was lost, time is shorter than the few packets asked for twice are dear. Senders that do
            # not answer twice within a round trip (libwebrtc) find every other request late enough.
            at = hole.asked_at + (wait_s if hole.asked == 1 else wait_s / 2) if hole.asked else hole.since + self.late_s
            if hole.asked == 1 and (hole.asked_at, seq) < self._answered:
                # Answers come in the order of requests: what was asked for later is here, so this one's answer is lost.
                at = min(at, self._answered_at + self.late_s)
            if at - hole.since + 0.5 * self.rtt_s > self.hole_s:
                continue
            if at > now:
                self.next_at = min(self.next_at, at)
            elif len(ask) == PORTION:
                self.next_at = min(self.next_at, now + PACE_S)
                break
            else:
                if not hole.asked:
                    hole.first_asked_at = now
                hole.asked += 1
                hole.asked_at = now
                ask.append(seq)
                self.next_at = min(self.next_at, now + wait_s)
        if ask:
            self._last_at = now
            self.asked += len(ask)
        return ask
