"""Matching detections, and measuring with a real encoder, decoder and model that fewer bits keep fewer of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clips import scene
from support.models import strips_model

from fishladder.inference.model import load_detector
from fishladder.loadtest.accuracy.match import Counts, compare, overlap
from fishladder.loadtest.accuracy.measure import Clip, _detect, measure, rungs_of
from fishladder.loadtest.accuracy.table import Table
from fishladder.loadtest.report.accuracy import write_report
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.ladder import Footage, encode_pictures
from fishladder.wire.accuracy import Rung, decode
from fishladder.wire.result import Detection

corner = st.integers(0, 9).map(lambda tenth: tenth / 10)


@st.composite
def detections(draw: st.DrawFn) -> list[Detection]:
    found = []
    for _ in range(draw(st.integers(0, 6))):
        x, y = draw(corner), draw(corner)
        found.append(Detection(draw(st.sampled_from(["person", "dog"])), 0.9, x, y, x + 0.1, y + 0.1))
    return found


def box(x1: float, y1: float, x2: float, y2: float, label: str = "person") -> Detection:
    return Detection(label, 0.9, x1, y1, x2, y2)


@given(detections(), detections())
def test_every_box_is_counted_once(reference: list[Detection], found: list[Detection]) -> None:
    counts = compare(reference, found)
    assert counts.both + counts.missed == len(reference)
    assert counts.both + counts.extra == len(found)
    assert 0 <= counts.f1 <= 1
    assert compare(found, reference).both == counts.both


@given(detections())
def test_what_is_found_again_is_right(found: list[Detection]) -> None:
    assert compare(found, found) == Counts(len(found), 0, 0)


def test_overlap_and_label_decide() -> None:
    assert overlap(box(0, 0, 0.2, 0.2), box(0.1, 0, 0.3, 0.2)) == pytest.approx(1 / 3)
    assert compare([box(0, 0, 0.2, 0.2)], [box(0.1, 0, 0.3, 0.2)]) == Counts(0, 1, 1)
    assert compare([box(0, 0, 0.2, 0.2)], [box(0.05, 0, 0.25, 0.2)]) == Counts(1, 0, 0)
    assert compare([box(0, 0, 0.2, 0.2)], [box(0, 0, 0.2, 0.2, "dog")]) == Counts(0, 1, 1)
    assert Counts(8, 2, 2).f1 == pytest.approx(0.8)
    assert Counts().f1 == 1.0


def rung(bits: float, f1: float, clip: str = "a", objects: int = 10) -> Rung:
    return Rung(clip, "rate", 100, 100, 10.0, bits * 100 * 100 * 10, f1, f1, f1, objects)


def test_the_table_is_read_between_its_rows_and_clips_count_by_their_objects() -> None:
    one = Table("m", "0", "cpu", ["a"], [rung(0.01, 0.5), rung(0.1, 0.9), rung(1.0, 0.8)])
    at = [CameraSpec(width=100, height=100, fps=10, bitrate_bps=bits * 1e5) for bits in (0.01, 0.0316, 0.1, 1, 5)]
    assert [round(one.f1_at(spec), 2) for spec in at] == [0.5, 0.7, 0.9, 0.9, 0.9]
    lowest = one.lowest_bps(0.7, at[-1])
    assert lowest == pytest.approx(0.0316 * 1e5, rel=0.05)
    assert one.lowest_bps(0.95, at[-1]) is None
    two = Table("m", "0", "cpu", ["a", "b"], [rung(0.01, 1.0, "a", 30), rung(0.01, 0.0, "b", 10)])
    assert two.f1_at(at[0]) == pytest.approx(0.75)


def test_the_report_has_a_profile_that_agents_take(tmp_path: Path) -> None:
    found = Table("m", "0" * 64, "cpu", ["a"], [rung(0.01, 0.5), rung(0.1, 0.9)])
    write_report(tmp_path, "fishladder loadtest accuracy", found, {})
    for name in ("profile.json", "summary.json"):
        assert decode((tmp_path / name).read_bytes(), name).rungs == found.rungs


def test_fewer_bits_and_fewer_frames_keep_fewer_detections(tmp_path: Path) -> None:
    detector = load_detector(strips_model(tmp_path / "strips.onnx"), names=_names(tmp_path), score=0.01)
    pictures = [scene(index, 320, 192) for index in range(40)]
    instants = range(10, 40, 4)
    clip = Clip(
        Footage("made", tmp_path), 10.0, pictures, list(instants), [_detect(detector, pictures[at]) for at in instants]
    )
    assert {varied for varied, _ in rungs_of(clip)} == {"rate", "fps", "width"}

    def f1(bits: float, fps: float = 10.0) -> float:
        spec = CameraSpec(width=320, height=192, fps=fps, bitrate_bps=bits * 320 * 192 * fps)
        return measure(clip, "rate", spec, detector).f1

    assert f1(1.0) >= f1(0.01)
    assert f1(1.0) > 0.9
    assert f1(1.0, fps=1.0) <= f1(1.0)


def _names(folder: Path) -> Path:
    file = folder / "names.txt"
    file.write_text("strip\n")
    return file


def test_a_clip_is_encoded_to_what_the_camera_sends() -> None:
    """Rate, keyframes and pictures of another frame rate, by a real encoder."""

    def pictures() -> Iterator[object]:
        yield from (scene(index, 320, 192) for index in range(50))

    spec = CameraSpec(width=160, height=96, fps=15, bitrate_bps=150_000, gop_s=1.0)
    made = encode_pictures(pictures(), 10.0, spec)  # type: ignore[arg-type]
    assert len(made.units) == 75
    assert [index for index, key in enumerate(made.key) if key] == [0, 15, 30, 45, 60]
    rate_bps = made.sizes.size_bytes.sum() * 8 / 5
    assert rate_bps == pytest.approx(150_000, rel=0.15)
