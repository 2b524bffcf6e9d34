"""Thinning: as many pictures as asked for, no more, evenly, and all of them when the camera has no more to give."""

from hypothesis import given
from hypothesis import strategies as st

from fishladder.edge.sampler import Sampler


def picked(sampler: Sampler, times_us: list[int]) -> list[int]:
    return [at for at in times_us if sampler.wants(at, at)]


@given(st.floats(0.2, 60), st.integers(1, 60), st.integers(0, 2**32))
def test_never_more_than_asked_for(fps: float, camera_fps: int, seed: int) -> None:
    times = [round(i * 1e6 / camera_fps) + (seed * (i + 7)) % 9000 for i in range(400)]
    times.sort()
    got = picked(Sampler(fps), times)
    seconds = (times[-1] - times[0]) / 1e6
    assert len(got) <= seconds * fps * 1.01 + 2


@given(st.floats(0.5, 30), st.integers(1, 60))
def test_not_noticeably_fewer_either(fps: float, camera_fps: int) -> None:
    times = [round(i * 1e6 / camera_fps) for i in range(600)]
    got = picked(Sampler(fps), times)
    seconds = 600 / camera_fps
    assert len(got) >= min(fps, camera_fps) * seconds * 0.95 - 2


def test_a_camera_with_jitter_at_the_wanted_rate_loses_nothing() -> None:
    times = [round(i * 1e6 / 15) + (i * 7919) % 20_000 for i in range(300)]
    assert len(picked(Sampler(15), times)) >= 297


def test_every_picture_without_a_rate() -> None:
    sampler = Sampler(None)
    assert all(sampler.wants(i * 1000, 0) for i in range(10))


def test_a_change_of_rate_and_a_jump_in_time_begin_anew() -> None:
    sampler = Sampler(1)
    assert picked(sampler, [0, 100_000, 200_000]) == [0]
    sampler.set_fps(10)
    assert picked(sampler, [300_000, 350_000, 400_000]) == [300_000, 400_000]
    assert picked(sampler, [10**12, -5]) == [10**12, -5]


@given(st.floats(0, 0.999), st.integers(0, 10**9), st.sampled_from([1.0, 2.0, 5.0]))
def test_cameras_take_their_pictures_in_phases_of_their_own(phase: float, began_us: int, fps: float) -> None:
    sampler = Sampler(fps, phase)
    taken = [at for i in range(300) if sampler.wants(at := i * 40_000, began_us + at)]
    period = 1e6 / fps
    late = [((began_us + at) - phase * period) % period for at in taken[2:]]
    assert all(min(by, period - by) <= 40_000 for by in late)
