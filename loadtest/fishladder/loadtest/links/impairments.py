"""The chances of a link, from a seed: which packets are lost, and how much later a slot of time is. Emulation and model
draw them here, so that with one seed they agree packet by packet.
"""

from random import Random

from fishladder.loadtest.links.link import LATE_SIGMAS, NORMAL, Direction, Jitter, Loss


def _uniform(*seed: object) -> Random:
    return Random("/".join(map(str, seed)))  # noqa: S311 - makes a link, guards nothing


def jitter_ms(jitter: Jitter, seed: str, slot: int) -> float:
    """The offset in slot `slot` (time since the start // `period_ms`), before the whole delay is cut at 0."""
    if jitter.kind == "none":
        return 0.0
    drawn = _uniform(seed, "jitter", slot).random()
    if jitter.kind == "normal":
        cut = min(max(NORMAL.inv_cdf(min(max(drawn, 1e-9), 1 - 1e-9)), -jitter.early_sigmas), LATE_SIGMAS)
        return cut * jitter.ms
    return drawn * jitter.ms


def delay_ms(direction: Direction, seed: str, at_ms: float) -> float:
    """Delay of a packet that left the queue (and waited for its grant) at `at_ms` after the start."""
    offset = jitter_ms(direction.jitter, seed, int(at_ms // direction.jitter.period_ms))
    return max(0.0, direction.delay_ms + offset)


class LossProcess:
    """A two-state chain (Gilbert): a packet is lost in the bad state, which lasts `burst` packets on average.

    `next` is called once for each packet that left the queue; the rate may differ from call to call.
    """

    def __init__(self, burst: float, seed: str) -> None:
        self._burst = burst
        self._random = _uniform(seed, "loss").random
        self._bad = False

    def among(self, packets: int, rate: float) -> list[int]:
        """Which of the next so many are lost."""
        if self._burst <= 1:
            draw = self._random
            return [index for index in range(packets) if draw() < rate]
        return [index for index in range(packets) if self.next(rate)]

    def next(self, rate: float) -> bool:
        drawn = self._random()
        if self._burst <= 1:
            return drawn < rate
        if self._bad:
            self._bad = drawn >= 1 / self._burst
        else:
            self._bad = drawn < rate / (self._burst * (1 - rate))
        return self._bad


def loss_schedule(loss: Loss, seed: str, packets: int) -> list[int]:
    """The indexes of the packets that are lost among the first `packets`, at the rate the link begins with."""
    return LossProcess(loss.burst, seed).among(packets, loss.rate)


def way_seed(seed: int, way: str) -> str:
    """What seeds one direction of a run."""
    return f"{seed}/{way}"
