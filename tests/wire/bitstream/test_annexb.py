from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import clips
from support.clips import Clip

from fishladder.wire.bitstream import ParameterSets, inspect, read_extradata, to_annexb
from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec


def in_mp4(path: Path, codec: Codec) -> tuple[bytes, list[bytes]]:
    """A clip as an MP4 file holds it: the configuration record, and units behind lengths."""
    options = clips.X264 if codec is Codec.H264 else clips.X265
    with av.open(str(path), "w") as output:
        stream = output.add_stream(clips.ENCODERS[codec], rate=25, options=dict(options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index in range(25):
            output.mux(stream.encode(clips.scene(index, 160, 96)))
        output.mux(stream.encode(None))
    with av.open(str(path)) as source:
        video = source.streams.video[0]
        units = [bytes(packet) for packet in source.demux(video) if packet.size]
        return video.codec_context.extradata or b"", units


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_units_of_an_mp4_become_units_that_decode_by_themselves(codec: Codec, tmp_path: Path) -> None:
    record, packed = in_mp4(tmp_path / "clip.mp4", codec)
    extradata = read_extradata(codec, record)
    assert extradata.length_size == 4
    sets = ParameterSets(codec, extradata.parameter_sets)
    units = [to_annexb(payload, extradata.length_size) for payload in packed]
    assert not inspect(codec, units[0]).clean
    units = [sets.completed(unit, inspect(codec, unit)) for unit in units]
    assert inspect(codec, units[0]).clean
    assert len(clips.plain_decode(codec, units)) == 25


def test_extradata_with_start_codes_is_taken_as_it_is() -> None:
    sets = inspect(Codec.H264, clips.plain()[0].payload).parameter_sets
    assert read_extradata(Codec.H264, sets) == (sets, None)
    assert read_extradata(Codec.H264, b"") == (b"", None)
    assert read_extradata(Codec.VP9, b"anything") == (b"", None)


def test_lengths_that_do_not_add_up_are_refused() -> None:
    assert to_annexb(b"\0\0\0\2\x41\x9a\0\0\0\1\x06", 4) == b"\0\0\0\1\x41\x9a\0\0\0\1\x06"
    with pytest.raises(WireError, match="reaches over the end"):
        to_annexb(b"\0\0\0\5\x41\x9a", 4)
    with pytest.raises(WireError, match="truncated"):
        read_extradata(Codec.H264, b"\1\x64\0\x0a\xff\xe1\0\x19")


@given(st.sampled_from([Codec.H264, Codec.H265]), st.binary(max_size=120), st.sampled_from([1, 2, 4]))
def test_no_bytes_raise_anything_else(codec: Codec, data: bytes, length_size: int) -> None:
    for read in (lambda: read_extradata(codec, data), lambda: to_annexb(data, length_size)):
        try:
            read()
        except WireError:
            continue


def split(clip: Clip, codec: Codec) -> tuple[bytes, bytes]:
    """Parameter sets and bare keyframe of a clip's first unit."""
    payload = clip[0].payload
    sets = inspect(codec, payload).parameter_sets
    return sets, b"\0\0\0\1" + payload.rsplit(b"\0\0\1", 1)[1]


@pytest.mark.parametrize(("codec", "clip"), [(Codec.H264, clips.plain()), (Codec.H265, clips.h265())])
def test_sets_seen_once_make_later_keyframes_clean(codec: Codec, clip: Clip) -> None:
    sets, bare = split(clip, codec)
    known = ParameterSets(codec)
    assert not known
    assert known.completed(bare, inspect(codec, bare)) == bare
    assert known.remember(sets)
    assert not known.remember(sets)
    whole = known.completed(bare, inspect(codec, bare))
    assert whole == sets + bare
    assert inspect(codec, whole).clean
    assert known.completed(whole, inspect(codec, whole)) == whole
    later = clip[1].payload
    assert known.completed(later, inspect(codec, later)) == later


def test_a_delimiter_stays_first() -> None:
    sets, bare = split(clips.plain(), Codec.H264)
    known = ParameterSets(Codec.H264, sets)
    delimiter = b"\0\0\0\1\x09\xf0"
    assert known.completed(delimiter + bare, inspect(Codec.H264, delimiter + bare)) == delimiter + sets + bare


def test_a_new_set_replaces_the_one_with_its_id() -> None:
    small = inspect(Codec.H264, clips.changing()[30].payload).parameter_sets
    sets, bare = split(clips.plain(), Codec.H264)
    known = ParameterSets(Codec.H264, small)
    assert known.remember(sets)
    assert known.completed(bare, inspect(Codec.H264, bare)) == sets + bare


def test_memory_is_bounded_and_keeps_the_latest() -> None:
    known = ParameterSets(Codec.H264)
    sets, bare = split(clips.plain(), Codec.H264)
    for number in range(256):
        code = f"{number + 1:b}"  # pic_parameter_set_id as an Exp-Golomb code
        bits = "0" * (len(code) - 1) + code + "1" * 9
        bits += "0" * (-len(bits) % 8)
        known.remember(b"\0\0\0\1\x68" + int(bits, 2).to_bytes(len(bits) // 8, "big"))
    known.remember(sets)
    whole = known.completed(bare, inspect(Codec.H264, bare))
    assert len(whole) < len(bare) + len(sets) + 64 * 16
    assert sets.split(b"\0\0\0\1")[1] in whole
