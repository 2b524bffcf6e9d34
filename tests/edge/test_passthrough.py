"""Files passed on as they are: every packet a unit, units that decode to the file's own pictures, times that make
sense.
"""

import itertools
import time
from pathlib import Path

import av
import numpy as np
import pytest
from support.passed import CASES, FPS, Made, decode_file, decode_units, make, planes, units_of

from fishladder.edge.cameras.file import FileCamera
from fishladder.edge.cameras.kinds import CameraSettings
from fishladder.edge.passthrough import Passthrough
from fishladder.wire.errors import CameraError
from fishladder.wire.unit import Codec, Flag


@pytest.mark.parametrize("made", CASES, ids=lambda made: made.name)
def test_units_decode_to_the_files_own_pictures(made: Made, tmp_path: Path) -> None:
    file = make(tmp_path, made)
    units = units_of(file)
    assert len(units) == 30
    expected, got = planes(decode_file(file)), planes(decode_units(units))
    assert len(got) == len(expected) == 30
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))
    assert units[0].flags & Flag.CLEAN
    assert all((unit.width, unit.height) == (160, 96) for unit in units)


@pytest.mark.parametrize("made", CASES, ids=lambda made: made.name)
def test_each_clean_unit_starts_a_decoder_by_itself(made: Made, tmp_path: Path) -> None:
    units = units_of(make(tmp_path, made))
    starts = [index for index, unit in enumerate(units) if unit.flags & Flag.CLEAN]
    expected = planes(decode_units(units))
    for start in starts:
        got = planes(decode_units(units[start:]))
        assert len(got) == 30 - start
        assert all(np.array_equal(a, b) for a, b in zip(got, expected[start:], strict=True))


@pytest.mark.parametrize("made", CASES, ids=lambda made: made.name)
def test_durations_are_never_unknown(made: Made, tmp_path: Path) -> None:
    units = units_of(make(tmp_path, made))
    assert all(abs(unit.duration_us - 1_000_000 / FPS) <= 40_000 for unit in units)  # a raw stream knows no rate but 25


def test_reordered_pictures_keep_their_own_times(tmp_path: Path) -> None:
    units = units_of(make(tmp_path, CASES[1]))
    times = [unit.pts_us for unit in units]
    assert times != sorted(times)
    assert np.allclose(np.diff(sorted(times)), 100_000, atol=50)


def test_an_open_gop_is_a_recovery_point_not_a_clean_one(tmp_path: Path) -> None:
    units = units_of(make(tmp_path, next(made for made in CASES if made.name == "open.mp4")))
    assert sum(bool(unit.flags & Flag.CLEAN) for unit in units) == 1
    assert sum(bool(unit.flags & Flag.RECOVERY) for unit in units) >= 1


@pytest.mark.parametrize("name", ["plain.mp4", "b.mp4"])
def test_a_loop_goes_on_in_time_and_each_lap_begins_at_a_clean_point(name: str, tmp_path: Path) -> None:
    file = make(tmp_path, next(made for made in CASES if made.name == name))
    units = units_of(file, loop_to=75)
    assert [bool(units[lap].flags & Flag.CLEAN) for lap in (0, 30, 60)] == [True] * 3
    laps = [[unit.pts_us for unit in units[at : at + 30]] for at in (0, 30, 60)]
    for before, after in itertools.pairwise(laps):
        assert 90_000 <= min(after) - max(before) <= 400_000


def test_a_file_is_paced_as_it_was_captured(tmp_path: Path) -> None:
    file = make(tmp_path, CASES[0], pictures=10)
    camera = FileCamera(str(file), CameraSettings(str(file), speed=5.0))
    began = time.monotonic()
    stamps = [packet.mono_us for packet in camera.packets()]
    camera.close()
    assert stamps[-1] - stamps[0] >= 175_000
    assert time.monotonic() - began >= 0.175


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.mp4"
    file.write_bytes(b"nothing" * 100)
    with pytest.raises(CameraError, match=r"x\.mp4"):
        FileCamera(str(file), CameraSettings(str(file)))


def test_a_codec_no_unit_can_have_says_what_to_do(tmp_path: Path) -> None:
    file = make(tmp_path, Made("mpeg4", "old.avi"))
    with pytest.raises(CameraError, match='mode = "encode"'):
        units_of(file)


def test_damaged_pictures_are_passed_on_unflagged(tmp_path: Path) -> None:
    camera = FileCamera(str(make(tmp_path, CASES[0])), CameraSettings(""))
    packets = camera.packets()
    units = Passthrough(camera.description)
    first = next(packets)
    broken = first._replace(packet=av.Packet(b"\xff" * 50))
    unit = units.take(broken)
    camera.close()
    assert (unit.codec, unit.flags, unit.payload) == (Codec.H264, Flag(0), b"\xff" * 50)
