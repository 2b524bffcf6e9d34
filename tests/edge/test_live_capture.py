"""A gated camera through the real scaler and encoder: each picture is told of once and in order; the rest decodes."""

import av
import numpy as np
from av.video.frame import VideoFrame

from fishladder.edge.cameras.camera import Picture
from fishladder.edge.capture_records import Captured, CapturedUnit, Left, Record, Sampled
from fishladder.edge.encode import EncoderSettings
from fishladder.edge.gate import GateSettings
from fishladder.edge.live_capture import LiveCapture
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Flag

WIDTH, HEIGHT, FPS = 320, 180, 10


def night(index: int, *, walker: bool) -> Picture:
    """Picture `index` of a dark street with sensor noise; `walker` crosses it."""
    rng = np.random.default_rng(index)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    luma = 40 + 15 * np.sin(x / 31) * np.cos(y / 17) + rng.normal(0, 4, (HEIGHT, WIDTH))
    if walker:
        left = 20 + index * 2 % 250
        luma[80:120, left : left + 14] += 40
    planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    planes[:HEIGHT] = luma.clip(16, 235).astype(np.uint8)
    at_us = index * 1_000_000 // FPS
    return Picture(VideoFrame.from_ndarray(planes, format="yuv420p"), at_us, 7_000_000_000 + at_us)


def filmed(live: LiveCapture, motion: range, length: int) -> list[Record]:
    records: list[Record] = []
    for index in range(length):
        records += live.take(night(index, walker=index in motion))
    return records + list(live.close())


def fates(records: list[Record]) -> list[Fate | None]:
    """What became of each picture in order, None = a unit."""
    told: list[Fate | None] = []
    for record in records:
        match record:
            case CapturedUnit():
                told.append(None)
            case Left():
                told.append(record.fate)
            case Sampled():
                told += [Fate.SAMPLED_OUT] * record.count
    return told


def test_a_quiet_street_with_one_passer_by() -> None:
    live = LiveCapture(EncoderSettings(), GateSettings(), FPS, 0.0)
    records = filmed(live, range(300, 330), 450)
    told = fates(records)
    assert len(told) == 450
    assert sum(isinstance(record, Captured) for record in records) == 450
    sent = {index for index, fate in enumerate(told) if fate is None}
    assert sent >= set(range(100)) | set(range(290, 360)), "the warm-up; the motion, a second before, and after it"
    assert len(sent) < 200
    assert {fate for fate in told if fate is not None} == {Fate.GATED}
    units = [record for record in records if isinstance(record, CapturedUnit)]
    first = min(seq for seq in sent if seq > 150)
    after_quiet = next(unit for unit in units if unit.pts_us == first * 1_000_000 // FPS)
    assert after_quiet.flags & Flag.CLEAN
    decoder = av.CodecContext.create("h264", "r")
    shown = [picture for unit in units for picture in decoder.decode(av.Packet(unit.payload))]
    assert len(shown + decoder.decode(None)) == len(units)


def test_each_picture_is_told_of_before_it_waits() -> None:
    """So that one that waits when the process dies still has its place."""
    live = LiveCapture(EncoderSettings(), GateSettings(warmup_s=0.0, preroll_s=5.0), FPS, 0.0)
    live.obey(fps=5, bitrate_bps=1_000_000, keyframe=False)
    captured = told = 0
    waited = 0
    for index in range(150):
        for record in live.take(night(index, walker=False)):
            captured += record.count if isinstance(record, Sampled) else isinstance(record, Captured)
            told += record.count if isinstance(record, Sampled) else isinstance(record, CapturedUnit | Left)
            assert told <= captured
        assert captured == index + 1
        waited = max(waited, captured - told)
    told += len(list(live.close()))
    assert 40 <= waited <= 55
    assert captured == told == 150


def test_a_picture_its_decoder_refused_keeps_its_place_at_the_gate() -> None:
    live = LiveCapture(EncoderSettings(), GateSettings(warmup_s=0.0), FPS, 0.0)
    records: list[Record] = []
    for index in range(20):
        records += live.take(night(index, walker=False) if index != 15 else Picture(None, 0, 0))
    told = fates(records + list(live.close()))
    assert told.count(Fate.ENCODER) == 1
    assert told.index(Fate.ENCODER) == 15
    assert len(told) == 20
