"""One direction of a link as the model sees it: the capacity its schedule or trace leaves, its queue, and the line
behind that: the grant cycle, loss in bursts, delay and jitter with order kept. It gives what `links.bottleneck` and
`links.medium` give packet by packet, for many at once.
"""

import math
from functools import lru_cache

import numpy as np

from fishladder.loadtest.links.bottleneck import Bottleneck
from fishladder.loadtest.links.impairments import LossProcess, jitter_ms, way_seed
from fishladder.loadtest.links.link import Direction, Jitter, Link
from fishladder.loadtest.links.timeline import State, Timeline
from fishladder.loadtest.links.timeline import Way as Name
from fishladder.loadtest.model.capacity import Capacity, ConstantRate, Steps, Trace
from fishladder.loadtest.model.queue import departures
from fishladder.loadtest.traffic import Bools, Floats, Ints

#: Runs are no longer than this, and a schedule has no more changes in it.
_HORIZON_MS = 3_600e3
_MOST_CHANGES = 20_000
_BLOCK = 1024  #: slots of jitter drawn at once


class Way:
    """A link's `up` or `down`, for runs that begin at time 0."""

    def __init__(self, link: Link, name: Name, seed: int) -> None:
        self._timeline = Timeline(link, name)
        self._seed = way_seed(seed, name)
        self._states = _states(self._timeline)
        self._from_us = np.array([state.at_ms * 1000 for state in self._states])
        self.direction: Direction = self._states[0].direction
        self.capacity = _capacity(self._states)
        self._loss = LossProcess(self.direction.loss.burst, self._seed)
        self._jitter_by_slot: list[float] = []
        self._grant_us = self.direction.grant_ms * 1000
        self._slot_us = self.direction.jitter.period_ms * 1000
        self._constant = len(self._states) == 1  # then delays are known by slot
        self._delay_us_by_slot: list[float] = []

    def queue(self) -> Bottleneck:
        return Bottleneck(self._timeline, self._seed)

    def departures(self, at_us: Floats, size_bytes: Ints) -> Floats:
        """When packets leave the queue, nan where it dropped them."""
        return departures(self._timeline, self.capacity, self._seed, at_us, size_bytes)

    def arrivals(self, leave_us: Floats) -> tuple[Floats, Bools]:
        """When packets that leave the queue then, in order, arrive; and which of them the line loses."""
        leave_us = granted(leave_us, self.direction.grant_ms)
        step = np.clip(np.searchsorted(self._from_us, leave_us, "right") - 1, 0, None)
        delay_ms = np.array([state.direction.delay_ms for state in self._states])[step]
        lost = self._lost(step)
        delay_us = np.maximum(delay_ms + self._jitter_ms(leave_us), 0.0) * 1000
        arrival_us = np.where(lost, -np.inf, leave_us + delay_us)
        arrival_us = np.maximum.accumulate(arrival_us) if len(arrival_us) else arrival_us
        arrival_us[lost] = np.nan
        return arrival_us, lost

    def cross(self, leave_us: float, packets: int) -> tuple[float, int, int]:
        """When the last of some packets in a row arrives, how many of them are lost, and the first that is.

        Order against earlier calls is the caller's to keep.
        """
        state = self._state(leave_us if not self._grant_us else self._granted(leave_us))
        arrival_us = self.arrival_us(leave_us)
        if state.outage:
            return arrival_us, packets, 0
        if not state.direction.loss.rate:
            return arrival_us, 0, packets
        lost = self._loss.among(packets, state.direction.loss.rate)
        return arrival_us, len(lost), lost[0] if lost else packets

    def arrival_us(self, leave_us: float) -> float:
        """When a packet that leaves the queue then arrives, if it is not lost. Order is the caller's to keep."""
        if self._grant_us:
            leave_us = self._granted(leave_us)
        if not self._constant:
            return leave_us + self._delay_us(self._state(leave_us).direction, leave_us)
        slot = int(leave_us / self._slot_us)
        if slot >= len(self._delay_us_by_slot):
            self._draw_delays(slot)
        return leave_us + self._delay_us_by_slot[slot]

    def _granted(self, leave_us: float) -> float:
        return math.ceil(leave_us / self._grant_us) * self._grant_us

    def _draw_delays(self, last: int) -> None:
        self._draw_jitter(last)
        known, it = len(self._delay_us_by_slot), self.direction
        self._delay_us_by_slot += [max(it.delay_ms + by, 0.0) * 1000 for by in self._jitter_by_slot[known:]]

    def _delay_us(self, it: Direction, at_us: float) -> float:
        slot = int(at_us / self._slot_us)
        self._draw_jitter(slot)
        return max(it.delay_ms + self._jitter_by_slot[slot], 0.0) * 1000

    def _state(self, at_us: float) -> State:
        return self._states[0] if len(self._states) == 1 else self._states[self._step(at_us)]

    def _step(self, at_us: float) -> int:
        return max(int(np.searchsorted(self._from_us, at_us, "right")) - 1, 0)

    def outage_ends_us(self, at_us: float) -> float:
        """When an outage at that time is over (`at_us` itself if there is none)."""
        step = self._step(at_us)
        while self._states[step].outage and step + 1 < len(self._states):
            step += 1
            at_us = float(self._from_us[step])
        return at_us

    def _jitter_ms(self, leave_us: Floats) -> Floats:
        jitter = self.direction.jitter
        if jitter.kind == "none" or not len(leave_us):
            return np.zeros(len(leave_us))
        slot = (leave_us / 1000 // jitter.period_ms).astype(np.int64)
        self._draw_jitter(int(slot.max()))
        return np.array(self._jitter_by_slot)[slot]

    def _draw_jitter(self, last: int) -> None:
        while len(self._jitter_by_slot) <= last:
            block = len(self._jitter_by_slot) // _BLOCK
            self._jitter_by_slot += _jitter_block(self.direction.jitter, self._seed, block)

    def _lost(self, step: Ints) -> Bools:
        rates = np.array([state.direction.loss.rate for state in self._states])
        out: Bools = np.array([state.outage for state in self._states])[step]
        if not rates.any():
            return out
        lost: Bools = out | np.array([self._loss.next(rate) for rate in rates[step].tolist()], bool)
        return lost


@lru_cache(maxsize=1024)
def _jitter_block(jitter: Jitter, seed: str, block: int) -> tuple[float, ...]:
    """Kept, since the runs of a sweep meet the same seeds again and again."""
    return tuple(jitter_ms(jitter, seed, slot) for slot in range(block * _BLOCK, (block + 1) * _BLOCK))


def granted(leave_us: Floats, grant_ms: float) -> Floats:
    """Held until the next multiple of the grant cycle."""
    return np.ceil(leave_us / (grant_ms * 1000)) * (grant_ms * 1000) if grant_ms else leave_us


def _states(timeline: Timeline) -> list[State]:
    """All that holds from when on, in order."""
    states = [timeline.at(0.0)]
    at_ms = timeline.next_change_ms(0.0)
    while at_ms is not None and at_ms <= _HORIZON_MS and len(states) < _MOST_CHANGES:
        now = timeline.at(at_ms)
        states.append(State(at_ms, now.direction, now.outage))
        at_ms = timeline.next_change_ms(at_ms)
    return states


def _capacity(states: list[State]) -> Capacity:
    first = states[0].direction
    if first.trace is not None:
        return Trace(np.array(first.trace.at_ms))
    if len({state.direction.rate_bps for state in states}) == 1:
        return ConstantRate(first.rate_bps)
    from_us = np.array([state.at_ms * 1000 for state in states])
    return Steps(from_us, np.array([state.direction.rate_bps for state in states]))
