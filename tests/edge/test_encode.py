"""The encoder as an uplink needs it, with real x264: each picture out at once, decodable where it says so, within
its rate.
"""

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from fishladder.edge import encode, hardware, live_encoder
from fishladder.edge.cameras.pattern import counter, draw
from fishladder.edge.encode import X264, Encoded, EncoderSettings, affordable, scaled
from fishladder.edge.hardware import HardwareH264
from fishladder.edge.live_encoder import LiveEncoder
from fishladder.runtime.encoders import LIVE, best_h264
from fishladder.wire.bitstream import inspect
from fishladder.wire.errors import CameraError
from fishladder.wire.unit import Codec, Flag


def noisy(index: int, width: int = 320, height: int = 180) -> VideoFrame:
    rng = np.random.default_rng(index // 3)
    return VideoFrame.from_ndarray(rng.integers(0, 255, (height * 3 // 2, width), dtype=np.uint8), format="yuv420p")


def street(index: int) -> VideoFrame:
    """Something of everything: a picture that moves, and a sensor's noise on it."""
    rng = np.random.default_rng(index)
    luma = 128 + 60 * np.sin(np.arange(320) / 9 + index / 3)[None, :] * np.cos(np.arange(270) / 13)[:, None]
    return VideoFrame.from_ndarray(
        (luma + rng.normal(0, 8, (270, 320))).clip(0, 255).astype(np.uint8), format="yuv420p"
    )


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


@pytest.mark.parametrize("grown", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("fps", [4, 10, 12, 20])
def test_most_of_the_rate_is_used_at_any_number_of_pictures_and_none_is_held_up_long(fps: int, grown: float) -> None:
    rate = round(280_000 * grown)
    encoder = X264(EncoderSettings(bitrate_bps=3_000_000, keyframe_s=2), (320, 180), fps, 280_000)
    encoder.set_bitrate(rate)
    units = [encoder.encode(street(index), index * 10**6 // fps) for index in range(4 * fps)]
    bits = [len(it.payload) * 8 for it in units if it]
    assert 0.78 * rate < sum(bits[fps:]) / 3 < 1.15 * rate
    assert max(bits[fps:]) / rate < max(0.3, 1.1 / fps)


def test_told_a_much_lower_rate_the_very_next_picture_has_it() -> None:
    live = LiveEncoder(EncoderSettings(bitrate_bps=6_000_000), 30)
    live.set_bitrate(2_000_000)
    sizes = []
    for index in range(90):
        if index == 60:
            live.set_bitrate(300_000)
        unit = live.encode(street(index), index * 33_333, index)
        assert unit is not None
        sizes.append(len(unit.payload) * 8)
    assert sum(sizes[60:70]) / 300_000 < 0.45, "ten pictures take a third of a second, and one of them is a keyframe"


def test_with_few_pictures_a_second_another_rate_takes_no_keyframe() -> None:
    """There each is as poor as it is small, and the link has room for few."""
    live = LiveEncoder(EncoderSettings(keyframe_s=60), 30)
    live.set_thin_fps(8)
    bits = []
    for index, kbps in enumerate(kbps for kbps in (300, 120, 250, 500, 150) for _ in range(16)):
        live.set_bitrate(kbps * 1000)
        unit = live.encode(street(index), index * 125_000, index)
        assert unit is not None
        assert bool(unit.flags & Flag.CLEAN) == (index == 0)
        bits.append(len(unit.payload) * 8)
    for at, kbps in enumerate((300, 120, 250, 500, 150)):
        made = sum(bits[at * 16 + 2 : at * 16 + 16]) / 14 * 8
        assert 0.7 * kbps * 1000 < made < 1.15 * kbps * 1000, (kbps, made)


@pytest.mark.parametrize(
    ("preset", "spare", "best"),
    [
        ("superfast", 1.0, "superfast"),
        ("superfast", 1.6, "superfast"),
        ("superfast", 2.0, "veryfast"),
        ("superfast", 3.75, "faster"),
        ("superfast", 30.0, "medium"),
        ("veryfast", 1.5, "faster"),
        ("medium", 30.0, "medium"),
        ("ultrafast", 30.0, "ultrafast"),
        ("slow", 30.0, "slow"),
    ],
)
def test_what_fewer_pictures_save_goes_into_better_ones(preset: str, spare: float, best: str) -> None:
    assert affordable(preset, spare) == best


def test_on_a_thin_link_better_pictures_are_made_of_the_same_bits() -> None:
    def error(live: LiveEncoder) -> float:
        """Of what is seen, as a mean square, once it has settled."""
        units = [live.encode(street(index), index * 125_000, index) for index in range(40)]
        assert sum(len(unit.payload) for unit in units if unit) * 8 / 5 < 150_000
        shown = decode([unit.payload for unit in units if unit])
        return float(
            np.mean(
                [
                    np.square(shown[i].to_ndarray()[:180].astype(float) - street(i).to_ndarray()[:180])
                    for i in range(20, 40)
                ]
            )
        )

    saving, plain = LiveEncoder(EncoderSettings(), 30), LiveEncoder(EncoderSettings(), 8)
    saving.set_thin_fps(8)
    for live in (saving, plain):
        live.set_bitrate(140_000)
    assert error(saving) < 0.97 * error(plain)


def test_where_bits_are_few_none_go_into_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(bitrate_bps: int) -> int:
        encoder = X264(EncoderSettings(bitrate_bps=3_000_000), (320, 180), 20, bitrate_bps, thin=True)
        return sum(len(it.payload) for index in range(40) if (it := encoder.encode(draw(0, 320, 180), index * 50_000)))

    few, many = made(110_000), made(130_000)
    monkeypatch.setattr(encode, "THIN_QP", 0)
    assert few < 0.9 * made(110_000)
    assert many == made(130_000)


@pytest.mark.parametrize("fps", [8, 12])
def test_the_rate_holds_where_fewer_or_more_pictures_come_than_the_encoder_was_opened_for(fps: int) -> None:
    live = LiveEncoder(EncoderSettings(), 30)
    live.set_bitrate(400_000)
    live.set_thin_fps(10)
    assert live.encode(street(0), 0, 0) is not None
    live.set_thin_fps(fps)
    units = [live.encode(street(index), index * 10**6 // fps, index) for index in range(1, 4 * fps)]
    assert sum(bool(unit and unit.flags & Flag.CLEAN) for unit in units) <= 2, "it is the same encoder"
    assert sum(len(unit.payload) * 8 for unit in units[fps:] if unit) / 3 == pytest.approx(400_000, rel=0.22)


def test_told_more_than_the_maximum_it_is_opened_anew_for_a_quarter_more_and_no_further() -> None:
    """Which is to make the maximum of it, near the limit of a link."""
    settings = EncoderSettings(bitrate_bps=1_000_000)
    usual = X264(settings, (320, 240), 15, 1_000_000)
    assert usual.maximum_bps == 1_000_000
    assert not usual.outgrown(1_000_000, 0)
    assert usual.outgrown(1_100_000, 0)
    more = X264(settings, (320, 240), 15, 1_100_000)
    assert more.maximum_bps == 1_250_000
    assert not any(more.outgrown(bps, 10_000_000) for bps in (1_000_000, 1_250_000, 3_000_000))


@pytest.mark.parametrize(
    ("bps", "thin", "anew"), [(850, True, True), (900, True, False), (850, False, False), (550, False, True)]
)
def test_a_buffer_that_is_too_long_for_the_rate_is_changed_at_a_keyframe_sooner_on_a_thin_link(
    bps: int, thin: bool, anew: bool
) -> None:
    it = X264(EncoderSettings(bitrate_bps=3_000_000), (640, 360), 15, 1_000_000, thin=thin)
    picture = street(0)
    assert it.encode(picture, 0) is not None
    it.set_bitrate(bps * 1000)
    assert not it.outgrown(bps * 1000, 1_000_000, thin=thin), "it costs a keyframe"
    assert it.outgrown(bps * 1000, 2_000_000, thin=thin) == anew


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


def test_without_the_hardware_x264_does_it_from_the_first_picture(capfd: pytest.CaptureFixture[str]) -> None:
    if best_h264():
        pytest.skip("there is a hardware encoder here")
    live = LiveEncoder(EncoderSettings(codec="h264_nvenc"), 10)
    units = [live.encode(draw(index, 320, 180), index * 100_000, index * 100_000) for index in range(5)]
    assert all(units)
    assert len(decode([unit.payload for unit in units if unit])) == 5
    assert "h264_nvenc refuses 320x180 at 10 fps" in capfd.readouterr().err


class FailingHardware(X264):
    """Stands in for an encoder whose driver gives up after some pictures: there is no such hardware where we test."""

    def encode(self, frame: VideoFrame, pts_us: int) -> Encoded | None:
        if pts_us >= 300_000:
            raise CameraError("h264_nvenc: the device was lost")
        return super().encode(frame, pts_us)


def test_hardware_that_fails_on_the_way_costs_no_picture(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live_encoder, "HardwareH264", FailingHardware)
    live = LiveEncoder(EncoderSettings(codec="h264_nvenc"), 10)
    units = [live.encode(draw(index, 320, 180), index * 100_000, index * 100_000) for index in range(8)]
    assert all(units)
    assert [bool(unit.flags & Flag.CLEAN) for unit in units if unit] == [True, False, False, True, *[False] * 4]
    frames = decode([unit.payload for unit in units if unit])
    assert [counter(frame.to_ndarray(format="gray")) for frame in frames] == list(range(8))
    assert "the device was lost: x264 takes over" in capfd.readouterr().err


def test_the_wrapper_around_hardware_keeps_its_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """With x264 in place of hardware, which does not exist where we test: keyframes on demand, a new rate, IDRs that
    begin a decoder.
    """
    options = {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1", "x264-params": "keyint=infinite"}
    monkeypatch.setitem(LIVE, "libx264", options)
    encoder = HardwareH264(EncoderSettings(codec="libx264", keyframe_s=100), (320, 180), 10, 800_000)
    payloads, keys = [], []
    for index in range(12):
        if index == 5:
            encoder.force_keyframe()
        if index == 8:
            encoder.set_bitrate(300_000)  # it takes no other rate: opened anew, a keyframe
        encoded = encoder.encode(noisy(index), index * 100_000)
        assert encoded is not None
        payloads.append(encoded.payload)
        keys.append(encoded.keyframe)
    assert [index for index, key in enumerate(keys) if key] == [0, 5, 8]
    assert len(decode(payloads[8:])) == 4


@pytest.mark.parametrize("changes_rate", [True, False])
def test_hardware_told_much_less_has_a_short_buffer_again_from_the_next_keyframe_on(
    changes_rate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """x264 stands in for it: 300 of 3000 kbit/s, whose buffer would let a keyframe be as large as 1.2 s of that."""
    options = {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1", "x264-params": "keyint=infinite"}
    monkeypatch.setitem(LIVE, "libx264", options)
    monkeypatch.setattr(hardware, "_CHANGES_RATE", ("libx264",) if changes_rate else ())
    settings = EncoderSettings(codec="libx264", keyframe_s=1.0, bitrate_bps=3_000_000)
    encoder = HardwareH264(settings, (320, 180), 20, 3_000_000)
    made = []
    for index in range(100):
        encoder.set_bitrate(3_000_000 if index < 45 else 300_000)
        encoded = encoder.encode(noisy(index), index * 50_000)
        assert encoded is not None
        made.append(encoded)
    keys = [index for index, it in enumerate(made) if it.keyframe]
    assert keys == ([0, 20, 40, 60, 80] if changes_rate else [0, 20, 40, 45, 65, 85])
    assert len(decode([it.payload for it in made])) == 100
    large = [len(it.payload) * 8 for it in made[60:] if it.keyframe]
    assert max(large) < 0.3 * 300_000, large
    assert sum(len(it.payload) for it in made[80:]) * 8 < 1.2 * 300_000


def test_only_devices_that_are_there_are_tried(tmp_path: Path) -> None:
    assert best_h264(tmp_path) is None
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidiactl").touch()
    assert best_h264(tmp_path) in (None, "h264_nvenc")
