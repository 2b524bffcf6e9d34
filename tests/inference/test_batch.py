"""Batches by size or time, and turns that starve nobody."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from fishladder.inference.batch import Batcher, Turns


def test_a_batch_is_due_when_full_or_when_its_first_has_waited() -> None:
    batcher: Batcher[str] = Batcher(3, 0.1)
    assert batcher.wait(0.0) is None
    batcher.add("a", 1.0)
    batcher.add("b", 1.06)
    assert batcher.wait(1.06) is not None
    assert 0.039 < (batcher.wait(1.06) or 0) < 0.041
    assert batcher.wait(1.1) == 0.0
    batcher.add("c", 1.07)
    assert batcher.wait(1.07) == 0.0
    assert batcher.take(1.07) == ["a", "b", "c"]
    assert batcher.wait(9.0) is None


@given(st.integers(1, 5), st.lists(st.integers()))
def test_batches_keep_the_order_and_lose_nothing(size: int, items: list[int]) -> None:
    batcher: Batcher[int] = Batcher(size, 0.0)
    for item in items:
        batcher.add(item, 0.0)
    taken = []
    while len(batcher):
        batch = batcher.take(0.0)
        assert 1 <= len(batch) <= size
        taken += batch
    assert taken == items


@dataclass(eq=False)
class Camera:
    work: int
    cost_s: float
    weight: float = 1.0
    spent: float = 0.0
    had_s: float = 0.0


@given(st.lists(st.floats(0.001, 0.1), min_size=2, max_size=6))
def test_cameras_get_the_same_compute_time_whatever_a_unit_costs(costs: list[float]) -> None:
    cameras = [Camera(10_000, cost) for cost in costs]
    turns: Turns[Camera] = Turns()
    for camera in cameras:
        turns.enter(camera)
    for _ in range(300):
        camera = turns.pick(cameras)
        assert camera is not None
        turns.charge(camera, camera.cost_s)
        camera.had_s += camera.cost_s
    had = [camera.had_s for camera in cameras]
    assert max(had) - min(had) <= max(costs) * 2 + 1e-9


def test_weight_gives_more_and_a_pause_gives_no_credit() -> None:
    heavy, light, late = Camera(0, 0.01, weight=3), Camera(0, 0.01), Camera(0, 0.01)
    turns: Turns[Camera] = Turns()
    for camera in (heavy, light):
        turns.enter(camera)

    def run(cameras: list[Camera], rounds: int) -> None:
        for _ in range(rounds):
            camera = turns.pick(cameras)
            assert camera is not None
            turns.charge(camera, camera.cost_s)
            camera.had_s += camera.cost_s

    run([heavy, light], 400)
    assert 2.9 < heavy.had_s / light.had_s < 3.1
    turns.enter(late)
    run([heavy, light, late], 50)
    assert late.had_s < 0.15, "it does not take everything to catch up with what it did not ask for"


def test_nobody_waiting() -> None:
    assert Turns[Camera]().pick([]) is None
