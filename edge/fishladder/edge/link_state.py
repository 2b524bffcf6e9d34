"""What the system knows of a connection's way. Where it knows nothing, the acknowledgements have to do."""

from dataclasses import dataclass

#: A round trip so much longer than the shortest means that something queues, and one this little longer that nothing
#: does: a receiver may hold an acknowledgement back for 40 ms.
QUEUE_US = 50_000
IDLE_US = 15_000


@dataclass(frozen=True, slots=True)
class LinkState:
    """What the system knows of a connection; None = it does not say. `limited_by_us`: the rate was all we gave it to
    carry, so the link may be faster. `paused`: TCP sends next to nothing for a moment, of its own accord.
    `delivered_bytes`: all that ever came through, also what did out of turn; `in_flight`: something is on its way;
    `recovers`: something was lost, or came out of turn, and TCP holds back until it has come.
    """

    rate_bytes_s: float | None = None
    limited_by_us: bool = True
    rtt_us: int | None = None
    min_rtt_us: int | None = None
    notsent_bytes: int | None = None
    paused: bool = False
    delivered_bytes: int | None = None
    in_flight: bool = False
    recovers: bool = False

    @property
    def carries_bps(self) -> float | None:
        """What TCP delivers while that is all the link carries: more was given to it, or something waits on the way."""
        return self.rate_bytes_s * 8 if self.rate_bytes_s and (self.queues or not self.limited_by_us) else None

    @property
    def least_s(self) -> float | None:
        """The least round trip, in seconds."""
        return None if self.min_rtt_us is None else self.min_rtt_us / 1e6

    @property
    def calm(self) -> bool:
        """Whether nothing that was sent lately had to wait on the way, as far as TCP sees."""
        if self.rtt_us is None or self.min_rtt_us is None:
            return False
        return self.rtt_us - self.min_rtt_us < IDLE_US

    @property
    def idle(self) -> bool:
        """Whether nothing waits, neither here nor on the way."""
        return self.notsent_bytes == 0 and self.calm

    @property
    def queues(self) -> bool:
        """Whether something waits on the way, as far as TCP sees."""
        if self.rtt_us is None or self.min_rtt_us is None:
            return False
        return self.rtt_us - self.min_rtt_us > QUEUE_US


#: Where nothing is known, or nothing is said.
SILENT = LinkState()
