"""PIE, the queue discipline of cable modems: RFC 8033 with the parameters and the smoothing of drops of RFC 8034
(DOCSIS-PIE). It drops at random on arrival, with a probability that a controller moves every 16 ms.
"""

from random import Random

INTERVAL_MS = 16.0
_A_PER_S = 0.25
_B_PER_S = 2.5
_MAX_BURST_MS = 142.0
_CALM_MS = 1000.0  #: idle for so long, the burst allowance is given anew
_MEAN_PACKET_BYTES = 1024
_LOW, _HIGH = 0.85, 8.5
_DELAY_HIGH_MS = 250.0
#: While the probability is small it moves in small steps: below each bound, divided by.
_TUNING = ((1e-6, 2048), (1e-5, 512), (1e-4, 128), (1e-3, 32), (1e-2, 8), (1e-1, 2))


class Pie:
    """Ask `tick` every 16 ms with the queue's delay, and `drops` for each packet that arrives."""

    def __init__(self, target_ms: float, seed: str) -> None:
        self._target_ms = target_ms
        self._random = Random(f"{seed}/pie").random  # noqa: S311 - makes a link, guards nothing
        self.probability = 0.0
        self._delay_ms = 0.0
        self._burst_ms = _MAX_BURST_MS
        self._calm_ms = 0.0
        self._accumulated = 0.0

    def tick(self, delay_ms: float) -> None:
        """`delay_ms` is how long the last packet of the queue has to wait."""
        if self._burst_ms > 0:
            self._burst_ms = max(0.0, self._burst_ms - INTERVAL_MS)
            self.probability = 0.0
        else:
            step = (_A_PER_S * (delay_ms - self._target_ms) + _B_PER_S * (delay_ms - self._delay_ms)) / 1000
            step /= next((by for below, by in _TUNING if self.probability < below), 1)
            if self.probability >= 0.1 and step > 0.02:
                step = 0.02
            if delay_ms > _DELAY_HIGH_MS:
                step += 0.02
            probability = self.probability + step
            if delay_ms < self._target_ms / 2 and self._delay_ms < self._target_ms / 2:
                probability *= 0.98
            self.probability = min(max(probability, 0.0), 1.0)
        if delay_ms == 0 and self._delay_ms == 0 and self.probability == 0:
            self._calm_ms += INTERVAL_MS
            if self._calm_ms >= _CALM_MS:
                self._burst_ms, self._calm_ms = _MAX_BURST_MS, 0.0
        else:
            self._calm_ms = 0.0
        self._delay_ms = delay_ms

    def drops(self, size_bytes: int, queue_bytes: int) -> bool:
        """Whether an arriving packet is dropped; `queue_bytes` stand in the queue before it."""
        if self._burst_ms > 0 or self.probability == 0:
            self._accumulated = 0.0
            return False
        if (self._delay_ms < self._target_ms / 2 and self.probability < 0.2) or queue_bytes <= 2 * _MEAN_PACKET_BYTES:
            return False
        chance = min(self.probability * size_bytes / _MEAN_PACKET_BYTES, _LOW)
        self._accumulated += chance
        if self._accumulated < _LOW:
            return False
        if self._accumulated < _HIGH and self._random() >= chance:
            return False
        self._accumulated = 0.0
        return True
