"""What is between the queue and the far end: the wait for a grant, loss and outages, delay and jitter, in order. Pure,
as the queue is; time in ms after the start.
"""

import math

from fishladder.loadtest.links.impairments import LossProcess, delay_ms
from fishladder.loadtest.links.timeline import Timeline


class Medium:
    def __init__(self, timeline: Timeline, seed: str) -> None:
        self._timeline = timeline
        self._seed = seed
        first = timeline.at(0.0).direction
        self._grant_ms = first.grant_ms
        self._loss = LossProcess(first.loss.burst, seed)
        self._jitter_ms = first.jitter.period_ms if first.jitter.kind != "none" else math.inf
        self._arrived_ms = 0.0
        self._until_ms = -1.0  # the values below hold until then
        self._delay_ms = 0.0
        self._loss_rate = 0.0
        self._outage = False

    def cross(self, departs_ms: float) -> float | None:
        """When a packet that left the queue then arrives, or None if it is lost. Call in the order of departure."""
        if self._grant_ms:
            departs_ms = math.ceil(departs_ms / self._grant_ms) * self._grant_ms
        if departs_ms >= self._until_ms:
            self._look(departs_ms)
        if self._loss.next(self._loss_rate) or self._outage:
            return None
        self._arrived_ms = max(self._arrived_ms, departs_ms + self._delay_ms)
        return self._arrived_ms

    def _look(self, now_ms: float) -> None:
        state = self._timeline.at(now_ms)
        self._delay_ms = delay_ms(state.direction, self._seed, now_ms)
        self._loss_rate, self._outage = state.direction.loss.rate, state.outage
        change_ms = self._timeline.next_change_ms(now_ms)
        slot_ms = math.inf if self._jitter_ms == math.inf else (now_ms // self._jitter_ms + 1) * self._jitter_ms
        self._until_ms = min(slot_ms, math.inf if change_ms is None else change_ms)
