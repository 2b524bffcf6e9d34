"""One direction of a link as the model sees it: the capacity its schedule or trace leaves, its queue, and the line
behind that: the grant cycle, loss in bursts, delay and jitter with order kept. Chances are `links.impairments`'.
"""

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from fishladder.loadtest.links.impairments import LossProcess, jitter_ms, way_seed
from fishladder.loadtest.links.link import Direction, Link
from fishladder.loadtest.model.capacity import Capacity, ConstantRate, Steps, Trace
from fishladder.loadtest.model.pie import Pie
from fishladder.loadtest.model.queue import Queue, departures
from fishladder.loadtest.traffic import Bools, Floats, Ints

#: Longer runs than this see a repeating schedule no more often.
_HORIZON_US = 3_600e6


class Way:
    """A link's `up` or `down`, for runs that begin at time 0."""

    def __init__(self, link: Link, direction: Literal["up", "down"], seed: int) -> None:
        self.direction: Direction = getattr(link, direction)
        self.capacity, self._from_us, self._states = _schedule(link, direction)
        self._seed = way_seed(seed, direction)
        self._pie_seed = seed
        self._loss = LossProcess(self.direction.loss.burst, self._seed)
        self._jitter_by_slot: list[float] = []

    def queue(self) -> Queue:
        it = self.direction
        return Queue(self.capacity, it.queue_bytes, bucket_bytes=it.bucket_bytes, pie=self._pie())

    def departures(self, at_us: Floats, size_bytes: Ints) -> Floats:
        """When packets leave the queue, nan where it dropped them."""
        it = self.direction
        return departures(
            self.capacity, at_us, size_bytes, it.queue_bytes, bucket_bytes=it.bucket_bytes, pie=self._pie()
        )

    def arrivals(self, leave_us: Floats) -> tuple[Floats, Bools]:
        """When packets that leave the queue then, in order, arrive; and which of them the line loses."""
        leave_us = granted(leave_us, self.direction.grant_ms)
        step = np.clip(np.searchsorted(self._from_us, leave_us, "right") - 1, 0, None)
        delay_ms = np.array([state.delay_ms for state, _ in self._states])[step]
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
        it, out = self._states[0] if len(self._states) == 1 else self._states[self._step(leave_us)]
        if it.grant_ms:
            grant_us = it.grant_ms * 1000
            leave_us = math.ceil(leave_us / grant_us) * grant_us
        offset_ms = 0.0
        if it.jitter.kind != "none":
            slot = int(leave_us / 1000 // it.jitter.period_ms)
            self._draw_jitter(slot)
            offset_ms = self._jitter_by_slot[slot]
        arrival_us = leave_us + max(it.delay_ms + offset_ms, 0.0) * 1000
        if out:
            return arrival_us, packets, 0
        if not it.loss.rate:
            return arrival_us, 0, packets
        lost = [index for index in range(packets) if self._loss.next(it.loss.rate)]
        return arrival_us, len(lost), lost[0] if lost else packets

    def _step(self, at_us: float) -> int:
        return max(int(np.searchsorted(self._from_us, at_us, "right")) - 1, 0)

    def outage_ends_us(self, at_us: float) -> float:
        """When an outage at that time is over (`at_us` itself if there is none)."""
        step = self._step(at_us)
        while self._states[step][1] and step + 1 < len(self._states):
            step += 1
            at_us = float(self._from_us[step])
        return at_us

    def _pie(self) -> Pie | None:
        it = self.direction
        return Pie(self._pie_seed, it.pie_target_ms) if it.discipline == "pie" else None

    def _jitter_ms(self, leave_us: Floats) -> Floats:
        jitter = self.direction.jitter
        if jitter.kind == "none" or not len(leave_us):
            return np.zeros(len(leave_us))
        slot = (leave_us / 1000 // jitter.period_ms).astype(np.int64)
        self._draw_jitter(int(slot.max()))
        return np.array(self._jitter_by_slot)[slot]

    def _draw_jitter(self, last: int) -> None:
        known = len(self._jitter_by_slot)
        if last < known:
            return
        until = max(last + 1, 2 * known)
        self._jitter_by_slot += [jitter_ms(self.direction.jitter, self._seed, slot) for slot in range(known, until)]

    def _lost(self, step: Ints) -> Bools:
        rates = np.array([state.loss.rate for state, _ in self._states])
        out: Bools = np.array([out for _, out in self._states])[step]
        if not rates.any():
            return out
        lost: Bools = out | np.array([self._loss.next(rate) for rate in rates[step].tolist()], bool)
        return lost


def granted(leave_us: Floats, grant_ms: float) -> Floats:
    """Held until the next multiple of the grant cycle."""
    return np.ceil(leave_us / (grant_ms * 1000)) * (grant_ms * 1000) if grant_ms else leave_us


def _schedule(link: Link, direction: str) -> tuple[Capacity, Floats, list[tuple[Direction, bool]]]:
    """The capacity over time, and from when which numbers hold."""
    state, out = getattr(link, direction), False
    times: list[float] = [0.0]
    states: list[tuple[Direction, bool]] = [(state, out)]
    lap_us = link.repeat_ms * 1000
    laps = int(_HORIZON_US // lap_us) if lap_us and link.schedule else 1
    for lap in range(min(laps, 10_000)):
        if lap:
            state, out = getattr(link, direction), False
            _set(times, states, lap * lap_us, (state, out))
        for step in link.schedule:
            if step.direction != direction:
                continue
            state = step.of(state)
            out = out if step.outage is None else step.outage
            _set(times, states, lap * lap_us + step.at_ms * 1000, (state, out))
    if state.trace is not None:
        return Trace(np.array(state.trace.at_ms)), np.array(times), states
    if len(states) == 1:
        return ConstantRate(state.rate_bps), np.array(times), states
    if states[-1][0].rate_bps <= 0:
        states[-1] = (replace(states[-1][0], rate_bps=1.0), states[-1][1])
    return Steps(np.array(times), np.array([one.rate_bps for one, _ in states])), np.array(times), states


def _set(times: list[float], states: list[tuple[Direction, bool]], at_us: float, state: tuple[Direction, bool]) -> None:
    if times[-1] == at_us:
        states[-1] = state
    else:
        times.append(at_us)
        states.append(state)
