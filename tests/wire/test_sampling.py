from hypothesis import given
from hypothesis import strategies as st

from fishladder.wire.sampling import chosen

FPS = st.floats(0.1, 30)


@given(FPS, st.lists(st.integers(1, 500_000), min_size=1, max_size=200), st.integers(-(10**15), 10**15))
def test_each_slot_of_time_gives_one_picture(fps: float, gaps_us: list[int], start_us: int) -> None:
    """However irregular the pictures come: the first in each slot of 1/fps is chosen, and no other."""
    period_us = 1_000_000 / fps
    at, slots = start_us, [start_us // period_us]
    picked = []
    for gap in gaps_us:
        at += gap
        if chosen(at, gap, fps):
            picked.append(at // period_us)
        slots.append(at // period_us)
    assert picked == sorted(set(slots) - {slots[0]})


@given(st.sampled_from([1, 2, 2.5, 5, 10]), st.sampled_from([10, 25, 30]))
def test_the_rate_comes_out_right(fps: float, camera_fps: int) -> None:
    frame_us = 1_000_000 // camera_fps
    seconds = 60
    count = sum(chosen(i * frame_us, frame_us, fps) for i in range(1, seconds * camera_fps))
    assert abs(count - min(fps, camera_fps) * seconds) <= 1


def test_everything_is_chosen_without_a_rate_or_a_duration() -> None:
    assert chosen(5, 33_333, None)
    assert chosen(5, 0, 2.0)
    assert chosen(5, -1, 2.0)
