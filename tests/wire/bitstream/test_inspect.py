from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import clips
from support.clips import Clip

from fishladder.wire.bitstream import dimensions, inspect
from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec, Flag

CLIPS: dict[str, tuple[Codec, Callable[[], Clip]]] = {
    "plain": (Codec.H264, clips.plain),
    "b_frames": (Codec.H264, clips.b_frames),
    "h264_open_gop": (Codec.H264, clips.h264_open_gop),
    "intra_refresh": (Codec.H264, clips.intra_refresh),
    "long_gop": (Codec.H264, clips.long_gop),
    "h265": (Codec.H265, clips.h265),
    "h265_open_gop": (Codec.H265, clips.h265_open_gop),
    "vp8": (Codec.VP8, clips.vp8),
    "vp9": (Codec.VP9, clips.vp9),
    "av1": (Codec.AV1, clips.av1),
    "av1_hierarchical": (Codec.AV1, clips.av1_hierarchical),
    "jpeg": (Codec.JPEG, clips.jpeg),
}
CLEAN = {
    "plain": [0, 20, 40],
    "b_frames": [0, 20, 40],
    "h264_open_gop": [0],
    "intra_refresh": [0],
    "long_gop": [0],
    "h265": [0, 20, 40],
    "h265_open_gop": [0],
    "vp8": [0, 20, 40],
    "vp9": [0, 20, 40],
    "av1": [0, 20],
    "av1_hierarchical": [0, 20],
    "jpeg": list(range(12)),
}


def recoveries(codec: Codec, clip: Clip) -> dict[int, int]:
    found = {index: inspect(codec, unit.payload).recovery for index, unit in enumerate(clip)}
    return {index: count for index, count in found.items() if count is not None}


@pytest.mark.parametrize("name", CLIPS)
def test_units_of_real_encoders_are_clean_exactly_where_nothing_before_is_needed(name: str) -> None:
    codec, clip = CLIPS[name]
    units = [inspect(codec, unit.payload) for unit in clip()]
    assert [index for index, access in enumerate(units) if access.clean] == CLEAN[name]
    assert all(access.picture for access in units)


def test_open_gops_and_intra_refresh_are_recoveries_not_clean_points() -> None:
    assert recoveries(Codec.H264, clips.h264_open_gop()) == {17: 0, 37: 0}
    assert recoveries(Codec.H265, clips.h265_open_gop()) == {17: 0, 37: 0}
    assert recoveries(Codec.H264, clips.intra_refresh()) == {20: 8, 40: 8, 60: 8}
    assert recoveries(Codec.H264, clips.plain()) == {}


def test_flags_say_what_a_header_may_promise() -> None:
    assert inspect(Codec.H264, clips.plain()[0].payload).flags == Flag.CLEAN
    assert inspect(Codec.H264, clips.plain()[1].payload).flags == Flag(0)
    assert inspect(Codec.H265, clips.h265_open_gop()[17].payload).flags == Flag.RECOVERY


def test_rasl_pictures_are_those_shown_before_their_cra() -> None:
    clip = clips.h265_open_gop()
    rasl = [index for index, unit in enumerate(clip) if inspect(Codec.H265, unit.payload).rasl]
    assert rasl == [18, 19, 20, 38, 39, 40]


@pytest.mark.parametrize(("codec", "clip"), [(Codec.H264, clips.b_frames), (Codec.H265, clips.h265)])
def test_units_not_referred_to_can_be_left_out_without_changing_others(codec: Codec, clip: Callable[[], Clip]) -> None:
    payloads = [unit.payload for unit in clip()]
    needed = [payload for payload in payloads if inspect(codec, payload).reference]
    assert len(needed) < len(payloads)
    alone = clips.plain_decode(codec, needed)
    assert set(alone.values()) <= set(clips.plain_decode(codec, payloads).values())
    assert len(alone) == len(needed)


def test_a_hidden_vp8_frame_shows_no_picture_but_is_referred_to() -> None:
    access = inspect(Codec.VP8, clips.vp8_hidden()[3].payload)
    assert not access.picture
    assert access.reference


def test_a_vp9_superframe_is_what_its_frames_are() -> None:
    key, inter = clips.vp9()[0].payload, clips.vp9()[1].payload
    sizes = len(key).to_bytes(2, "little") + len(inter).to_bytes(2, "little")
    marker = bytes((0b110_01_001,))
    access = inspect(Codec.VP9, key + inter + marker + sizes + marker)
    assert access.clean
    assert access.picture
    hidden = bytes((inter[0] & ~0x02,)) + inter[1:]
    assert not inspect(Codec.VP9, hidden).picture
    with pytest.raises(WireError, match="less than its index says"):
        inspect(Codec.VP9, key[:20] + marker + sizes + marker)


