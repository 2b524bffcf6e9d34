"""Cameras that are passed on, encoded anew for a while and passed on again, from real files through the real decoder
and encoder: every unit is told of exactly once, and a worker gets a picture of each that is sent.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.passed import CASES, X264, Made, make, units_of

from fishladder.edge.cameras.camera import Description
from fishladder.edge.cameras.file import FileCamera
from fishladder.edge.cameras.kinds import CameraSettings
from fishladder.edge.capture import CaptureSettings, Orders, capture
from fishladder.edge.capture_records import Captured, CapturedUnit, Left, Opened, Record
from fishladder.edge.encode import EncoderSettings
from fishladder.edge.live_capture import LiveCapture
from fishladder.edge.rate.passing import Keep
from fishladder.edge.transcode import MOST_INSIDE, Transcoder
from fishladder.edge.two_streams import TwoStreams
from fishladder.inference.decode import CameraDecoder, Picture
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec, Flag

PICTURES = 60
KEEPS: tuple[Keep, ...] = ("all", "tail", "keyframes", "transcode")
TOLD = CapturedUnit | Left


def anew(codec: Codec, found: Description) -> Transcoder:
    return Transcoder(codec, LiveCapture(EncoderSettings(bitrate_bps=300_000), None, found.fps, 0.0))


def run(file: Path, steer: Callable[[int, TwoStreams], None], *, pictures: int = PICTURES) -> list[Record]:
    """`steer` is called before each of that many units."""
    streams = TwoStreams(FileCamera(str(file), CameraSettings(str(file), speed=1000.0)), anew=anew)
    streams.tail.rate_bps = 1e9
    count = itertools.count()
    try:
        records = list(streams.records(lambda: steer(next(count), streams)))
    finally:
        streams.close()
    account(records, pictures)
    return records


def account(records: list[Record], pictures: int) -> None:
    """As `Feed` takes them: whoever is captured before its fate is known gets the next one, and nobody is left."""
    waiting, told, mode = 0, 0, "passthrough"
    for record in records:
        match record:
            case Captured():
                waiting += 1
                assert waiting <= MOST_INSIDE + 2
            case Opened():
                assert not waiting, "all is told before another stream begins"
                mode = record.mode
            case CapturedUnit() | Left():
                assert waiting or (mode == "passthrough" and isinstance(record, CapturedUnit))
                waiting -= bool(waiting)
                told += 1
    assert not waiting
    assert told == pictures


def inferred(records: list[Record]) -> tuple[int, int]:
    """Units, and how many of them a worker gets the picture of; behind what was left out it begins at clean points."""
    decoder, outcomes, units, gap = CameraDecoder(), [], 0, False
    for seq, record in enumerate((it for it in records if isinstance(it, TOLD)), 1):
        if isinstance(record, Left):
            gap = True
            continue
        if gap and not record.flags & Flag.CLEAN:
            outcomes += [] if record.flags & Flag.SAMPLED else decoder.lose()
        gap, units = False, units + 1
        outcomes += decoder.push(seq, codec=record.codec, payload=record.payload)
    outcomes += decoder.drain()
    assert len(outcomes) == units
    return units, sum(isinstance(it, Picture) for it in outcomes)


def there_and_back(at: int, streams: TwoStreams) -> None:
    streams.encoded = 13 <= at < 36


@pytest.mark.parametrize("made", CASES, ids=lambda it: it.name)
def test_from_a_keyframe_to_a_keyframe_it_is_encoded_anew(made: Made, tmp_path: Path) -> None:
    records = run(make(tmp_path, made, PICTURES), there_and_back)
    opened = [(at, it.mode) for at, it in enumerate(records) if isinstance(it, Opened)]
    assert [mode for _, mode in opened] == ["transcode", "passthrough"]
    first, last = (at for at, _ in opened)
    between = [it for it in records[first:last] if isinstance(it, TOLD)]
    sent = [it for it in between if isinstance(it, CapturedUnit)]
    assert sent[0].flags & Flag.CLEAN
    assert {it.codec for it in sent} == {Codec.H264}
    assert all(it.flags & Flag.SAMPLED for it in sent)
    assert all(one.pts_us < other.pts_us for one, other in itertools.pairwise(sent))
    assert len(sent) >= len(between) - 3, "but what an open group shows before its keyframe"
    begins = next(it for it in records[last:] if isinstance(it, CapturedUnit))
    assert begins.entry_point
    before = [it for it in records[:last] if isinstance(it, TOLD)][-1]
    assert begins.flags & Flag.CLEAN or isinstance(before, Left), "a decoder begins anew where it must"
    units, pictures = inferred(records)
    assert pictures >= units - (3 if begins.flags & Flag.RECOVERY or "open" in str(made.options) else 0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Without and with B-frames, with closed groups."""
    folder = tmp_path_factory.mktemp("films")
    return [
        make(folder, Made("libx264", "plain.mp4", gop=7, options=X264), PICTURES),
        make(folder, Made("libx264", "b.mp4", 3, gop=11, options=(("preset", "veryfast"),)), PICTURES),
    ]


