"""The gate: what goes in comes out once, in order; motion opens it with what came just before, quiet closes it."""

from hypothesis import given
from hypothesis import strategies as st

from fishladder.edge.gate import Gate, GateSettings, Sent
from fishladder.wire.fates import Fate

STEP_US = 500_000
SETTINGS = GateSettings(keepalive_s=20.0, preroll_s=1.0, hold_s=3.0, warmup_s=2.0)


class Camera:
    """Pictures half a second apart, numbered from 0; `said` is what became of each, in order."""

    def __init__(self, settings: GateSettings = SETTINGS) -> None:
        self.gate: Gate[int] = Gate(settings)
        self.number = 0
        self.said: list[Sent[int] | Fate] = []

    def film(self, pictures: int, *, moving: bool = False, chosen: bool = True) -> None:
        for _ in range(pictures):
            at_us = self.number * STEP_US
            if chosen:
                self.said += self.gate.take(self.number, moving=moving, at_us=at_us, pixels=100)
            else:
                self.said += self.gate.pass_over(at_us)
            self.number += 1

    @property
    def sent(self) -> list[int]:
        return [it.picture for it in self.said if isinstance(it, Sent)]

    @property
    def keyframes(self) -> list[int]:
        return [it.picture for it in self.said if isinstance(it, Sent) and it.keyframe]


def test_everything_is_sent_while_the_background_is_learnt() -> None:
    camera = Camera()
    camera.film(10)
    assert camera.sent == [0, 1, 2, 3]
    assert camera.keyframes == []


def test_motion_opens_with_a_keyframe_and_what_came_before_and_stays_open_a_while() -> None:
    camera = Camera()
    camera.film(20)
    camera.film(1, moving=True)
    camera.film(20)
    assert camera.sent == [0, 1, 2, 3, 18, 19, 20, 21, 22, 23, 24, 25]
    assert camera.keyframes == [18]


def test_a_sign_of_life_now_and_then_is_a_keyframe() -> None:
    camera = Camera()
    camera.film(100)
    assert camera.sent == [0, 1, 2, 3, 43, 83]
    assert camera.keyframes == [43, 83]
    silent = Camera(GateSettings(keepalive_s=0.0, warmup_s=0.0))
    silent.film(1000)
    assert silent.sent == []


def test_pictures_that_were_not_chosen_keep_their_place() -> None:
    camera = Camera()
    camera.film(20)
    camera.film(1, chosen=False)
    camera.film(1, moving=True)
    assert camera.said[-3:] == [Sent(19, True), Fate.SAMPLED_OUT, Sent(21, False)]


def test_raw_pictures_are_held_within_bounds() -> None:
    gate: Gate[int] = Gate(GateSettings(preroll_s=60.0, warmup_s=0.0))
    said: list[Sent[int] | Fate] = []
    for number in range(100):
        said += gate.take(number, moving=False, at_us=number * 1000, pixels=1920 * 1080)
    assert len(said) >= 80
    assert set(said) == {Fate.GATED}


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 5_000_000)), max_size=300),
    st.sampled_from([0.0, 1.0, 30.0]),
    st.sampled_from([0.0, 0.5, 10.0]),
)
def test_each_picture_comes_out_once_in_order(
    pictures: list[tuple[bool, bool, int]], keepalive_s: float, preroll_s: float
) -> None:
    gate: Gate[int] = Gate(GateSettings(keepalive_s=keepalive_s, preroll_s=preroll_s, hold_s=1.0, warmup_s=1.0))
    said: list[Sent[int] | Fate] = []
    now_us = 0
    for number, (chosen, moving, later_us) in enumerate(pictures):
        now_us += later_us
        if chosen:
            said += gate.take(number, moving=moving, at_us=now_us, pixels=1_000_000)
        else:
            said += gate.pass_over(now_us)
        if chosen and moving:
            assert isinstance(said[-1], Sent)
            assert said[-1].picture == number
        assert len(said) <= number + 1
    said += gate.close()
    assert len(said) == len(pictures)
    gated_before = False
    for number, it in enumerate(said):
        if isinstance(it, Sent):
            assert it.picture == number
            assert it.keyframe or not gated_before
            gated_before = False
        else:
            assert it is (Fate.GATED if pictures[number][0] else Fate.SAMPLED_OUT)
            gated_before |= it is Fate.GATED