def test_parameter_sets_alone_show_nothing() -> None:
    payload = clips.plain()[0].payload
    sets = inspect(Codec.H264, payload).parameter_sets
    assert payload.startswith(sets[:20])
    access = inspect(Codec.H264, sets)
    assert access.complete
    assert not access.picture
    assert not access.clean
    assert access.parameter_sets == sets
    assert not inspect(Codec.H264, b"\0\0\0\1\x09\xf0").picture


def test_a_keyframe_without_its_parameter_sets_is_not_clean() -> None:
    for codec, clip in ((Codec.H264, clips.plain()), (Codec.H265, clips.h265())):
        payload = clip[0].payload
        sets = inspect(codec, payload).parameter_sets
        bare = b"\0\0\0\1" + payload.rsplit(b"\0\0\1", 1)[1]
        access = inspect(codec, bare)
        assert access.idr
        assert not access.clean
        assert access.flags == Flag(0)
        assert inspect(codec, sets + bare).clean


def test_a_recovery_that_is_only_alike_is_none() -> None:
    # Recovery point SEI: recovery_frame_cnt 0 ("1"), then exact_match_flag, broken_link_flag, two more bits, stop bit.
    slice_nal = b"\0\0\1\x41\x9a\0"
    exact, alike = (b"\0\0\1\x06\x06\x01" + bytes((bits,)) + b"\x80" + slice_nal for bits in (0b1100_0100, 0b1000_0100))
    assert inspect(Codec.H264, exact).recovery == 0
    assert inspect(Codec.H264, alike).recovery is None


@pytest.mark.parametrize("name", CLIPS)
def test_a_clean_unit_tells_the_picture_size(name: str) -> None:
    codec, clip = CLIPS[name]
    assert dimensions(codec, clip()[0].payload) == (160, 96)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_sizes_that_are_no_multiple_of_a_block_are_cropped(codec: Codec) -> None:
    options = clips.X264 if codec is Codec.H264 else clips.X265
    clip = clips.encode(codec, 2, size=(182, 98), options=options)
    assert dimensions(codec, clip[0].payload) == (182, 98)
    assert dimensions(codec, clip[1].payload) is None


def test_a_memoryview_reads_as_its_bytes_do() -> None:
    payload = clips.plain()[0].payload
    assert inspect(Codec.H264, memoryview(payload)) == inspect(Codec.H264, payload)


@pytest.mark.parametrize(
    ("codec", "payload", "message"),
    [
        (Codec.H264, b"", "empty h264"),
        (Codec.H264, b"\0\0\0\x08\x65abcdefg", "does not begin with an Annex B start code"),
        (Codec.H264, b"\0\0\1\x06" * 2_000_000, "64 NAL units"),
        (Codec.H265, b"\0\0\1\x4e\x00", "not a NAL unit's header"),
        (Codec.VP8, b"\x10\x02\x00", "truncated or not VP8"),
        (Codec.VP9, b"\x00\x00", "frame marker"),
        (Codec.AV1, b"\x12\x7f\x00", "reaches over the end"),
        (Codec.JPEG, b"GIF89a", "does not begin as JPEG does"),
    ],
)
def test_what_is_not_the_codecs_syntax_says_so(codec: Codec, payload: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        inspect(codec, payload)


def look(codec: Codec, payload: bytes) -> None:
    """All that may be asked of a unit. Anything but a `WireError` escapes."""
    for ask in (inspect, dimensions):
        try:
            ask(codec, payload)
        except WireError:
            continue


START = st.sampled_from([b"", b"\0\0\1", b"\0\0\0\1", b"\0\0\1\x67", b"\0\0\1\x06\x06", b"\0\0\1\x42\x01", b"\x12\0"])


@given(st.sampled_from(Codec), START, st.binary(max_size=300))
def test_no_bytes_raise_anything_else(codec: Codec, start: bytes, data: bytes) -> None:
    look(codec, start + data)


@given(st.sampled_from(sorted(CLIPS)), st.data())
def test_damaged_units_raise_nothing_else(name: str, data: st.DataObject) -> None:
    codec, make = CLIPS[name]
    payload = bytearray(data.draw(st.sampled_from(make())).payload[:400])
    del payload[data.draw(st.integers(0, len(payload))) :]
    for at, value in data.draw(st.dictionaries(st.integers(0, 120), st.integers(0, 255), max_size=6)).items():
        if at < len(payload):
            payload[at] = value
    look(codec, bytes(payload))
