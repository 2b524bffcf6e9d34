"""Whether somebody else keeps the queue before the uplink full, as a long upload by ordinary TCP does. Giving way to a
queue that others refill only gives them the link; then delays are better held against those of the last seconds than
against an empty link's. Pure.
"""

#: A queue of ours has drained after so long, and twice its length, at a rate that is half of what made it.
AFTER_S, GAVE_WAY = 3.0, 0.5
#: If as much as this is left of it, it is somebody else's.
LEFT = 0.5
#: Delays so old no longer count while it is: whoever fills a queue lets it rise and fall.
LATELY_S = 4.0


class Contest:
    """One connection's. Times in seconds on one clock."""

    def __init__(self) -> None:
        self.active = False
        self._since: tuple[float, float, float] | None = None  # when a queue was seen, our rate and the queue then

    def look(self, queue_s: float, full_s: float, rate_bps: float, now_s: float) -> None:
        """`queue_s`: what stands, against the shortest delay of the last minute; `full_s`: from which one counts."""
        if queue_s <= full_s:
            self._since, self.active = None, False
            return
        if self._since is None:
            self._since = now_s, rate_bps, queue_s
        since_s, then_bps, then_s = self._since
        long = now_s - since_s > AFTER_S + 2 * then_s
        if long and rate_bps < GAVE_WAY * then_bps and queue_s > LEFT * then_s:
            self.active = True
