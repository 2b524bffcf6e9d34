"""One direction of a link as the model sees it: the capacity its schedule or trace leaves, its queue, and the line
behind that: the grant cycle, loss in bursts, delay and jitter with order kept. Everything random comes from the seed.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from fishladder.loadtest.links.link import Direction, Jitter, Link
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
        self._seed = seed
        self._rng = np.random.default_rng([seed, 0 if direction == "up" else 1, 0xF15])

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

    def state(self, at_us: float) -> tuple[Direction, bool]:
        """The direction at that time, and whether it is out."""
        return self._states[max(int(np.searchsorted(self._from_us, at_us, "right")) - 1, 0)]

    def outage_ends_us(self, at_us: float) -> float:
        """When an outage at that time is over (`at_us` itself if there is none)."""
        step = max(int(np.searchsorted(self._from_us, at_us, "right")) - 1, 0)
        while self._states[step][1] and step + 1 < len(self._states):
            step += 1
            at_us = float(self._from_us[step])
        return at_us

    @property
    def changes(self) -> bool:
        return len(self._states) > 1

    def _pie(self) -> Pie | None:
        it = self.direction
        return Pie(self._seed, it.pie_target_ms) if it.discipline == "pie" else None

    def _jitter_ms(self, leave_us: Floats) -> Floats:
        jitter = self.direction.jitter
        match jitter.kind:
            case "normal":
                return np.clip(self._rng.normal(0, jitter.ms, len(leave_us)), -3 * jitter.ms, 3 * jitter.ms)
            case "uniform":
                return self._rng.uniform(0, jitter.ms, len(leave_us))
            case "steps":
                return step_offset_ms(jitter, self._seed, leave_us)
            case _:
                return np.zeros(len(leave_us))

    def _lost(self, step: Ints) -> Bools:
        """Loss by a two-state chain (Gilbert), with the rate of each packet's step of the schedule."""
        lost = np.zeros(len(step), bool)
        if not len(step):
            return lost
        bounds = [0, *(np.flatnonzero(np.diff(step)) + 1).tolist(), len(step)]
        for begin, end in zip(bounds, bounds[1:], strict=False):
            state, out = self._states[int(step[begin])]
            lost[begin:end] = True if out else bursts(self._rng, end - begin, state.loss.rate, state.loss.burst)
        return lost


def granted(leave_us: Floats, grant_ms: float) -> Floats:
    """Held until the next multiple of the grant cycle."""
    return np.ceil(leave_us / (grant_ms * 1000)) * (grant_ms * 1000) if grant_ms else leave_us


def step_offset_ms(jitter: Jitter, seed: int, at_us: Floats) -> Floats:
    """The offset of each period, the same whenever it is asked for."""
    period = (np.asarray(at_us) // (jitter.period_ms * 1000)).astype(np.int64)
    offsets = np.random.default_rng([seed, 0x57E]).uniform(0, jitter.ms, int(period.max(initial=0)) + 1)
    return np.asarray(offsets[period])


def bursts(rng: np.random.Generator, count: int, rate: float, burst: float) -> Bools:
    """Which of `count` packets are lost: a share of `rate`, in rows of a mean length of `burst`."""
    if rate <= 0:
        return np.zeros(count, bool)
    if burst <= 1:
        return np.asarray(rng.random(count) < rate)
    turns = int(count * rate / burst * 2) + 20
    good = rng.geometric(min(rate / (burst * (1 - rate)), 1.0), turns)
    bad = rng.geometric(1 / burst, turns)
    lost = np.repeat(np.tile([False, True], turns), np.column_stack([good, bad]).ravel())
    while len(lost) < count:
        lost = np.concatenate([lost, bursts(rng, count - len(lost), rate, burst)])
    return np.asarray(lost[:count])


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
