"""DOCSIS-PIE (RFC 8034, appendix A), the queue discipline of cable modems: drops at random on arrival, with a
probability that a controller moves every 16 ms. A queue that never grew long is left alone, and so is what comes just
after the first drop.
"""

from enum import Enum
from random import Random

INTERVAL_MS = 16.0
_A_PER_S = 0.25
_B_PER_S = 2.5
_MAX_BURST_MS = 142.0
_CALM_MS = 1000.0  #: short for so long, the queue is left alone again
_ASLEEP_BELOW = 1 / 3  #: of the buffer
_MEAN_PACKET_BYTES, _LEAST_PACKET_BYTES = 1024, 64
_LOW, _HIGH = 0.85, 8.5
_MOST = _LOW * _MEAN_PACKET_BYTES / _LEAST_PACKET_BYTES
_DELAY_LOW_MS, _DELAY_HIGH_MS = 5.0, 200.0
_STEEP, _STEEPEST_STEP = 0.1, 0.02
#: While the probability is small it moves in small steps: below each bound, divided by.
_TUNING = ((1e-6, 2048), (1e-5, 512), (1e-4, 128), (1e-3, 32), (1e-2, 8), (1e-1, 2), (1, 0.5), (10, 0.125))
_TUNING_ABOVE = 0.03125


class _State(Enum):
    INACTIVE = 0  #: drops nothing until the queue fills a third of the buffer
    QUIESCENT = 1  #: its next drop is the first, after which a burst is granted
    ACTIVE = 2


class Pie:
    """Ask `tick` every 16 ms with the queue's delay, and `drops` for each packet that finds room; tell it of one that
    does not (`overflowed`).
    """

    def __init__(self, target_ms: float, buffer_bytes: int, seed: str) -> None:
        self._target_ms = target_ms
        self._wakes_bytes = buffer_bytes * _ASLEEP_BELOW
        self._random = Random(f"{seed}/pie").random  # noqa: S311 - makes a link, guards nothing
        self._state = _State.INACTIVE
        self.probability = 0.0
        self._delay_ms = 0.0
        self._burst_ms = 0.0
        self._calm_ms = 0.0
        self._accumulated = 0.0

    def tick(self, delay_ms: float) -> None:
        """`delay_ms` is how long the last packet of the queue has to wait."""
        self.probability = 0.0 if self._burst_ms > 0 else self._moved(delay_ms)
        self._burst_ms = max(0.0, self._burst_ms - INTERVAL_MS)
        low_ms = self._target_ms / 2
        calm = delay_ms < low_ms and self._delay_ms < low_ms and self.probability == 0 and self._burst_ms == 0
        if self._state is _State.ACTIVE and calm:
            self._state, self._calm_ms = _State.QUIESCENT, 0.0
        elif self._state is _State.QUIESCENT:
            self._calm_ms = self._calm_ms + INTERVAL_MS if calm else 0.0
            if self._calm_ms > _CALM_MS:
                self._state = _State.INACTIVE
        self._delay_ms = delay_ms

    def _moved(self, delay_ms: float) -> float:
        """The probability one interval later."""
        before = self.probability
        step = (_A_PER_S * (delay_ms - self._target_ms) + _B_PER_S * (delay_ms - self._delay_ms)) / 1000
        step /= next((by for below, by in _TUNING if before < below), _TUNING_ABOVE)
        after = before + (min(step, _STEEPEST_STEP) if before >= _STEEP else step)
        if delay_ms < _DELAY_LOW_MS and self._delay_ms < _DELAY_LOW_MS:
            after *= 0.98
        elif delay_ms > _DELAY_HIGH_MS:
            after += _STEEPEST_STEP
        return min(max(after, 0.0), _MOST)

    def drops(self, size_bytes: int, queue_bytes: int) -> bool:
        """Whether an arriving packet is dropped; `queue_bytes` stand in the queue before it."""
        if self._burst_ms > 0:
            return False
        if self.probability == 0:
            self._accumulated = 0.0
        if self._state is _State.INACTIVE:
            if queue_bytes < self._wakes_bytes:
                return False
            self._state, self._calm_ms = _State.QUIESCENT, 0.0
        chance = min(self.probability * size_bytes / _MEAN_PACKET_BYTES, _LOW)
        self._accumulated += chance
        if (self._delay_ms < self._target_ms / 2 and self.probability < 0.2) or queue_bytes <= 2 * _MEAN_PACKET_BYTES:
            return False
        if self._accumulated < _LOW or (self._accumulated < _HIGH and self._random() >= chance):
            return False
        self._accumulated = 0.0
        if self._state is _State.QUIESCENT:
            self._state, self._burst_ms = _State.ACTIVE, _MAX_BURST_MS
        return True

    def overflowed(self) -> None:
        """A packet was dropped since the buffer was full."""
        self._accumulated = 0.0
