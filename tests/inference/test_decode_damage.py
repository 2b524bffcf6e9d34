import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import clips
from support.clips import Clip
from support.decoding import decode, sort

from fishladder.inference.decode import CameraDecoder
from fishladder.wire.bitstream import inspect
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec

CLIPS = {
    "plain": (Codec.H264, clips.plain),
    "b_frames": (Codec.H264, clips.b_frames),
    "h264_open_gop": (Codec.H264, clips.h264_open_gop),
    "intra_refresh": (Codec.H264, clips.intra_refresh),
    "h265_open_gop": (Codec.H265, clips.h265_open_gop),
    "vp8": (Codec.VP8, clips.vp8),
    "vp9": (Codec.VP9, clips.vp9),
    "av1": (Codec.AV1, clips.av1_hierarchical),
    "jpeg": (Codec.JPEG, clips.jpeg),
}


def payloads(clip: Clip) -> list[bytes]:
    return [unit.payload for unit in clip]


def test_a_reference_lost_before_capture_is_noticed_by_its_number() -> None:
    units = payloads(clips.plain())
    expected = clips.plain_decode(Codec.H264, units)
    decoded = decode(Codec.H264, [(seq, unit) for seq, unit in enumerate(units) if seq != 10])
    assert decoded.fates == dict.fromkeys(range(11, 20), Fate.NO_REFERENCE)
    assert decoded.images == {seq: expected[seq] for seq in expected if not 10 <= seq < 20}


def test_a_picture_nobody_refers_to_is_not_missed() -> None:
    units = payloads(clips.b_frames())
    lost = [seq for seq, unit in enumerate(units) if not inspect(Codec.H264, unit).reference][::3]
    expected = clips.plain_decode(Codec.H264, units)
    decoded = decode(Codec.H264, [(seq, unit) for seq, unit in enumerate(units) if seq not in lost])
    assert decoded.fates == {}
    assert decoded.images == {seq: image for seq, image in expected.items() if seq not in lost}


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_whatever_is_lost_no_picture_is_made_up(codec: Codec) -> None:
    clip = clips.b_frames() if codec is Codec.H264 else clips.h265()
    units = payloads(clip)
    expected = clips.plain_decode(codec, units)
    for lost in range(1, 40):
        decoded = decode(codec, [(seq, unit) for seq, unit in enumerate(units) if seq != lost])
        assert decoded.images.items() <= expected.items()
        assert decoded.images.keys() >= set(range(40, 60))


def test_lost_references_the_caller_knows_of_end_what_depends_on_them() -> None:
    units = payloads(clips.vp8())
    expected = clips.plain_decode(Codec.VP8, units)
    decoder = CameraDecoder()
    outcomes = []
    for seq, unit in enumerate(units):
        if seq == 10:
            outcomes += decoder.lose()
            assert not decoder.primed
            continue
        outcomes += decoder.push(seq, codec=Codec.VP8, payload=unit)
    decoded = sort(outcomes)
    assert decoded.of(Fate.NO_REFERENCE) == list(range(11, 20))
    assert decoded.images == {seq: expected[seq] for seq in expected if not 10 <= seq < 20}


def test_what_was_pushed_before_a_loss_stays_exact() -> None:
    units = payloads(clips.b_frames())
    expected = clips.plain_decode(Codec.H264, units)
    decoder = CameraDecoder()
    outcomes = [
        outcome for seq in range(9) for outcome in decoder.push(seq, codec=Codec.H264, payload=units[seq])
    ] + decoder.lose()
    assert sort(outcomes).images == {seq: expected[seq] for seq in range(9)}


