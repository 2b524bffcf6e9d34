"""RTCP, RTP headers and payload formats, against what aiortc reads and writes."""

import struct

import pytest
from aiortc import rtp as aiortc_rtp
from aiortc.codecs.h264 import H264PayloadDescriptor
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st
from support import rtp as senders

from fishladder.gateway.webrtc import depayload, rtcp, rtp
from fishladder.gateway.webrtc.sender_clock import SenderClock
from fishladder.gateway.webrtc.transport_cc import MOST_PACKETS, TransportFeedback
from fishladder.wire.errors import WireError

ssrcs = st.integers(0, 2**32 - 1)


@given(st.integers(0, 65_535), st.sets(st.integers(0, 500), min_size=1, max_size=80))
def test_nack_names_exactly_what_is_missing(first: int, offsets: set[int]) -> None:
    seqs = [first + offset for offset in sorted(offsets)]
    [read] = aiortc_rtp.RtcpPacket.parse(rtcp.nack(1, 2, seqs))
    assert sorted((seq - first) & 0xFFFF for seq in read.lost) == sorted(offsets)
    assert (read.ssrc, read.media_ssrc) == (1, 2)


@given(st.integers(1000, 2**31), st.lists(ssrcs, min_size=1, max_size=4))
def test_remb_says_the_rate_to_a_part_in_2_to_the_17(rate: int, media: list[int]) -> None:
    [read] = aiortc_rtp.RtcpPacket.parse(rtcp.remb(1, rate, media))
    told, whose = aiortc_rtp.unpack_remb_fci(read.fci)
    assert whose == media
    assert 0 <= rate - told <= rate / 2**17


@given(st.lists(st.tuples(ssrcs, st.integers(0, 255), st.integers(-(2**23), 2**23 - 1), ssrcs), max_size=4))
def test_receiver_reports_are_read_as_they_were_meant(blocks: list[tuple[int, int, int, int]]) -> None:
    told = [rtcp.Block(ssrc, lost, total, highest, 7, 8, 9) for ssrc, lost, total, highest in blocks]
    [read] = aiortc_rtp.RtcpPacket.parse(rtcp.receiver_report(5, told))
    assert [(one.ssrc, one.fraction_lost, one.packets_lost, one.highest_sequence) for one in read.reports] == blocks


def test_sender_reports_and_goodbyes_are_found_in_a_compound() -> None:
    sender = aiortc_rtp.RtcpSrPacket(3, aiortc_rtp.RtcpSenderInfo(11 << 32, 22, 0, 0))
    names = aiortc_rtp.RtcpSdesPacket([aiortc_rtp.RtcpSourceInfo(3, [(1, b"me")])])
    data = bytes(sender) + bytes(names) + bytes(aiortc_rtp.RtcpByePacket([3, 4]))
    assert rtcp.parse(data) == [rtcp.SenderReport(3, 11 << 32, 22), rtcp.Bye((3, 4))]


@given(st.binary(max_size=200))
def test_rtcp_is_read_or_refused(data: bytes) -> None:
    for some in (data, b"\x81\xc8\x00\x06" + data, b"\x9f\xcb" + data):
        try:
            rtcp.parse(some)
        except WireError:
            continue


@given(st.binary(max_size=120), st.sampled_from([0x80, 0x90, 0xA0, 0xB3]), st.sampled_from([0xBEDE, 0x1000, 0x1005]))
def test_rtp_headers_are_read_as_aiortc_reads_them_or_refused(data: bytes, first: int, profile: int) -> None:
    data = bytes((first,)) + data
    try:
        read = rtp.parse(data)
    except WireError:
        with pytest.raises((ValueError, struct.error, IndexError)):
            aiortc_rtp.RtpPacket.parse(data)
        return
    try:
        known = aiortc_rtp.RtpPacket.parse(data)
    except ValueError:
        return  # it refuses a packet for a bad extension; we only pass over that one
    assert (read.seq, read.timestamp, read.ssrc, read.payload) == (
        known.sequence_number,
        known.timestamp,
        known.ssrc,
        known.payload,
    )


