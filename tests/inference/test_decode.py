from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import clips
from support.clips import Clip
from support.decoding import decode, sort

from fishladder.inference.decode import CameraDecoder, Picture, Settled
from fishladder.wire.bitstream import inspect
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec

CLIPS: dict[str, tuple[Codec, Callable[[], Clip]]] = {
    "plain": (Codec.H264, clips.plain),
    "b_frames": (Codec.H264, clips.b_frames),
    "h264_open_gop": (Codec.H264, clips.h264_open_gop),
    "intra_refresh": (Codec.H264, clips.intra_refresh),
    "long_gop": (Codec.H264, clips.long_gop),
    "changing": (Codec.H264, clips.changing),
    "silent": (Codec.H264, clips.silent),
    "h265": (Codec.H265, clips.h265),
    "h265_open_gop": (Codec.H265, clips.h265_open_gop),
    "vp8": (Codec.VP8, clips.vp8),
    "vp8_hidden": (Codec.VP8, clips.vp8_hidden),
    "vp9": (Codec.VP9, clips.vp9),
    "av1": (Codec.AV1, clips.av1),
    "av1_hierarchical": (Codec.AV1, clips.av1_hierarchical),
    "jpeg": (Codec.JPEG, clips.jpeg),
}


def numbered(clip: Clip, start: int = 0) -> list[tuple[int, bytes]]:
    return [(seq, unit.payload) for seq, unit in enumerate(clip) if seq >= start]


def shown(name: str) -> dict[int, bytes]:
    """What an uninterrupted plain decode shows of a clip."""
    codec, clip = CLIPS[name]
    # A plain decode of a stream that does not tell its pictures' order loses one while it learns the order.
    source = clips.b_frames() if name == "silent" else clip()
    return clips.plain_decode(codec, [unit.payload for unit in source])


@pytest.mark.parametrize("name", CLIPS)
def test_a_whole_clip_gives_what_a_plain_decode_gives(name: str) -> None:
    codec, clip = CLIPS[name]
    decoded = decode(codec, numbered(clip()))
    assert decoded.images == shown(name)
    hidden = {seq for seq, payload in numbered(clip()) if not inspect(codec, payload).picture}
    assert decoded.fates == dict.fromkeys(sorted(hidden), Fate.NO_PICTURE)


@pytest.mark.parametrize("name", ["plain", "intra_refresh", "long_gop", "vp8", "vp9", "av1", "jpeg"])
def test_a_picture_comes_out_at_once_when_none_is_out_of_order(name: str) -> None:
    codec, clip = CLIPS[name]
    decoder = CameraDecoder()
    for seq, payload in numbered(clip()):
        outcomes = decoder.push(seq, codec=codec, payload=payload)
        assert [outcome.seq for outcome in outcomes] == [seq]


def test_h265_without_b_frames_comes_out_at_once() -> None:
    clip = clips.encode(Codec.H265, 20, options=clips.X265)
    decoder = CameraDecoder()
    for seq, payload in numbered(clip):
        assert [outcome.seq for outcome in decoder.push(seq, codec=Codec.H265, payload=payload)] == [seq]


@settings(max_examples=40)
@given(st.sampled_from(sorted(CLIPS)), st.data())
def test_a_take_over_from_a_clean_point_changes_nothing(name: str, data: st.DataObject) -> None:
    codec, clip = CLIPS[name]
    units = numbered(clip())
    cursor = data.draw(st.integers(0, len(units) - 1), label="cursor")
    start = max(seq for seq, payload in units[: cursor + 2] if inspect(codec, payload).clean)
    decoded = decode(codec, units[start:], cursor=cursor)
    whole = decode(codec, units)
    assert decoded.images == {seq: image for seq, image in whole.images.items() if seq > cursor}
    assert decoded.fates == {seq: fate for seq, fate in whole.fates.items() if seq > cursor}


def exact_after(name: str, clip: Clip, start: int) -> set[int]:
    """Which pictures can be exact when decoding starts where `start` stands, told by times: those shown from the first
    entry point on, or for intra refresh from where a whole cycle has passed.
    """
    codec = CLIPS[name][0]
    for seq in range(start, len(clip)):
        access = inspect(codec, clip[seq].payload)
        if not access.clean and access.recovery is None:
            continue
        shown_us = clip[seq + (access.recovery or 0)].pts_us
        return {later for later in range(seq, len(clip)) if clip[later].pts_us >= shown_us}
    return set()


@pytest.mark.parametrize("name", ["plain", "b_frames", "h264_open_gop", "intra_refresh", "h265", "h265_open_gop"])
def test_without_a_clean_point_only_what_is_missing_is_no_reference(name: str) -> None:
    codec, clip = CLIPS[name]
    expected = shown(name)
    for start in range(1, len(clip()), 3):
        decoded = decode(codec, numbered(clip(), start))
        assert decoded.images == {seq: expected[seq] for seq in exact_after(name, clip(), start)}
        assert set(decoded.fates.values()) <= {Fate.NO_REFERENCE}


@pytest.mark.parametrize(("b_frames", "params"), [(2, "ref=2"), (3, "ref=4:b-pyramid=normal"), (0, "ref=3")])
def test_intra_refresh_with_b_frames_and_more_references_recovers_exactly(b_frames: int, params: str) -> None:
    x264 = f"scenecut=0:intra-refresh=1:b-adapt=0:bframes={b_frames}:{params}"
    options = {"preset": "veryfast", "x264-params": x264}
    clip = clips.encode(Codec.H264, 70, b_frames=b_frames, options=options)
    expected = clips.plain_decode(Codec.H264, [unit.payload for unit in clip])
    for start in (1, 25):
        decoded = decode(Codec.H264, numbered(clip, start))
        assert decoded.images.items() <= expected.items()
        assert len(decoded.images) >= 10
        assert set(decoded.fates.values()) == {Fate.NO_REFERENCE}


