"""The encoder as an uplink needs it, with real x264: each picture out at once, decodable where it says so, within
its rate.
"""

import itertools

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from fishladder.edge.cameras.pattern import counter, draw
from fishladder.edge.encode import X264, EncoderSettings, scaled
from fishladder.edge.live_encoder import LiveEncoder
from fishladder.wire.bitstream import inspect
from fishladder.wire.errors import CameraError
from fishladder.wire.unit import Codec, Flag


def noisy(index: int, width: int = 320, height: int = 180) -> VideoFrame:
    rng = np.random.default_rng(index // 3)
    return VideoFrame.from_ndarray(rng.integers(0, 255, (height * 3 // 2, width), dtype=np.uint8), format="yuv420p")


def decode(payloads: list[bytes]) -> list[VideoFrame]:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = []
    for payload in payloads:
        frames += decoder.decode(av.Packet(payload))
    return frames + decoder.decode(None)


def test_each_picture_is_out_at_once_and_shows_what_went_in() -> None:
    encoder = X264(EncoderSettings(width=320), (640, 360), 15, 1_500_000)
    payloads = []
    for index in range(40):
        encoded = encoder.encode(draw(index, 640, 360), index * 66_667)
        assert encoded is not None
        assert encoded.pts_us == index * 66_667
        payloads.append(encoded.payload)
    frames = decode(payloads)
    assert [(frame.width, frame.height) for frame in frames] == [(320, 180)] * 40
    assert len(frames) == 40


def test_pictures_can_be_recognised_after_coding() -> None:
    encoder = X264(EncoderSettings(bitrate_bps=200_000), (640, 360), 15, 200_000)
    payloads = [encoder.encode(draw(index, 640, 360), index * 66_667) for index in (0, 1, 2, 700, 65535, 65536)]
    frames = decode([it.payload for it in payloads if it])
    assert [counter(frame.to_ndarray(format="gray")) for frame in frames] == [0, 1, 2, 700, 65535, 0]


def test_keyframes_come_on_time_and_on_demand_and_start_a_decoder() -> None:
    encoder = X264(EncoderSettings(keyframe_s=2.0), (320, 180), 10, 1_500_000)
    keys = []
    payloads = []
    for index in range(50):
        if index == 33:
            encoder.force_keyframe()
        encoded = encoder.encode(draw(index, 320, 180), index * 100_000)
        assert encoded is not None
        payloads.append(encoded.payload)
        assert encoded.keyframe == inspect(Codec.H264, encoded.payload).clean
        if encoded.keyframe:
            keys.append(index)
    assert keys == [0, 20, 33]
    assert len(decode(payloads[33:])) == 17


def test_the_bitrate_holds_and_can_be_changed_on_the_way() -> None:
    encoder = X264(EncoderSettings(bitrate_bps=800_000, keyframe_s=100), (320, 180), 20, 800_000)
    sizes = []
    for index in range(160):
        if index == 80:
            encoder.set_bitrate(300_000)
        encoded = encoder.encode(noisy(index), index * 50_000)
        assert encoded is not None
        sizes.append(len(encoded.payload) * 8)
    assert sum(sizes[:80]) / 4 == pytest.approx(800_000, rel=0.25)
    assert sum(sizes[100:]) / 3 == pytest.approx(300_000, rel=0.25)


def test_impossible_settings_are_named() -> None:
    with pytest.raises(CameraError, match="preset 'nonsense'"):
        X264(EncoderSettings(preset="nonsense"), (320, 180), 10, 100_000)


@pytest.mark.parametrize(
    ("source", "wanted", "expected"),
    [
        ((1920, 1080), 0, (1920, 1080)),
        ((1920, 1080), 640, (640, 360)),
        ((641, 481), 0, (640, 480)),
        ((640, 360), 1280, (640, 360)),
        ((1080, 1920), 540, (540, 960)),
    ],
)
def test_scaling_keeps_the_shape_and_never_enlarges(
    source: tuple[int, int], wanted: int, expected: tuple[int, int]
) -> None:
    assert scaled(*source, wanted) == expected


def test_a_live_encoder_survives_changes_of_size_and_rate() -> None:
    live = LiveEncoder(EncoderSettings(), 30)
    live.set_fps(30)
    units = []
    for index in range(60):
        size = (320, 180) if index < 30 else (256, 144)
        if index == 45:
            live.set_fps(10)
        if live.wants(index * 33_333, index * 33_333):
            unit = live.encode(draw(index, *size), index * 33_333, index)
            assert unit is not None
            units.append(unit)
    assert [(u.width, u.height) for u in units if u.flags & Flag.CLEAN] == [(320, 180), (256, 144), (256, 144)]
    assert all(u.flags & Flag.SAMPLED for u in units)
    assert [u.duration_us for u in units[1:]] == [b.pts_us - a.pts_us for a, b in itertools.pairwise(units)]
    assert units[0].duration_us == round(1e6 / 30)
    assert len(decode([u.payload for u in units])) == len(units)