@pytest.mark.parametrize(("name", "at"), [("plain", 10), ("b_frames", 9), ("b_frames", 10), ("jpeg", 5)])
def test_a_truncated_unit_is_undecodable_and_ends_what_depends_on_it(name: str, at: int) -> None:
    codec, clip = CLIPS[name]
    units = payloads(clip())
    expected = clips.plain_decode(codec, units)
    units[at] = units[at][: len(units[at]) // 2]
    decoded = decode(codec, enumerate(units))
    after = range(at + 1, 20) if codec is Codec.H264 else ()
    assert decoded.fates == {at: Fate.UNDECODABLE} | dict.fromkeys(after, Fate.NO_REFERENCE)
    assert decoded.images == {seq: image for seq, image in expected.items() if seq not in decoded.fates}


@pytest.mark.parametrize("part", ["first", "last"])
def test_a_slice_that_is_missing_is_damage(part: str) -> None:
    options = {"preset": "veryfast", "x264-params": "scenecut=0:bframes=0:slices=4"}
    units = payloads(clips.encode(Codec.H264, 30, options=options))
    expected = clips.plain_decode(Codec.H264, units)
    cut = units[10].index(b"\0\0\1", 5) if part == "first" else units[10].rindex(b"\0\0\1")
    units[10] = units[10][cut:] if part == "first" else units[10][:cut]
    decoded = decode(Codec.H264, enumerate(units))
    assert decoded.fates == {10: Fate.UNDECODABLE} | dict.fromkeys(range(11, 20), Fate.NO_REFERENCE)
    assert decoded.images == {seq: image for seq, image in expected.items() if seq not in decoded.fates}


def test_h265_damage_shows_where_the_stream_carries_hashes_of_its_pictures() -> None:
    params = "log-level=none:pools=none:frame-threads=1:scenecut=0:hash=1:bframes=0"
    units = payloads(clips.encode(Codec.H265, 30, options={"preset": "ultrafast", "x265-params": params}))
    expected = clips.plain_decode(Codec.H265, units)
    units[10] = units[10][:300] + b"abcd" + units[10][304:]
    decoded = decode(Codec.H265, enumerate(units))
    assert decoded.fates == {10: Fate.UNDECODABLE} | dict.fromkeys(range(11, 20), Fate.NO_REFERENCE)
    assert decoded.images == {seq: image for seq, image in expected.items() if seq not in decoded.fates}


def test_damage_to_a_picture_nobody_refers_to_stays_there() -> None:
    units = payloads(clips.b_frames())
    expected = clips.plain_decode(Codec.H264, units)
    assert not inspect(Codec.H264, units[11]).reference
    units[11] = units[11][: len(units[11]) // 2]
    decoded = decode(Codec.H264, enumerate(units))
    assert decoded.fates == {11: Fate.UNDECODABLE}
    assert decoded.images == {seq: image for seq, image in expected.items() if seq != 11}


def test_damage_is_healed_by_a_recovery_too() -> None:
    units = payloads(clips.intra_refresh())
    expected = clips.plain_decode(Codec.H264, units)
    units[30] = units[30][:40]
    decoded = decode(Codec.H264, enumerate(units))
    assert decoded.fates == {30: Fate.UNDECODABLE} | dict.fromkeys(range(31, 48), Fate.NO_REFERENCE)
    assert decoded.images.items() <= expected.items()


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_rubbish_between_units_is_undecodable_and_is_healed_by_the_next_entry_point(name: str) -> None:
    codec, clip = CLIPS[name]
    units = payloads(clip())
    expected = clips.plain_decode(codec, units)
    units[3] = b"rubbish" * 50
    decoded = decode(codec, enumerate(units))
    assert decoded.of(Fate.UNDECODABLE) == [3]
    assert decoded.images.items() <= expected.items()
    assert decoded.images.keys() >= set(range(len(units) * 2 // 3, len(units)))


def test_a_header_that_asks_for_a_gigapixel_is_undecodable() -> None:
    image = bytearray(clips.jpeg()[0].payload)
    at = image.index(b"\xff\xc0")
    image[at + 5 : at + 9] = b"\xff\xdc\xff\xdc"
    assert decode(Codec.JPEG, [(1, bytes(image))]).fates == {1: Fate.UNDECODABLE}


@settings(max_examples=60)
@given(st.sampled_from(sorted(CLIPS)), st.integers(0, 2**32), st.booleans())
def test_damaged_streams_settle_every_seq_once_and_raise_nothing(name: str, seed: int, from_start: bool) -> None:
    codec, clip = CLIPS[name]
    units = payloads(clip())
    expected = clips.plain_decode(codec, units)
    chance = random.Random(seed)
    first_hurt = len(units)
    start = 0 if from_start else chance.randrange(len(units))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(start, len(units))
        hurt = bytearray(units[at])
        kind = chance.randrange(4)
        if kind == 0:
            hurt = hurt[: chance.randrange(1, len(hurt))] if len(hurt) > 1 else hurt
        elif kind == 1:
            for _ in range(4):
                hurt[chance.randrange(len(hurt))] ^= 1 << chance.randrange(8)
        elif kind == 2:
            hurt = bytearray(chance.randbytes(len(hurt)))
        else:
            hurt += chance.choice(units)
        units[at] = bytes(hurt)
        first_hurt = min(first_hurt, at)
    decoded = decode(codec, [(seq, unit) for seq, unit in enumerate(units) if seq >= start])
    before = {seq: image for seq, image in decoded.images.items() if seq < first_hurt}
    assert before.items() <= expected.items()
    if from_start:
        assert before.keys() == {seq for seq in expected if seq < first_hurt}


@settings(max_examples=60)
@given(st.sampled_from(Codec), st.lists(st.binary(min_size=1, max_size=200), max_size=40))
def test_rubbish_alone_gives_no_picture(codec: Codec, units: list[bytes]) -> None:
    assert decode(codec, enumerate(units)).images == {}
