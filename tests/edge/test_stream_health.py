"""What a camera's stream says about its settings."""

from dataclasses import replace

import pytest

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.stream_health import judge, span_s
from fishladder.wire.unit import NO_FLAGS, Codec, Flag

FPS = 10


def stream(seconds: float, keyframes_s: list[float], *, key: int = 20_000, between: int = 2_000) -> list[CapturedUnit]:
    keys = {round(at * FPS) for at in keyframes_s}
    return [
        CapturedUnit(
            Codec.H264,
            Flag.CLEAN if index in keys else NO_FLAGS,
            640,
            360,
            1_000_000 // FPS,
            index * 1_000_000 // FPS,
            index * 1_000_000 // FPS,
            bytes(key if index in keys else between),
        )
        for index in range(round(seconds * FPS))
    ]


def test_an_ordinary_stream_has_nothing_to_be_said() -> None:
    health = judge(stream(4.1, [0, 2, 4]), passthrough=True)
    assert health.gop_s == pytest.approx(2.0)
    assert health.kbps == pytest.approx((2 * 20_000 + 38 * 2_000) * 8 / 1000 / 4, rel=0.02)
    assert health.warnings == ()


def test_what_came_in_one_burst_is_as_long_as_it_shows() -> None:
    burst = [replace(unit, mono_us=7 + index) for index, unit in enumerate(stream(4.1, [0, 2, 4]))]
    assert span_s(burst) == pytest.approx(4.0)
    assert judge(burst, passthrough=True) == judge(stream(4.1, [0, 2, 4]), passthrough=True)
    unknown = [replace(unit, pts_us=0) for unit in stream(4.1, [0])]
    assert span_s(unknown) == pytest.approx(4.0), "a camera without time stamps"


@pytest.mark.parametrize(
    ("units", "said"),
    [
        (stream(10.1, [0, 10]), "keyframes are 10 s apart"),
        (stream(12, [0]), "keyframes are at least 12 s apart"),
        (stream(12, []), "no keyframe within 12 s"),
        (stream(11, [0, 2, 10]), "keyframes come after 2.0 to 8.0 s: it looks like a smart codec"),
        (stream(12, [0], key=60_000, between=300), "keyframes are 200 times as large as what comes between: it looks"),
    ],
)
def test_what_should_be_set_otherwise_is_said(units: list[CapturedUnit], said: str) -> None:
    assert any(said in warning for warning in judge(units, passthrough=True).warnings)
    assert judge(units, passthrough=False).warnings == ()


def test_intra_refresh_has_no_exact_place_to_start() -> None:
    ordinary = stream(6, [0, 2, 4])
    units = [replace(unit, flags=Flag.RECOVERY if unit.flags else NO_FLAGS) for unit in ordinary]
    [warning] = judge(units, passthrough=True).warnings
    assert "closed GOPs" in warning


def test_a_single_unit_is_no_reason_to_fail() -> None:
    assert judge(stream(0.1, [0]), passthrough=True).kbps == 0
