"""How fast the spool may drain beside live video. Pure. It has what the budget leaves it (`control`); while nobody
knows what the link carries, or it is alone, it grows as long as nothing queues, and it stops as soon as something does.
"""

#: After a queue has shown: nothing for so long, then so much slower.
HOLD_S = 0.2
SLOWER = 0.7
#: In a second in which it was used, from a pace that hurts nobody.
FASTER = 1.75
FIRST_BYTES_S = 16_000.0
LEAST_BYTES_S = 1000.0
#: What may go at once, in seconds of the pace.
BURST_S = 0.05


class BackfillPace:
    """One connection's. Times in seconds on one clock."""

    def __init__(self) -> None:
        self.bytes_s = FIRST_BYTES_S
        self._allowed = 0.0  # bytes
        self._at_s: float | None = None
        self._held_until_s = 0.0
        self._used = 0.0  # bytes, of the last second
        self._measured_s: float | None = None

    def measured(self, left_bps: float | None, now_s: float, *, queues: bool, alone: bool = False) -> None:
        """What the budget leaves (None: nobody knows what the link carries), and whether something waits on the way;
        `alone`: nothing more will be live. To be called many times a second.
        """
        since_s = 0.0 if self._measured_s is None else min(now_s - self._measured_s, 1.0)
        self._measured_s = now_s
        self._used *= 1 - since_s
        if queues:
            if now_s >= self._held_until_s:
                self.bytes_s = max(self.bytes_s * SLOWER, LEAST_BYTES_S)
                self._allowed = min(self._allowed, 0.0)
            self._held_until_s = now_s + HOLD_S
        elif self._used >= self.bytes_s / 2:
            self.bytes_s *= FASTER**since_s
        if left_bps is None:
            return
        if not alone:
            self.bytes_s = max(min(self.bytes_s, left_bps / 8), LEAST_BYTES_S)
        elif not queues:
            self.bytes_s = max(self.bytes_s, left_bps / 8)

    def wait_s(self, now_s: float) -> float:
        """How long until something may be sent; 0 = now."""
        if now_s < self._held_until_s:
            return self._held_until_s - now_s
        if self._at_s is not None:
            self._allowed = min(self._allowed + (now_s - self._at_s) * self.bytes_s, self.bytes_s * BURST_S)
        self._at_s = now_s
        return 0.0 if self._allowed >= 0 else -self._allowed / self.bytes_s

    def sent(self, size: int) -> None:
        """So much was sent; it may be more than was allowed, which the next one waits for."""
        self._allowed -= size
        self._used += size
