"""Motion on noisy luma grids: noise, dusk and exposure are quiet; what a detector could see, and light, are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.edge.motion import Grid, Ignored, Motion

ROWS, COLUMNS = 54, 96
STEP_US = 200_000


class Scene:
    """A street at night as a grid, `noise` levels of it random in each cell."""

    def __init__(self, noise: float, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.noise = noise
        self.street = self.rng.uniform(30, 140, (ROWS, COLUMNS))
        self.now_us = 0

    def shot(self, *, box: tuple[int, int] | None = None, contrast: float = 0.0, light: float = 0.0) -> Grid:
        levels = self.street + light + self.rng.normal(0, self.noise, self.street.shape)
        if box is not None:
            x, y = box
            levels[y : y + 6, x : x + 3] += contrast
        self.now_us += STEP_US
        return np.clip(np.rint(levels), 0, 255).astype(np.uint8)

    def watched(self, motion: Motion, looks: int = 100) -> None:
        for _ in range(looks):
            motion.look(self.shot(), self.now_us)


@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_motion(noise: float, seed: int) -> None:
    scene, motion = Scene(noise, seed), Motion()
    scene.watched(motion)
    assert not any(motion.look(scene.shot(), scene.now_us) for _ in range(500))


@given(st.integers(0, 80), st.integers(0, 45), st.sampled_from([0.5, 2.0, 4.0]), st.sampled_from([-1, 1]))
def test_a_small_person_walking_is_seen_within_two_looks(x: int, y: int, noise: float, sign: int) -> None:
    scene, motion = Scene(noise), Motion()
    scene.watched(motion)
    contrast = sign * max(15.0, 8 * noise)
    looks = [motion.look(scene.shot(box=(x + step, y), contrast=contrast), scene.now_us) for step in range(2)]
    assert any(looks)


def test_dusk_is_quiet_and_a_lamp_is_not() -> None:
    scene, motion = Scene(2.0), Motion()
    scene.watched(motion)
    dusk = [motion.look(scene.shot(light=-0.04 * step), scene.now_us) for step in range(500)]
    assert not any(dusk)
    assert motion.look(scene.shot(light=20.0), scene.now_us)


def test_exposure_that_steps_is_quiet() -> None:
    scene, motion = Scene(2.0), Motion()
    scene.watched(motion)
    assert not any(motion.look(scene.shot(light=8.0), scene.now_us) for _ in range(100))


def test_what_has_come_to_stand_becomes_background() -> None:
    scene, motion = Scene(2.0), Motion()
    scene.watched(motion)
    parked = [motion.look(scene.shot(box=(40, 20), contrast=60.0), scene.now_us) for _ in range(2000)]
    assert parked[0]
    assert not any(parked[-200:])


def test_an_area_may_be_ignored() -> None:
    scene, motion = Scene(2.0), Motion(ignore=(Ignored(0.0, 0.0, 1.0, 0.2),))
    scene.watched(motion)
    assert not any(motion.look(scene.shot(box=(step, 2), contrast=100.0), scene.now_us) for step in range(80))
    assert any(motion.look(scene.shot(box=(step, 30), contrast=100.0), scene.now_us) for step in range(2))


def test_an_ignored_area_is_ignored_to_its_last_line() -> None:
    """What blinks in the upper tenth of the picture, which is five and a half rows of the grid."""
    scene, motion = Scene(2.0), Motion(ignore=(Ignored(0.0, 0.0, 1.0, 0.1),))
    scene.watched(motion)
    for step in range(80):
        shot = scene.shot()
        shot[:6] = np.minimum(shot[:6], 150) + 100 * (step % 2)
        assert not motion.look(shot, scene.now_us)


def test_sensitivity_halves_or_doubles_what_it_takes() -> None:
    seen = {}
    for sensitivity in (0.5, 1.0, 2.0):
        scene, motion = Scene(0.5), Motion(sensitivity)
        scene.watched(motion)
        contrasts = range(2, 40)
        seen[sensitivity] = next(
            contrast
            for contrast in contrasts
            if any(motion.look(scene.shot(box=(contrast * 2, 20), contrast=contrast), scene.now_us) for _ in range(2))
        )
    assert seen[2.0] < seen[1.0] < seen[0.5]


def test_another_size_begins_anew() -> None:
    scene, motion = Scene(1.0), Motion()
    scene.watched(motion)
    assert motion.look(np.zeros((20, 30), np.uint8), scene.now_us)
    assert not motion.look(np.zeros((20, 30), np.uint8), scene.now_us + STEP_US)
