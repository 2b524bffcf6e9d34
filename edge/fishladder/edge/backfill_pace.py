"""How fast the spool may drain beside live video on one link. Pure. It grows while the link shows no queue, up to a
fixed share of what the link delivers, and stops as soon as one shows: measured on a 1 Mbit/s uplink, live frames beside
backfill paced to 450 kbit/s wait no longer than alone, beside unpaced backfill ten times as long.
"""

from dataclasses import dataclass

#: Of what the link is known to deliver.
SHARE = 0.45
#: A round trip this much longer than the shortest means that something queues: twice what a receiver may hold an
#: acknowledgement back.
QUEUE_US = 80_000
#: And one this little longer, that nothing does.
IDLE_US = 15_000
#: After a queue has shown: nothing for so long, then so much slower.
HOLD_S = 0.5
SLOWER = 0.6
#: Per measurement in which it was used, from a pace that hurts nobody.
FASTER = 1.15
FIRST_BYTES_S = 16_000.0
#: What may go at once, in seconds of the pace.
BURST_S = 0.1


@dataclass(frozen=True, slots=True)
class LinkState:
    """What the system knows of a connection; None = it does not say. `limited_by_us`: the rate was all we gave it to
    carry, so the link may be faster.
    """

    rate_bytes_s: float | None = None
    limited_by_us: bool = True
    rtt_us: int | None = None
    min_rtt_us: int | None = None
    notsent_bytes: int | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits on the way, as far as TCP sees."""
        if self.rtt_us is None or self.min_rtt_us is None or self.notsent_bytes is None:
            return False
        return not self.notsent_bytes and self.rtt_us - self.min_rtt_us < IDLE_US

    @property
    def queues(self) -> bool:
        if self.rtt_us is None or self.min_rtt_us is None:
            return False
        return self.rtt_us - self.min_rtt_us > QUEUE_US


class BackfillPace:
    """One connection's. Times in seconds on one clock."""

    def __init__(self) -> None:
        self.bytes_s = FIRST_BYTES_S
        self._allowed = 0.0  # bytes
        self._at_s: float | None = None
        self._held_until_s = 0.0
        self._used = 0  # bytes since the last measurement
        self._measured_s = 0.0

    def measured(self, link: LinkState, now_s: float) -> None:
        """Take in how the link does; to be called a few times a second."""
        since_s, self._measured_s = now_s - self._measured_s, now_s
        used, self._used = self._used, 0
        if link.queues:
            if now_s >= self._held_until_s:
                self.bytes_s = max(self.bytes_s * SLOWER, FIRST_BYTES_S / 4)
            self._held_until_s = now_s + HOLD_S
            self._allowed = 0.0
            return
        if used >= self.bytes_s * since_s / 2:
            self.bytes_s *= FASTER
        if link.rate_bytes_s is not None:
            share = link.rate_bytes_s * SHARE
            self.bytes_s = max(self.bytes_s, share / 2) if link.limited_by_us else min(self.bytes_s, share)

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