@given(st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=5), st.binary(max_size=20))
def test_header_extensions_come_by_their_number(extensions: dict[int, bytes], payload: bytes) -> None:
    read = rtp.parse(senders.rtp(1, 2, payload, extensions=extensions))
    assert (read.extensions or {}) == extensions
    assert read.payload == payload


@given(st.binary(max_size=60))
def test_h264_payloads_are_what_aiortc_makes_of_them(payload: bytes) -> None:
    try:
        made = depayload.h264(payload)
    except WireError:
        if len(payload) >= 2 and payload[0] & 31 == 24:
            return  # an aggregate with an empty part or a rest, of which aiortc makes empty NAL units
        with pytest.raises(ValueError, match=r".+"):
            H264PayloadDescriptor.parse(payload)
        return
    if payload[0] & 31 != 24:
        assert made == H264PayloadDescriptor.parse(payload)[1]


@given(st.binary(max_size=20))
def test_vp8_payloads_are_what_aiortc_makes_of_them(payload: bytes) -> None:
    try:
        made = depayload.vp8(payload)
    except WireError:
        return
    try:
        assert made == VpxPayloadDescriptor.parse(payload)[1]
    except ValueError:
        return


@given(
    st.lists(st.tuples(st.integers(1, 40), st.floats(0, 0.4)), min_size=1, max_size=150),
    st.integers(0, 65_535),
    st.data(),
)
def test_feedback_reports_every_packet_once_at_its_time(
    steps: list[tuple[int, float]], first: int, data: st.DataObject
) -> None:
    feedback, at, number = TransportFeedback(1), 1000.0, first
    came = {}
    for step, pause in steps:
        number, at = number + step, at + pause
        came[number & 0xFFFF] = at
    order = list(came.items())
    if data.draw(st.booleans()):
        order = order[:1] + order[:0:-1]
    messages = []
    for index, (seq, when) in enumerate(order):
        feedback.arrived(seq, when)
        if index % 50 == 49:
            messages += feedback.take(9)
    told = senders.arrivals([*messages, *feedback.take(9)])
    assert {seq: at for seq, at in told.items() if at is not None}.keys() == came.keys()
    assert all(abs(told[seq] - came[seq]) <= 0.00025 for seq in came)  # type: ignore[operator]


jumps = st.integers(-(2**15), 2**15 - 1) | st.integers(MOST_PACKETS - 2, MOST_PACKETS + 2).flatmap(
    lambda far: st.sampled_from([far, -far])
)


@given(st.integers(0, 65_535), st.lists(jumps, min_size=1, max_size=12))
def test_feedback_reports_what_came_last_however_far_the_numbers_have_jumped(number: int, by: list[int]) -> None:
    feedback = TransportFeedback(1)
    feedback.arrived(number, 1000.0)
    feedback.take(9)
    for turn, jump in enumerate(by, 1):
        number, at = (number + jump) & 0xFFFF, 1000.0 + turn
        feedback.arrived(number, at)
        told = senders.arrivals(feedback.take(9))
        assert told[number] == pytest.approx(at, abs=0.00025)


def test_a_senders_clock_shows_how_long_a_unit_waited() -> None:
    clock = SenderClock()
    assert clock.wall_us(0) is None
    clock.reported((2_208_988_800 + 1_000) << 32, 90_000)
    assert clock.wall_us(90_000 + 45_000) == 1_000_500_000
    first = clock.offset_us(1_000_000_000, 5_000_020_000)
    assert first == 4_000_020_000
    assert clock.offset_us(1_000_100_000, 5_000_110_000) == 4_000_010_000, "this one was faster"
    late = 5_000_900_000 - (1_000_200_000 + clock.offset_us(1_000_200_000, 5_000_900_000))
    assert late == 690_000
    clock.reported((2_208_988_800 + 9_000) << 32, 90_000)  # it was set
    assert clock.offset_us(9_000_000_000, 6_000_000_000) == -3_000_000_000
