"""Cut groups of real streams, with and without B-frames and open groups: what is passed on decodes to the very pictures
of the whole, and rates are kept.
"""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.passed import CASES, decode_units, make, planes, units_of

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.rate.passing import Keep
from fishladder.edge.tail import Measured, Tail
from fishladder.inference.decode import CameraDecoder, Picture
from fishladder.wire.unit import NO_FLAGS, Codec, Flag

FPS = 15


def unit(index: int, size: int, *, key: bool, fps: float = FPS) -> CapturedUnit:
    flags = Flag.CLEAN if key else NO_FLAGS
    at_us = round(index * 1e6 / fps)
    return CapturedUnit(Codec.H264, flags, 64, 64, round(1e6 / fps), at_us, at_us, bytes(size))


def stream(seconds: float, gop: int = 30, size: int = 5000, key_ratio: int = 8) -> list[CapturedUnit]:
    return [
        unit(index, size * (1 if index % gop else key_ratio), key=index % gop == 0)
        for index in range(round(seconds * FPS))
    ]


@given(
    st.sampled_from(["all", "tail", "keyframes"]),
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 60_000), st.floats(1e4, 1e7), st.booleans(), st.sampled_from(range(3))),
        max_size=300,
    ),
)
def test_a_unit_is_passed_on_only_behind_all_of_its_group(
    keep: Keep, made: list[tuple[bool, int, float, bool, int]]
) -> None:
    tail, keeps = Tail(), ("all", "tail", "keyframes")
    complete = False
    for index, (key, size, rate_bps, hold, change) in enumerate(made):
        tail.rate_bps, tail.hold = rate_bps, hold
        tail.keep = keep if change else keeps[change]
        passes = tail.passes(unit(index, size, key=key or not index))
        if key or not index:
            complete = True
        assert complete or not passes
        complete &= passes


@pytest.mark.parametrize("keep", ["tail", "keyframes"])
@pytest.mark.parametrize("kbps", [60, 150, 400, 900])
def test_no_more_is_passed_on_than_the_rate_allows(keep: Keep, kbps: int) -> None:
    tail = Tail()
    tail.keep, tail.rate_bps = keep, kbps * 1000.0
    units = stream(120)
    sent = [it for it in units if tail.passes(it)]
    bps = sum(len(it.payload) for it in sent) * 8 / 120
    assert bps < 1.1 * kbps * 1000
    assert bps > 0.4 * min(kbps * 1000, 160_000)
    assert any(not it.flags for it in sent) is (keep == "tail" and kbps > 150)


def test_all_is_all_and_a_hold_ends_at_a_keyframe() -> None:
    tail, units = Tail(), stream(8)
    assert all(tail.passes(it) for it in units[:40])
    tail.hold = True
    assert not tail.passes(units[40])
    tail.hold = False
    assert [tail.passes(it) for it in units[41:62]] == [False] * 19 + [True] * 2


def test_a_stream_is_measured_whether_it_is_passed_on_or_not() -> None:
    measured = Measured()
    for it in stream(0.8):
        measured.add(it)
    assert measured.flow.bps == 0
    for it in stream(30):
        measured.add(it)
    flow = measured.flow
    assert flow.bps == pytest.approx((29 * 5000 + 40_000) * 8 / 2, rel=0.1)
    assert flow.keyframe_bps == pytest.approx(40_000 * 8 / 2, rel=0.3)


@pytest.mark.parametrize("name", ["plain.mp4", "b.mp4", "open.mp4"])
@pytest.mark.parametrize("keep", ["tail", "keyframes"])
def test_what_is_passed_on_of_real_streams_decodes_to_its_own_pictures(name: str, keep: Keep, tmp_path: Path) -> None:
    units = units_of(make(tmp_path, next(it for it in CASES if it.name == name), 60))
    whole = {
        it.pts_us: plane
        for it, plane in zip(sorted(units, key=lambda it: it.pts_us), planes(decode_units(units)), strict=True)
    }
    tail, decoder, shown, sent = Tail(), CameraDecoder(), 0, 0
    tail.keep, tail.rate_bps = keep, sum(len(it.payload) for it in units) * 8 / 6 * 0.5
    outcomes, gap = [], False
    pts = {}
    for seq, it in enumerate(units, 1):
        timed = CapturedUnit(
            it.codec, it.flags, it.width, it.height, it.duration_us, it.pts_us, seq * 100_000, it.payload
        )
        if not tail.passes(timed):
            gap = True
            continue
        if gap and not it.flags & Flag.CLEAN:
            outcomes += decoder.lose()  # as a worker does behind a range that was shed
        gap, pts[seq] = False, it.pts_us
        sent += 1
        outcomes += decoder.push(seq, codec=it.codec, payload=it.payload)
    outcomes += decoder.drain()
    for outcome in outcomes:
        if isinstance(outcome, Picture):
            shown += 1
            assert np.array_equal(outcome.frame.to_ndarray(format="yuv420p"), whole[pts[outcome.seq]])
    assert sent < len(units)
    assert shown >= sent * (0.6 if name == "open.mp4" else 1.0)
