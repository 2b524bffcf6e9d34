"""The governor on a modelled worker: it lowers what is asked for before anything waits too long, stays within policies,
gives all back when there is room, and does not flutter.
"""

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fishladder.inference.governor import Governor, Load, Watched
from fishladder.wire.messages import Asked, Policy

TICK_S = 0.25


@dataclass
class Site:
    """Cameras that send what they are asked for a little later, and a worker that does so many frames a second."""

    policies: dict[str, Policy]
    capacity_fps: float
    reaction_s: float = 0.5
    sent: float = 1.0  #: part of the asked pictures that comes: gates leave some out
    governor: Governor = field(default_factory=Governor)
    now_s: float = 100.0
    asked: dict[str, Asked] = field(default_factory=dict)
    does: dict[str, float] = field(default_factory=dict)
    queue: deque[list[float]] = field(default_factory=deque)  # [when it came, frames]
    came: dict[str, float] = field(default_factory=dict)
    unseen_s: dict[str, float] = field(default_factory=dict)
    oldest_s: list[float] = field(default_factory=list)
    changes: int = 0
    _later: deque[tuple[float, str, float]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.does = {name: it.fps or 10.0 for name, it in self.policies.items()}

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.now_s += TICK_S
            while self._later and self._later[0][0] <= self.now_s:
                _, name, fps = self._later.popleft()
                if name in self.policies:
                    self.does[name] = fps
            for name in self.policies:
                frames = self.does[name] * TICK_S * self.sent
                self.queue.append([self.now_s, frames])
                before = self.came.get(name, frames / TICK_S)
                self.came[name] = before + (frames / TICK_S - before) * TICK_S / 3
            left = self.capacity_fps * TICK_S
            while self.queue and left > 0:
                done = min(left, self.queue[0][1])
                left -= done
                self.queue[0][1] -= done
                if self.queue[0][1] <= 1e-9:
                    self.queue.popleft()
            oldest_s = self.now_s - self.queue[0][0] if self.queue else 0.0
            self.oldest_s.append(oldest_s)
            waiting = round(sum(frames for _, frames in self.queue))
            watched = {
                name: Watched(it, self.came[name], self.unseen_s.get(name, 0.0), self.asked.get(name, Asked()).fps)
                for name, it in self.policies.items()
            }
            for name, asked in self.governor.step(
                Load(oldest_s, self.capacity_fps, waiting), watched, self.now_s
            ).items():
                before_fps = self.asked.get(name, Asked()).fps
                if asked.fps != before_fps:
                    full = self.policies[name].fps or 10.0
                    self.came[name] *= (asked.fps or full) / (before_fps or full)
                    self.asked[name] = asked
                    self.changes += 1
                    self._later.append((self.now_s + self.reaction_s, name, asked.fps or full))


def cameras(count: int, **policy: object) -> dict[str, Policy]:
    return {f"site/c{index}": Policy(**({"fps": 5.0} | policy)) for index in range(count)}  # type: ignore[arg-type]


@pytest.mark.parametrize("reaction_s", [0.25, 0.75])
@pytest.mark.parametrize("times", [1.2, 2.0, 4.0])
def test_too_many_cameras_are_asked_for_less_before_anything_waits_long(times: float, reaction_s: float) -> None:
    site = Site(cameras(8), 40 / times, reaction_s=reaction_s)
    site.run(120)
    assert max(site.oldest_s) < 1.5 * times
    assert max(site.oldest_s[-160:]) < 0.5
    assert sum(site.does.values()) <= site.capacity_fps
    assert sum(site.does.values()) > 0.45 * site.capacity_fps
    assert {it.why for it in site.asked.values()} == {"workers"}


def test_a_deadline_is_kept_well() -> None:
    site = Site(cameras(8, policy="fresh", deadline_ms=2500), 20)
    site.run(60)
    assert max(site.oldest_s) < 2.5


def test_all_of_it_comes_back_when_there_is_room() -> None:
    site = Site(cameras(8), 20)
    site.run(30)
    assert sum(site.does.values()) < 20
    for name in list(site.policies)[:4]:  # a second worker takes half
        del site.policies[name], site.does[name], site.asked[name]
    site.capacity_fps = 30
    site.run(10)
    assert list(site.does.values()) == [5.0] * 4


def test_who_keeps_up_is_asked_for_nothing() -> None:
    site = Site(cameras(8), 48)
    site.run(60)
    assert site.changes == 0


def test_gated_cameras_are_not_held_to_what_they_do_not_send() -> None:
    site = Site(cameras(20), 40)
    site.run(20)
    assert sum(site.does.values()) < 40
    site.sent = 0.1
    site.run(30)
    assert sum(site.does.values()) == 100


def test_weights_and_those_that_want_every_picture() -> None:
    site = Site(
        {
            "s/every": Policy(),
            "s/heavy": Policy(fps=5, weight=4),
            "s/light": Policy(fps=5),
            "s/floor": Policy(5, least_fps=4),
        },
        21,
    )
    site.run(60)
    assert "s/every" not in site.asked
    assert site.does["s/floor"] >= 4
    assert site.does["s/heavy"] > site.does["s/light"]
    assert site.does["s/light"] >= 1


def test_a_quiet_scene_idles_and_wakes_at_once() -> None:
    site = Site(cameras(2, idle_fps=0.5, idle_after_s=30), 40)
    site.unseen_s = {"site/c0": 31.0, "site/c1": 5.0}
    site.run(2)
    assert (site.asked["site/c0"].fps, site.asked["site/c0"].why) == (0.5, "quiet")
    assert "site/c1" not in site.asked
    site.unseen_s = {}
    site.run(TICK_S)
    assert site.asked["site/c0"].fps is None


def test_a_worker_whose_speed_swings_does_not_make_agents_flutter() -> None:
    site = Site(cameras(8), 22)
    for step in range(60):
        site.capacity_fps = 22 + (step * 7 % 5 - 2)
        site.run(2)
    assert site.changes < 8 * 12


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([f"s/c{n}" for n in range(8)]),
        st.builds(
            Policy,
            fps=st.none() | st.floats(0.5, 30),
            weight=st.floats(0.1, 10),
            least_fps=st.none() | st.floats(0.1, 30),
            idle_fps=st.none() | st.floats(0.1, 5),
            pause=st.booleans(),
        ),
        min_size=1,
    ),
    st.floats(1, 100),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 200)), min_size=5, max_size=40),
)
def test_what_is_asked_is_within_the_policy(
    policies: dict[str, Policy], capacity_fps: float, course: list[tuple[float, float]]
) -> None:
    governor, asked = Governor(), dict.fromkeys(policies, Asked())
    for step, (oldest_s, unseen_s) in enumerate(course):
        watched = {name: Watched(it, it.fps or 10.0, unseen_s, asked[name].fps) for name, it in policies.items()}
        asked = governor.step(Load(oldest_s, capacity_fps), watched, step * TICK_S)
        for name, it in policies.items():
            fps = asked[name].fps
            if fps is None:
                continue
            assert not it.pause
            if it.fps is not None:
                assert fps <= it.fps * 1.001
            least = it.least_fps if it.least_fps is not None else (it.fps or 0) * 0.2
            idle = it.idle_fps if it.idle_fps is not None and unseen_s >= it.idle_after_s else float("inf")
            assert fps >= min(least, it.fps or 10.0, idle) * 0.999
            assert it.fps is not None or it.least_fps is not None or it.idle_fps is not None
