"""The ladder by a profile: the best for each rate on one way down, what is in the file, and, with the real encoder,
what is given up first.
"""

import random
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clips import scene
from support.profiles import FPS, HEIGHT, QUICK, SHARP, WIDTH, measured, written

from fishladder.edge.cameras.camera import Picture
from fishladder.edge.capture_records import CapturedUnit, Left, Sampled
from fishladder.edge.encode import EncoderSettings
from fishladder.edge.live_capture import LiveCapture
from fishladder.edge.rate.ladder import Ladder, Rung, fitting
from fishladder.edge.rate.orders import Wish, pictures
from fishladder.edge.rate.profile import Profile, read_profile
from fishladder.wire.accuracy import Measured
from fishladder.wire.errors import ConfigError

share = st.floats(0, 1)
tables = st.builds(
    lambda bits, fps, width: measured(bits=bits, fps=fps, width=width),
    st.dictionaries(st.sampled_from([0.005, 0.01, 0.04, 0.16, 0.3]), share, min_size=1),
    st.dictionaries(st.sampled_from([0.5, 1.0, 2.0, 5.0, 10.0]), share),
    st.dictionaries(st.sampled_from([160, 240, 320, 480]), share),
)


def rungs(table: Measured, *, width: int = WIDTH, height: int = HEIGHT, fps: float = FPS) -> list[Rung]:
    """From 3 Mbit/s down to 4 kbit/s."""
    profile = Profile(table)
    return [profile.fitting(3e6 * 0.9**step, width, height, fps) for step in range(64)]


@settings(max_examples=60, deadline=None)
@given(tables, st.sampled_from([(640, 360), (1920, 1080), (322, 242)]), st.floats(0.3, 60))
def test_it_is_one_way_down_whatever_was_measured(table: Measured, size: tuple[int, int], fps: float) -> None:
    seen = rungs(table, width=size[0], height=size[1], fps=fps)
    assert all(one.fps >= other.fps and one.width >= other.width for one, other in pairwise(seen))
    assert seen[0].fps <= fps
    assert min(it.fps for it in seen) >= min(fps, 1.0)


@pytest.mark.parametrize("table", [SHARP, QUICK, measured()])
def test_it_keeps_more_than_the_rule_for_everybody_and_nearly_the_best_there_is(table: Measured) -> None:
    profile = Profile(table)

    def kept(rung: Rung, bps: float) -> float:
        return profile.f1(bps, WIDTH * rung.width, HEIGHT * rung.width, rung.fps)

    rates = [2e6 * 0.8**step for step in range(24)]
    ours = sum(kept(profile.fitting(bps, WIDTH, HEIGHT, FPS), bps) for bps in rates)
    usual = sum(kept(fitting(bps, WIDTH, HEIGHT, FPS), bps) for bps in rates)
    best = sum(max(kept(Rung(f, w), bps) for f in (20, 15, 10, 5, 2, 1) for w in (1, 0.5, 0.25)) for bps in rates)
    assert ours >= usual
    assert ours > 0.95 * best


def test_with_plenty_nothing_is_given_up() -> None:
    assert all(Profile(it).fitting(50e6, 1280, 720, 30) == Rung(30, 1.0) for it in (SHARP, QUICK))


def test_a_rate_that_swings_does_not_make_the_picture_flutter() -> None:
    profile, ladder, rng = Profile(QUICK), Ladder(), random.Random(3)
    seen = [
        ladder.step(1e5 * rng.uniform(0.8, 1.2), WIDTH, HEIGHT, FPS, second / 10, profile.fitting)
        for second in range(600)
    ]
    assert sum(a != b for a, b in pairwise(seen)) <= 6


def filmed(profile: Profile, kbps: int) -> tuple[int, int, float, int]:
    """What the real encoder is made to do with 4 s of 640x360 at 20 fps: pictures, their width, kbit/s of the last 3 s,
    and pictures left out.
    """
    wish = Wish(1.0, 2e6, FPS, WIDTH, HEIGHT, fit=profile.fitting)
    fps, width = pictures(Ladder(), wish, kbps * 1000, 0.0)
    live = LiveCapture(EncoderSettings(bitrate_bps=2_000_000), None, FPS, 0.0)
    live.obey(fps=None, bitrate_bps=kbps * 1000, keyframe=False)
    live.thin(fps=fps or None, width=width, hold=False, keyframe_s=0.0)
    told = []
    for index in range(80):
        at_us = index * 50_000
        told += live.take(Picture(scene(index, WIDTH, HEIGHT), at_us, 10**9 + at_us))
    units = [it for it in told if isinstance(it, CapturedUnit)]
    left = sum(isinstance(it, Left) for it in told)
    assert not any(isinstance(it, Sampled) for it in told)
    assert len(units) + left == 80, "each picture is told of once"
    made = sum(len(it.payload) for it in units if it.pts_us >= 1_000_000) * 8 / 3000
    return len(units), units[-1].width, made, left


def test_where_pictures_matter_less_than_pixels_fewer_are_encoded_first_and_the_other_way_about() -> None:
    sharp, quick = Profile(SHARP), Profile(QUICK)
    assert filmed(sharp, 2000)[:2] == filmed(quick, 2000)[:2] == (80, WIDTH)
    count, width, kbps, left = filmed(sharp, 120)
    assert (width, left) == (WIDTH, 80 - count)
    assert count < 40
    assert kbps < 1.3 * 120
    count, width, kbps, left = filmed(quick, 120)
    assert (count, left) == (80, 0)
    assert width < 0.6 * WIDTH
    assert kbps < 1.3 * 120


def test_it_says_what_it_will_do() -> None:
    words = Profile(SHARP).words(WIDTH, HEIGHT, FPS)
    assert words.startswith("detector on street: 1000 kbit/s 640x360 at ")
    assert [f"{kbps} kbit/s" in words for kbps in (1000, 500, 250, 100)] == [True] * 4


def spoilt(**change: object) -> bytes:
    table = msgspec.to_builtins(SHARP)
    table["rungs"][2] |= change
    return msgspec.json.encode(table)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not what"),
        (b"[]", "Expected `object`"),
        (b'{"rungs": []}', r"length >= 1 - at `\$\.rungs`"),
        (b'{"model": "m"}', "missing required field `sha256`"),
        (spoilt(f1=1.5), r"\$\.rungs\[2\]\.f1"),
        (spoilt(f1="high"), r"\$\.rungs\[2\]\.f1"),
        (spoilt(fps=1e308), r"\$\.rungs\[2\]\.fps"),
        (spoilt(width=-4), r"\$\.rungs\[2\]\.width"),
        (spoilt(varied="colour"), r"\$\.rungs\[2\]\.varied"),
        (spoilt(clip="other", varied="fps"), r"rungs\[2\]: of clip 'other' there is no row"),
        (b'{"kind": "saturate", "findings": {}}', r"\$\.kind"),
    ],
)
def test_a_bad_file_is_named_with_its_field(content: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        read_profile(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_far_too_large_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: No such file"):
        read_profile(tmp_path / "none.json")
    (tmp_path / "large.json").write_bytes(b" " * (5 << 20))
    with pytest.raises(ConfigError, match=r"large\.json: larger than 4 MB"):
        read_profile(tmp_path / "large.json")


def test_a_report_of_the_load_tester_will_do_as_well(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    file.write_bytes(b'{"kind": "accuracy", "schema": 1, "findings": ' + written(SHARP) + b"}")
    assert read_profile(file).words(WIDTH, HEIGHT, FPS) == Profile(SHARP).words(WIDTH, HEIGHT, FPS)
