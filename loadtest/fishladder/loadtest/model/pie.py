"""PIE, which DOCSIS 3.1 modems must have on their upstream: it drops at random so that the delay of the queue keeps
near a target. Pure; time is an argument, so that the model and the relay of the emulation run the very same code.
"""

from random import Random

# RFC 8034, section 4 and annex A: the constants of DOCSIS-PIE.
_UPDATE_US = 16_000.0
_ALPHA, _BETA = 0.25, 2.5
_MAX_BURST_US = 142_000.0
_BURST_RESET_US = 1_000_000.0
_PROB_LOW, _PROB_HIGH = 0.85, 8.5
_MEAN_PACKET_BYTES = 1024
_LATENCY_HIGH_US = 200_000.0
# RFC 8033, section 5.2: the smaller the probability, the smaller its steps.
_SCALE = ((1e-6, 2048), (1e-5, 512), (1e-4, 128), (1e-3, 32), (1e-2, 8), (1e-1, 2))


class Pie:
    """One queue's drop decisions. Ask `drops` for each packet as it comes, in order of time."""

    def __init__(self, seed: int, target_ms: float = 10.0) -> None:
        self.probability = 0.0
        self._target_us = target_ms * 1000
        self._random = Random(seed)  # noqa: S311 - makes a link, guards nothing
        self._delay_before_us = 0.0
        self._burst_us = _MAX_BURST_US
        self._calm_us = 0.0
        self._accumulated = 0.0
        self._updated_us: float | None = None
        self._last = (0.0, 0.0)

    def drops(self, now_us: float, size_bytes: int, backlog_bytes: int, delay_us: float) -> bool:
        """`delay_us` is what this packet would have to wait in the queue as it is now."""
        if self._updated_us is None:
            self._updated_us = now_us
        while now_us - self._updated_us >= _UPDATE_US:
            self._updated_us += _UPDATE_US
            # The queue drains between packets: what it is now was longer then by the time that has passed.
            self._update(self._delay_at(self._updated_us))
        self._last = (now_us, delay_us)
        return self._decide(size_bytes, backlog_bytes)

    def _delay_at(self, at_us: float) -> float:
        seen_us, delay_us = self._last
        return max(delay_us - (at_us - seen_us), 0.0)

    def _update(self, delay_us: float) -> None:
        """RFC 8033, section 4.2, with the bounds of RFC 8034."""
        step = (_ALPHA * (delay_us - self._target_us) + _BETA * (delay_us - self._delay_before_us)) / 1e6
        for below, divisor in _SCALE:
            if self.probability < below:
                step /= divisor
                break
        if self.probability >= 0.1:
            step = min(step, 0.02)
        probability = self.probability + step
        if delay_us > _LATENCY_HIGH_US:
            probability += 0.02
        if delay_us == 0 and self._delay_before_us == 0:
            probability *= 0.98
        self.probability = min(max(probability, 0.0), 1.0)
        self._burst_us = max(self._burst_us - _UPDATE_US, 0.0)
        calm = delay_us < self._target_us / 2 and self._delay_before_us < self._target_us / 2 and self.probability == 0
        self._calm_us = self._calm_us + _UPDATE_US if calm else 0.0
        if self._calm_us >= _BURST_RESET_US:
            self._burst_us = _MAX_BURST_US
        self._delay_before_us = delay_us

    def _decide(self, size_bytes: int, backlog_bytes: int) -> bool:
        if self._burst_us > 0 or backlog_bytes <= 2 * _MEAN_PACKET_BYTES:
            return False
        if self._delay_before_us < self._target_us / 2 and self.probability < 0.2:
            return False
        chance = min(self.probability * size_bytes / _MEAN_PACKET_BYTES, 0.85)
        # Drops are spread out: none shortly after another, one for certain after a long row without.
        self._accumulated = 0.0 if self.probability == 0 else self._accumulated + chance
        if self._accumulated < _PROB_LOW:
            return False
        if self._accumulated >= _PROB_HIGH or self._random.random() < chance:
            self._accumulated = 0.0
            return True
        return False