def test_primed_says_whether_the_next_unit_has_what_it_refers_to() -> None:
    decoder = CameraDecoder()
    assert not decoder.primed
    clip = clips.intra_refresh()
    primed: list[int] = []
    for seq, payload in numbered(clip, 15):
        decoder.push(seq, codec=Codec.H264, payload=payload)
        primed += [seq] if decoder.primed else []
    assert primed == list(range(28, len(clip)))
    decoder.drain()
    assert not decoder.primed


def test_units_not_wanted_are_sampled_out_once_decoded() -> None:
    decoder = CameraDecoder()
    outcomes = []
    for seq, payload in numbered(clips.b_frames()):
        outcomes += decoder.push(seq, codec=Codec.H264, payload=payload, wanted=seq % 4 == 0)
    outcomes += decoder.drain()
    decoded = sort(outcomes)
    expected = shown("b_frames")
    assert decoded.images == {seq: expected[seq] for seq in range(0, 60, 4)}
    assert decoded.of(Fate.SAMPLED_OUT) == [seq for seq in range(60) if seq % 4]


@pytest.mark.parametrize(
    ("name", "keyframes"),
    [
        ("b_frames", [0, 20, 40]),
        ("h264_open_gop", [0, 17, 37]),
        ("h265_open_gop", [0, 17, 37]),
        ("intra_refresh", [0]),
        ("vp9", [0, 20, 40]),
        ("changing", [0, 20, 30, 50, 60, 80]),
        ("jpeg", list(range(12))),
    ],
)
def test_keyframes_only_gives_each_keyframe_at_once_and_decodes_nothing_else(name: str, keyframes: list[int]) -> None:
    codec, clip = CLIPS[name]
    decoder = CameraDecoder(keyframes_only=True)
    expected = shown(name)
    for seq, payload in numbered(clip()):
        assert decoder.primed
        [outcome] = decoder.push(seq, codec=codec, payload=payload)
        if seq in keyframes:
            assert isinstance(outcome, Picture)
            assert clips.image(outcome.frame) == expected[seq]
        else:
            assert outcome == Settled(seq, Fate.SAMPLED_OUT)
    assert decoder.drain() == []


def test_keyframes_only_leaves_out_context_and_what_is_not_wanted() -> None:
    decoder = CameraDecoder(keyframes_only=True)
    clip = clips.plain()
    assert decoder.push(1, codec=Codec.H264, payload=clip[0].payload, context=True) == []
    outcomes = decoder.push(2, codec=Codec.H264, payload=clip[20].payload, wanted=False)
    assert outcomes == [Settled(2, Fate.SAMPLED_OUT)]


def test_another_codec_may_begin_at_a_clean_unit() -> None:
    decoder = CameraDecoder()
    outcomes = []
    pieces = [(Codec.H264, clips.b_frames()[:30]), (Codec.VP9, clips.vp9()[:20]), (Codec.H265, clips.h265()[:30])]
    expected: list[bytes] = []
    for codec, piece in pieces:
        for unit in piece:
            outcomes += decoder.push(len(expected), codec=codec, payload=unit.payload)
            expected.append(b"")
        images = clips.plain_decode(codec, [unit.payload for unit in piece])
        expected[-len(piece) :] = [images[seq] for seq in sorted(images)]
    outcomes += decoder.drain()
    assert sort(outcomes).images == dict(enumerate(expected))


def apart(clip: Clip) -> list[bytes]:
    """A clip's units with the parameter sets in a unit of their own before the first, and nowhere else."""
    units: list[bytes] = []
    for unit in clip:
        sets = inspect(Codec.H264, unit.payload).parameter_sets
        bare = b"\0\0\0\1" + unit.payload.rsplit(b"\0\0\1", 1)[1] if sets else unit.payload
        units += [sets, bare] if sets and not units else [bare]
    return units


def test_parameter_sets_in_a_unit_of_their_own_show_nothing_and_serve_all_that_follow() -> None:
    units = apart(clips.plain())
    expected = clips.plain_decode(Codec.H264, [unit.payload for unit in clips.plain()])
    decoder = CameraDecoder()
    decoded = decode(Codec.H264, enumerate(units), decoder=decoder)
    assert decoded.fates == {0: Fate.NO_PICTURE}
    assert decoded.images == {seq + 1: image for seq, image in expected.items()}
    # They are still known when decoding starts anew at a keyframe that has none.
    again = decode(Codec.H264, [(seq, unit) for seq, unit in enumerate(units) if seq > 10], decoder=decoder)
    assert again.of(Fate.NO_REFERENCE) == list(range(11, 21))
    assert again.images == {seq + 1: image for seq, image in expected.items() if seq >= 20}


def test_a_keyframe_whose_parameter_sets_nobody_has_is_no_reference() -> None:
    units = apart(clips.plain())[1:]
    assert set(decode(Codec.H264, enumerate(units)).fates.values()) == {Fate.NO_REFERENCE}


def test_payloads_may_be_views_into_something_larger() -> None:
    clip = clips.plain()[:5]
    whole = memoryview(b"".join(unit.payload for unit in clip))
    units, at = [], 0
    for unit in clip:
        units.append(whole[at : at + len(unit.payload)])
        at += len(unit.payload)
    decoder = CameraDecoder()
    outcomes = [
        outcome for seq, view in enumerate(units) for outcome in decoder.push(seq, codec=Codec.H264, payload=view)
    ]
    assert len(sort(outcomes).images) == 5
