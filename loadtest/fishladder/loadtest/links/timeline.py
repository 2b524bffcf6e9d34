"""A link's schedule laid out in time: which numbers hold at a moment, over and over if it repeats."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

from fishladder.loadtest.links.link import Direction, Link

Way = Literal["up", "down"]
WAYS: tuple[Way, Way] = ("up", "down")


@dataclass(frozen=True)
class State:
    """One direction from `at_ms` on."""

    at_ms: float
    direction: Direction
    outage: bool = False


class Timeline:
    """One direction of a link over time."""

    def __init__(self, link: Link, way: Way) -> None:
        now = State(0.0, link.up if way == "up" else link.down)
        self._states = [now]
        for step in link.schedule:
            if step.direction == way:
                outage = now.outage if step.outage is None else step.outage
                now = State(step.at_ms, step.of(now.direction), outage)
                self._states.append(now)
        self._times = [state.at_ms for state in self._states]
        self._repeat_ms = link.repeat_ms

    def at(self, now_ms: float) -> State:
        """What holds at `now_ms` after the start."""
        if self._repeat_ms:
            now_ms %= self._repeat_ms
        return self._states[max(0, bisect_right(self._times, now_ms) - 1)]

    def next_change_ms(self, now_ms: float) -> float | None:
        """When something changes next, strictly after `now_ms`; None if nothing does any more."""
        begun_ms = 0.0
        if self._repeat_ms:
            begun_ms = now_ms - now_ms % self._repeat_ms
        for at_ms in self._times[1:]:
            if begun_ms + at_ms > now_ms:
                return begun_ms + at_ms
        return begun_ms + self._repeat_ms if self._repeat_ms and len(self._times) > 1 else None