steps = st.lists(
    st.tuples(st.integers(1, 15), st.sampled_from(KEEPS), st.booleans(), st.booleans(), st.sampled_from([0, 3, 7])),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 1), steps=steps)
def test_whatever_is_ordered_each_unit_has_one_fate_and_no_reference_is_missing(
    files: list[Path], which: int, steps: list[tuple[int, Keep, bool, bool, int]]
) -> None:
    plan = [it for step in steps for it in [step] * step[0]]

    def steer(at: int, streams: TwoStreams) -> None:
        _, keep, hold, pause, fps = plan[min(at, len(plan) - 1)]
        streams.encoded = keep == "transcode"
        streams.tail.keep, streams.tail.hold = "tail" if streams.encoded else keep, hold
        streams.tail.rate_bps = 40_000
        if streams.transcoder is not None:
            live = streams.transcoder.live
            live.obey(fps=None, bitrate_bps=100_000, keyframe=False, pause=pause)
            live.thin(fps=fps or None, width=0, hold=hold, keyframe_s=0.0)

    records = run(files[which], steer)
    units, pictures = inferred(records)
    assert pictures == units
    assert {it.fate for it in records if isinstance(it, Left)} <= {Fate.SHED, Fate.SAMPLED_OUT}


def test_a_decoder_that_refuses_what_it_gets_costs_those_pictures_and_no_count(tmp_path: Path) -> None:
    units = units_of(make(tmp_path, CASES[1], PICTURES))
    transcoder = Transcoder(Codec.H264, LiveCapture(EncoderSettings(), None, 10.0, 0.0))
    records: list[Record] = []
    for index, it in enumerate(units):
        spoilt = it.payload[:9] + bytes(len(it.payload) - 9) if index in (14, 15, 33) else it.payload
        records += transcoder.take(
            CapturedUnit(it.codec, it.flags, it.width, it.height, it.duration_us, it.pts_us, it.mono_us, spoilt)
        )
    records += transcoder.close()
    told = [it for it in records if isinstance(it, TOLD)]
    assert len(told) == sum(isinstance(it, Captured) for it in records) == PICTURES
    assert {it.fate for it in told if isinstance(it, Left)} <= {Fate.ENCODER}
    assert sum(isinstance(it, CapturedUnit) for it in told) > PICTURES // 2


def test_through_the_capture_process_by_orders(tmp_path: Path) -> None:
    """As the agent gives them: a rate, fewer pictures, a smaller size; and back."""
    file = make(tmp_path, Made("libx264", "main.mp4", options=X264, width=320, height=192), 40)
    records: list[Record] = []
    orders, count = Orders(None, 1_000_000), 0

    def emit(record: Record) -> None:
        nonlocal count
        records.append(record)
        if isinstance(record, TOLD):
            count += 1
            orders.keep = "transcode" if 15 <= count < 60 else "all"
            orders.bitrate_bps, orders.thin_fps, orders.width = 60_000, 5.0, 160
            orders.stop = count >= 90

    camera = CameraSettings(str(file), loop=True, speed=8.0)
    capture(CaptureSettings(camera, mode="passthrough"), orders, emit)
    sent = [it for it in records if isinstance(it, CapturedUnit)]
    assert {it.width for it in sent} == {320, 160}
    small = [it for it in sent if it.width == 160]
    assert 15 <= len(small) <= 30, "every other picture of some 50"
    assert inferred(records) == (len(sent), len(sent))
