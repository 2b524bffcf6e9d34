"""How many pictures a second cameras are asked for, within their policies: fewer while this worker cannot keep up,
before anything waits until it is of no use, and fewer of a scene in which nothing has been seen for long. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fishladder.wire.messages import Asked, Policy

#: A unit that waits for so long means that more comes than is done; of a deadline, this part of it.
LATE_S, LATE_SHARE = 0.5, 0.2
#: It has to be seen so often in a row: one slow picture is none.
LATE_TIMES = 2
#: What may be asked for, of what the worker can do: less the longer the oldest waits, so that it catches up.
USE, CATCH_UP, LEAST_USE = 0.85, 0.3, 0.3
#: What was sent before an agent heard takes so long to come through: before that nothing is concluded.
SETTLE_S = 1.5
#: More is asked for when nothing has waited for so long, in such steps. Whenever all was asked for too early it takes
#: twice as long the next time, up to the most.
CALM_S, CALM_MOST_S, UP = 4.0, 60.0, 1.25
#: Rates asked for are these parts of what is wanted: an encoder begins anew with each change.
RUNGS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05)
#: Where a policy does not say how few will do.
LEAST_SHARE = 0.2


class Load(NamedTuple):
    """How a worker does. `oldest_s`: for how long the unit that waits longest does; `capacity_fps`: frames a second it
    would do if there was always one, None = not known yet; `waiting` how many pictures wait.
    """

    oldest_s: float
    capacity_fps: float | None
    waiting: int = 0

    @property
    def wait_s(self) -> float:
        """How long one that comes now will wait, if not as long as another has already."""
        return max(self.oldest_s, self.waiting / self.capacity_fps if self.capacity_fps else 0.0)


@dataclass(frozen=True, slots=True)
class Watched:
    """A camera as its worker sees it. `came_fps`: pictures of it to analyse, lately; `unseen_s`: since something was
    seen; `asked_fps`: what it is asked for at the moment, None = all its policy wants.
    """

    policy: Policy
    came_fps: float
    unseen_s: float
    asked_fps: float | None = None


@dataclass(slots=True)
class _Demand:
    """`wanted_fps` by its policy; `full_fps` is what would come then; `least` the part of it that has to be."""

    wanted_fps: float
    full_fps: float
    least: float
    weight: float


class Governor:
    """One worker's. Times are monotonic seconds. `level` None = all is asked for; else the part of what is wanted that
    a camera of weight 1 is asked for.
    """

    def __init__(self) -> None:
        self.level: float | None = None
        self._late = 0
        self._calm_since_s: float | None = None
        self._calm_s = CALM_S
        self._settled_s = float("-inf")
        self._lifted_s = float("-inf")

    def step(self, load: Load, cameras: Mapping[str, Watched], now_s: float) -> dict[str, Asked]:
        """What each camera is asked for; `at_ms` is for the caller to set. To be called some times a second."""
        demands = {name: _demand(it) for name, it in cameras.items()}
        late_s = min((LATE_SHARE * d for it in cameras.values() if (d := _deadline_s(it.policy))), default=LATE_S)
        self._watch(load.wait_s, min(late_s, LATE_S), now_s)
        if load.capacity_fps is not None:
            self._decide(load.wait_s, load.capacity_fps, list(demands.values()), now_s)
        return {name: self._asked(it, demands[name]) for name, it in cameras.items()}

    def _watch(self, wait_s: float, late_s: float, now_s: float) -> None:
        self._late = self._late + 1 if wait_s > late_s else 0
        if wait_s > late_s / 2:
            self._calm_since_s = None
        elif self._calm_since_s is None:
            self._calm_since_s = now_s

    def _decide(self, wait_s: float, capacity_fps: float, demands: list[_Demand], now_s: float) -> None:
        if self._late >= LATE_TIMES:
            if now_s < self._settled_s:
                return
            if self.level is None and now_s - self._lifted_s < CALM_MOST_S:
                self._calm_s = min(self._calm_s * 2, CALM_MOST_S)
            fits = _level(capacity_fps * max(USE - CATCH_UP * wait_s, LEAST_USE), demands)
            self.level = fits if self.level is None else min(fits, self.level)
            self._settled_s = now_s + SETTLE_S
        elif self.level is not None and self._calm_since_s is not None:
            if now_s - self._calm_since_s < self._calm_s:
                return
            if sum(it.full_fps for it in demands) <= capacity_fps * USE:
                self.level, self._lifted_s = None, now_s
                return
            self.level = max(self.level, min(self.level * UP, _level(capacity_fps * USE, demands)))
            self._calm_since_s = now_s

    def _asked(self, it: Watched, demand: _Demand) -> Asked:
        wanted_fps = demand.wanted_fps
        part = 1.0 if self.level is None else _part(self.level, demand)
        if part < 0.999 and wanted_fps:
            rung = max((rung for rung in RUNGS if rung <= part * 1.001), default=RUNGS[-1])
            return Asked(wanted_fps * max(rung, demand.least), "workers")
        return Asked(wanted_fps, "quiet") if _quiet(it) and wanted_fps else Asked()


def _quiet(it: Watched) -> bool:
    """Whether nothing has been seen for so long that fewer pictures will do."""
    policy = it.policy
    idle = policy.idle_fps is not None and it.unseen_s >= policy.idle_after_s
    return idle and (policy.fps is None or (policy.idle_fps or 0.0) < policy.fps)


def _demand(it: Watched) -> _Demand:
    policy = it.policy
    if policy.pause:
        return _Demand(0.0, 0.0, 1.0, policy.weight)
    usual_fps = policy.fps if policy.fps is not None else max(it.came_fps, it.asked_fps or 0.0)
    wanted_fps = policy.idle_fps if _quiet(it) and policy.idle_fps is not None else usual_fps
    full_fps = it.came_fps
    if it.asked_fps is not None and it.asked_fps < usual_fps:
        full_fps *= usual_fps / it.asked_fps
    if usual_fps > 0:
        full_fps *= wanted_fps / usual_fps
    least = 1.0
    if wanted_fps > 0 and (policy.least_fps is not None or policy.fps is not None):
        least_fps = policy.least_fps if policy.least_fps is not None else usual_fps * LEAST_SHARE
        least = min(least_fps / wanted_fps, 1.0)
    return _Demand(wanted_fps, full_fps, least, policy.weight)


def _deadline_s(policy: Policy) -> float | None:
    return policy.deadline_ms / 1000 if policy.policy == "fresh" and policy.deadline_ms is not None else None


def _part(level: float, demand: _Demand) -> float:
    return min(max(level * demand.weight, demand.least), 1.0)


def _level(budget_fps: float, demands: list[_Demand]) -> float:
    """The level at which about so many frames a second come: the highest at which no more do, if there is one."""
    low = min((it.least / it.weight for it in demands), default=0.0)
    high = 1 / min((it.weight for it in demands), default=1.0)
    for _ in range(40):
        middle = (low + high) / 2
        comes = sum(it.full_fps * _part(middle, it) for it in demands)
        low, high = (middle, high) if comes <= budget_fps else (low, middle)
    return low
