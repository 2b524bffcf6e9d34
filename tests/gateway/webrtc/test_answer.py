"""What an offer is answered with, quirk by quirk of the clients there are; and that no text does harm."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.offers import AUDIO, SESSION, VIDEO, offer
from support.rtp import INTERVAL, RTX, frames, rtp

from fishladder.gateway.webrtc.answer import CannotServe, Plan, plan, write_answer
from fishladder.gateway.webrtc.sdp import Credentials, read_fragment, read_offer
from fishladder.gateway.webrtc.video import VideoStream
from fishladder.wire.errors import WireError
from fishladder.wire.unit import Codec

NAMES = ("rtpmap:", "fmtp:", "extmap:", "ssrc-group:", "simulcast:send ", "rid:", "group:BUNDLE ")


def planned(text: str) -> Plan:
    return plan(read_offer(text))


def answered(text: str) -> list[str]:
    made = write_answer(
        planned(text),
        session=1,
        local=Credentials("ours", "a" * 24),
        fingerprints=[("sha-256", "AA")],
        candidates=["1 1 udp 1 192.0.2.1 9 typ host"],
        ssrc=5,
    )
    assert made.endswith("\r\n")
    return made.split("\r\n")[:-1]


def test_passive_is_answered_to_actpass_and_active_and_active_to_passive() -> None:
    assert "a=setup:passive" in answered(offer(VIDEO))
    assert "a=setup:passive" in answered(offer(VIDEO).replace("actpass", "active"))
    assert "a=setup:active" in answered(offer(VIDEO).replace("actpass", "passive"))
    with pytest.raises(CannotServe, match="holdconn"):
        planned(offer(VIDEO).replace("actpass", "holdconn"))


def test_codecs_come_in_the_clients_order_with_their_retransmissions() -> None:
    it = planned(offer(VIDEO))
    assert it.parameters.codecs == {96: Codec.VP8, 102: Codec.H264, 104: Codec.H264, 108: Codec.H264}
    assert it.parameters.rtx == {97: 96, 103: 102}
    assert "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 104 108" in answered(offer(VIDEO))


@pytest.mark.parametrize("profile", ["42e01f", "4d001f", "640c1f", "640032", "f4001f"])
@pytest.mark.parametrize("mode", ["", "packetization-mode=0;", "packetization-mode=1;"])
def test_any_h264_profile_and_level_and_both_packetization_modes_are_taken(profile: str, mode: str) -> None:
    text = offer(VIDEO.replace("packetization-mode=1;profile-level-id=42001f", f"{mode}profile-level-id={profile}"))
    assert 102 in planned(text).parameters.codecs
    assert f"profile-level-id={profile}" in "\n".join(answered(text))


def test_the_interleaved_packetization_mode_is_not() -> None:
    text = offer(VIDEO.replace("packetization-mode=1;profile-level-id=42001f", "packetization-mode=2"))
    assert 102 not in planned(text).parameters.codecs


def test_parameter_sets_beside_the_stream_are_kept() -> None:
    told = VIDEO.replace("packetization-mode=1;", "packetization-mode=1;sprop-parameter-sets=Z0IAH6tAUB7Q,aM4yyA==;", 1)
    it = planned(offer(told))
    assert it.parameter_sets.count(b"\0\0\0\1") == 2
    assert it.parameter_sets[4] & 31 == 7
    assert "sprop" not in "\n".join(answered(offer(told)))
    assert planned(offer(told.replace("Z0IA", "!!!"))).parameter_sets == b""


def test_transport_wide_feedback_is_taken_and_remb_beside_it_or_alone() -> None:
    it = planned(offer(VIDEO))
    assert (it.parameters.transport_cc, it.parameters.abs_send_time, it.parameters.remb) == (3, 2, True)
    lines = answered(offer(VIDEO))
    assert "a=rtcp-fb:96 transport-cc" in lines
    assert "a=rtcp-fb:96 goog-remb" in lines
    for left_out, wanted in (("transport-cc", (0, 2, True)), ("goog-remb", (3, 0, False))):
        it = planned(offer(re.sub(f"a=rtcp-fb:[0-9]+ {left_out}\n", "", VIDEO)))
        assert (it.parameters.transport_cc, it.parameters.abs_send_time, it.parameters.remb) == wanted


def test_audio_is_accepted_and_ignored() -> None:
    text = offer(AUDIO, VIDEO)
    it = planned(text)
    lines = answered(text)
    assert "m=audio 9 UDP/TLS/RTP/SAVPF 111" in lines
    assert "a=group:BUNDLE 0 1" in lines
    assert it.audio_types == {111, 9}
    assert lines.count("a=candidate:1 1 udp 1 192.0.2.1 9 typ host") == 1


def test_what_is_bundled_may_describe_its_transport_in_the_first_section_only() -> None:
    bare = "\n".join(line for line in VIDEO.split("\n") if not line.startswith(("a=ice-", "a=finger", "a=setup")))
    it = planned(offer(AUDIO, bare))
    assert it.transport.credentials == Credentials("abcd", "abcdefghijklmnopqrstuvwx")
    assert it.transport.setup == "actpass"


def test_a_bundle_that_names_a_missing_section_is_no_trouble() -> None:
    assert "a=group:BUNDLE 1" in answered(offer(VIDEO).replace("BUNDLE 1", "BUNDLE 0 1 2"))


@pytest.mark.parametrize(
    ("offered", "told"),
    [("sendonly", "recvonly"), ("sendrecv", "recvonly"), ("recvonly", "inactive"), ("inactive", "inactive")],
)
def test_audio_that_is_not_sent_is_not_received(offered: str, told: str) -> None:
    lines = answered(offer(AUDIO.replace("sendonly", offered), VIDEO))
    at = lines.index("m=audio 9 UDP/TLS/RTP/SAVPF 111"), lines.index(next(one for one in lines if "m=video" in one))
    assert f"a={told}" in lines[at[0] : at[1]]
    assert "a=recvonly" in lines[at[1] :]


def test_without_a_bundle_audio_would_need_a_transport_of_its_own() -> None:
    lines = answered(offer(AUDIO, VIDEO).replace("a=group:BUNDLE 0 1\n", ""))
    assert "m=audio 0 UDP/TLS/RTP/SAVPF 111 9" in lines
    assert not any(line.startswith("a=group") for line in lines)


def test_a_data_channel_beside_video_is_turned_down() -> None:
    channel = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\na=sctp-port:5000\n"
    lines = answered(offer(VIDEO, channel).replace("BUNDLE 1", "BUNDLE 1 2"))
    assert "m=application 0 UDP/DTLS/SCTP webrtc-datachannel" in lines
    assert "a=group:BUNDLE 1" in lines


@pytest.mark.parametrize(
    ("rids", "largest"),
    [("h;m;l", "h"), ("q;h;f", "f"), ("low;mid;high", "high"), ("0;1;2", "0"), ("~a,b;c", "a"), ("only", "only")],
)
def test_simulcast_is_answered_with_the_largest_alone(rids: str, largest: str) -> None:
    rows = "".join(f"a=rid:{rid} send\n" for rid in re.split("[;,]", rids.replace("~", "")))
    text = offer(VIDEO + rows + f"a=simulcast:send {rids}\n")
    assert planned(text).parameters.wanted_rid == largest
    lines = answered(text)
    assert lines[-5:-3] == [f"a=rid:{largest} recv", f"a=simulcast:recv {largest}"]


def test_of_simulcast_encodings_with_sizes_the_larger_is_taken() -> None:
    rows = "a=rid:x send max-width=320\na=rid:y send max-width=1280;max-fps=30\na=simulcast:send x;y\n"
    assert planned(offer(VIDEO + rows)).rid == "y"


SIM = "a=ssrc-group:SIM 1 2 3\na=ssrc-group:FID 1 11\na=ssrc-group:FID 2 12\na=ssrc-group:FID 3 13\n"
SSRCS = "".join(f"a=ssrc:{ssrc} cname:x\n" for ssrc in (1, 2, 3, 11, 12, 13))


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 1, 3)])
@pytest.mark.parametrize("rows", [SIM, SIM + SSRCS, SSRCS + SIM])
def test_of_simulcast_encodings_told_by_ssrc_only_the_largest_is_taken(rows: str, order: tuple[int, ...]) -> None:
    video = VideoStream(planned(offer(VIDEO + rows)).parameters, ssrc=9)
    for number in range(5):
        for ssrc in order:
            for packet in frames([[b"%d" % ssrc]], seq=number, timestamp=number * INTERVAL, ssrc=ssrc):
                video.take_rtp(packet, 1.0 + number)  # the pauses are long enough for another to be its successor
    assert [unit.data for _, unit in video.units] == [b"3"] * 5


def test_what_other_encodings_send_again_does_not_take_a_place_in_the_one_taken() -> None:
    video = VideoStream(planned(offer(VIDEO + SIM)).parameters, ssrc=9)
    first, lost, last = frames([[b"a"], [b"b"], [b"c"]], seq=0, timestamp=0, ssrc=3)
    again = [
        rtp(0, INTERVAL, b"\0\1" + payload, marker=True, kind=RTX, ssrc=ssrc)
        for ssrc, payload in ((11, b"\x10z"), (13, lost[12:]))
    ]
    for packet in (first, last, *again):
        video.take_rtp(packet, 1.0)
    assert [unit.data for _, unit in video.units] == [b"a", b"b", b"c"]


def test_beside_rids_ssrcs_need_not_tell_which_encoding_is_which() -> None:
    rows = "a=rid:h send\na=rid:l send\na=simulcast:send h;l\n"
    assert planned(offer(VIDEO + rows + SIM + SSRCS)).parameters.others == {11, 12, 13}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (offer(AUDIO), "no video"),
        (offer(VIDEO, VIDEO.replace("a=mid:1", "a=mid:2")), "2 video tracks"),
        (offer(VIDEO.replace("sendonly", "recvonly")), "recvonly"),
        (offer(VIDEO.replace("m=video 9", "m=video 0")), "no video"),
        (offer(re.sub("VP8|H264", "VP9", VIDEO)), "VP9"),
        (offer(VIDEO.replace("a=rtcp-mux\n", "")), "rtcp-mux"),
        (offer(VIDEO.replace("sha-256", "sha-1")), "fingerprint"),
        (offer(VIDEO.replace("a=ice-ufrag:abcd\n", "")), "ICE credentials"),
        (SESSION + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:0\n", "no video"),
    ],
)
def test_what_cannot_be_served_is_said(text: str, reason: str) -> None:
    with pytest.raises(CannotServe, match=reason):
        planned(text)


@pytest.mark.parametrize(
    "text",
    ["", "hello", "v=1\n", "v=0\n", "v=0\nm=video x UDP 96\n", "v=0\nm=video 9 UDP 200\n", "v=0\n" * 5000, "v=0\nm=\n"]
    + [offer(VIDEO) + row for row in ("a=candidate:1\n", "a=fingerprint:x\n", "a=setup:no\n", "a=ssrc:x y\n", "xyz\n")]
    + [offer(VIDEO, AUDIO.replace("a=mid:0", "a=mid:1"))]
    + [offer(VIDEO.replace("m=video 9 ", f"m=video {'9' * 5000} "))]
    + [offer(VIDEO) + f"a=rid:x send {key}={'9' * 5000}\na=simulcast:send x\n" for key in ("max-width", "max-fs")],
)
def test_what_makes_no_sense_is_said(text: str) -> None:
    with pytest.raises(WireError) as raised:
        planned(text)
    assert not isinstance(raised.value, CannotServe)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_an_offer_with_lines_lost_doubled_or_spoilt_is_answered_or_refused(data: st.DataObject) -> None:
    lines = offer(AUDIO, VIDEO).split("\n")
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.integers(0, 3)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, data.draw(st.sampled_from(lines)))
            case 2:
                cut = data.draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:cut] + data.draw(st.text(max_size=8)) + lines[at][cut + 1 :]
            case _:
                lines[at] = (
                    "a="
                    + data.draw(
                        st.sampled_from(
                            ["rtpmap:", "fmtp:", "extmap:", "ssrc-group:", "simulcast:send ", "rid:", "group:BUNDLE "]
                        )
                    )
                    + data.draw(st.text("0123456789/;=, abc", max_size=20))
                )
        if not lines:
            return
    try:
        answered("\n".join(lines))
    except WireError:
        return


@given(st.text(max_size=200))
def test_no_text_does_harm(text: str) -> None:
    for read in (read_offer, read_fragment):
        for some in (text, "v=0\n" + text, "a=ice-ufrag:" + text, "a=candidate:" + text):
            try:
                read(some)  # type: ignore[operator]
            except WireError:
                continue
