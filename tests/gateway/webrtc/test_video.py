"""RTP packets become access units: each once, whole, in order, whatever the network does to them; what is missing is
asked for with restraint.
"""

import random
import struct
from itertools import pairwise

import pytest
from aiortc.rtp import unpack_remb_fci
from hypothesis import given, settings
from hypothesis import strategies as st
from support import rtp
from support.rtp import INTERVAL, RTX, RTX_SSRC, SSRC, VP8, frames

from fishladder.gateway.webrtc.agreed import Parameters
from fishladder.gateway.webrtc.assembler import Assembled
from fishladder.gateway.webrtc.nack import MOST_ASKED
from fishladder.gateway.webrtc.reorder import HOLE_S
from fishladder.gateway.webrtc.video import PLI_EVERY_S, VideoStream
from fishladder.wire.unit import Codec

AGREED = Parameters({VP8: Codec.VP8}, {RTX: VP8}, others=frozenset({RTX_SSRC}), reduced=True)
Frames = list[list[bytes]]
some_frames = st.lists(st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=5), min_size=1, max_size=30)


def stream(agreed: Parameters = AGREED, **options: int) -> VideoStream:
    return VideoStream(agreed, ssrc=1, **options)


def feed(video: VideoStream, packets: list[bytes], *, now: float = 0.0, step_s: float = 0.001) -> list[Assembled]:
    for packet in packets:
        now += step_s
        video.poll(now)
        video.take_rtp(packet, now)
    return [unit for _, unit in video.units]


def joined(some: Frames) -> list[bytes]:
    return [b"".join(parts) for parts in some]


@given(some_frames)
def test_in_order_every_unit_comes_with_its_last_packet(some: Frames) -> None:
    units = feed(stream(), frames(some))
    assert [unit.data for unit in units] == joined(some)
    assert [unit.ticks for unit in units] == [number * INTERVAL for number in range(len(some))]
    assert not any(unit.after_loss for unit in units)


@given(some_frames, st.randoms(use_true_random=False))
def test_reordered_repeated_and_padded_packets_change_nothing(some: Frames, rng: random.Random) -> None:
    sent = frames(some)
    shuffled = sent[:1]  # the first packet says where the sequence begins
    rest = sent[1:]
    while rest:
        shuffled.append(rest.pop(rng.randrange(min(len(rest), 8))))
        if rng.random() < 0.2:
            shuffled.append(shuffled[-1])
    units = feed(stream(), shuffled)
    assert [unit.data for unit in units] == joined(some)
    assert not any(unit.after_loss for unit in units)


@settings(max_examples=200)
@given(some_frames, st.data())
def test_after_a_loss_only_whole_units_come_and_the_first_says_so(some: Frames, data: st.DataObject) -> None:
    some = [*some, *([[b"end"]] * 3)]
    sent = frames(some)
    lost = data.draw(st.sets(st.integers(1, max(1, len(sent) - 6)), max_size=6))
    # Slow enough that each hole is given up.
    kept = [packet for index, packet in enumerate(sent) if index not in lost]
    units = feed(stream(), kept, step_s=HOLE_S + 0.01)
    whole = {number * INTERVAL: unit for number, unit in enumerate(joined(some))}
    ticks = [unit.ticks for unit in units]
    assert ticks == sorted(set(ticks))
    assert all(whole[unit.ticks] == unit.data for unit in units)
    expected = 0
    for unit in units:
        assert unit.after_loss or unit.ticks == expected
        expected = unit.ticks + INTERVAL


@given(some_frames)
def test_a_sender_without_markers_or_with_one_on_every_packet_is_understood(some: Frames) -> None:
    units = feed(stream(), frames([*some, [b"end"]], markers="none"))
    assert [unit.data for unit in units] == joined(some)
    units = feed(stream(), frames([[b"a", b"b"], *some, [b"end"]], markers="all"))
    assert [unit.data for unit in units][-len(some) :] == joined(some)


def test_a_retransmission_in_its_own_stream_fills_the_hole() -> None:
    sent = frames([[b"a", b"b"], [b"c"], [b"d"]])
    video = stream()
    units = feed(video, [sent[0], sent[2], sent[3], rtp.repeated(sent[1], 900)])
    assert [unit.data for unit in units] == [b"ab", b"c", b"d"]
    assert video.counts.retransmitted == 1


def test_a_sender_that_begins_anew_goes_on_in_time() -> None:
    video = stream()
    feed(video, frames([[b"a"], [b"b"]]))
    again = frames([[b"c"]], seq=5, timestamp=123, ssrc=9)
    unit = feed(video, again, now=1.0)[-1]
    assert (unit.data, unit.after_loss) == (b"c", True)
    assert INTERVAL + 80_000 < unit.ticks < INTERVAL + 100_000


def test_a_second_encoding_beside_the_first_is_passed_over() -> None:
    video = stream()
    first, second = frames([[b"a"]] * 20), frames([[b"z"]] * 20, ssrc=9)
    mixed = [packet for pair in zip(first, second, strict=True) for packet in pair]
    assert {unit.data for unit in feed(video, mixed)} == {b"a"}


@given(some_frames, st.sampled_from(["last", "none"]))
def test_a_unit_that_never_ends_is_given_up_at_the_limit(some: Frames, markers: str) -> None:
    video = stream(unit_bytes=100)
    some = [[b"before"], *some, [b"end"]]
    sent = frames([some[0], [b"x"] * 1000, *some[1:]], markers=markers)
    units = feed(video, sent)
    assert video.counts.damaged_units == 1
    assert [unit.data for unit in units] == joined(some)[: len(units)]
    assert len(units) >= len(some) - (markers == "none")
    assert [unit.after_loss for unit in units[:3]] == [False, True, False][: len(units)]


def test_a_keyframe_of_thousands_of_packets() -> None:
    [unit] = feed(stream(), frames([[b"x" * 1200] * 3000]))
    assert len(unit.data) == 3_600_000


def test_a_hole_is_asked_for_a_few_times_and_then_given_up_with_a_plea_for_a_keyframe() -> None:
    sent = frames([[b"a"], [b"b"], [b"c"], [b"d"]])
    video = stream()
    feed(video, [sent[0], sent[2], sent[3]])
    video.outgoing.clear()
    asked, now = [], 0.0
    while now < 2.0:
        now = video.next_at
        video.poll(now)
        asked += [(round(now, 3), seq) for seq in rtp.nacked(video.outgoing)]
        if video.counts.given_up:
            break
        video.outgoing.clear()
    assert 2 <= len(asked) <= MOST_ASKED
    assert {seq for _, seq in asked} == {rtp.seq_of(sent[1])}
    assert asked[0][0] >= 0.005, "what is only a little late is not asked for"
    assert HOLE_S <= now <= HOLE_S + 0.01, "the timer gives it up, no packet has to come"
    assert [unit.data for _, unit in video.units] == [b"a", b"d"], "c may be the end of another unit"
    assert video.counts.given_up == 1


def test_where_packets_overtake_each_other_they_are_waited_for() -> None:
    video = stream()
    now, asked = 0.0, []
    sent = frames([[b"x"]] * 200)
    order = [index for at in range(0, 200, 4) for index in (at, at + 2, at + 3, at + 1)]
    for index in order:  # every fourth is overtaken by two, 10 ms apart
        now += 0.01
        video.poll(now)
        video.take_rtp(sent[index], now)
        asked.append(len(rtp.nacked(video.outgoing)))
        video.outgoing.clear()
    assert sum(asked[:20]) > 0
    assert sum(asked[100:]) == 0
    assert len(video.units) == 200


def test_where_answers_take_long_holes_are_waited_for_longer() -> None:
    """A round trip of 350 ms: the first answers come too late, and are learnt from."""
    video = stream()
    sent = frames([[b"x"]] * 300)
    answers: dict[float, bytes] = {}
    for index, packet in enumerate(sent):
        now = index * 0.04
        for at in sorted(at for at in answers if at <= now):
            video.take_rtp(answers.pop(at), at)
        video.poll(now)
        if index % 20 != 10:
            video.take_rtp(packet, now)
        for number in rtp.nacked(video.outgoing):
            lost = sent[(number - 65_500) % 65_536]
            answers[now + 0.35 + len(answers) / 1e6] = rtp.repeated(lost, number + len(answers))
        video.outgoing.clear()
    damaged = [index for index, (_, unit) in enumerate(video.units) if unit.after_loss]
    assert damaged, "at first they are given up"
    assert damaged[-1] < 150, "later they are not"


def test_a_burst_of_losses_is_asked_for_in_portions() -> None:
    sent = frames([[b"x"] * 400, [b"end"]])
    video = stream()
    feed(video, [sent[0], sent[-1]])
    messages, now = [], 0.0
    while now < HOLE_S:
        now = max(video.next_at, now + 0.001)
        video.outgoing.clear()
        video.poll(now)
        messages.append((now, len(rtp.nacked(video.outgoing))))
    busy = [(at, count) for at, count in messages if count]
    assert all(count <= 48 for _, count in busy)
    assert all(later - earlier >= 0.009 for (earlier, _), (later, _) in pairwise(busy))


@given(st.lists(st.floats(0.001, 0.3), min_size=1, max_size=60))
def test_keyframes_are_asked_for_once_a_second_at_most(pauses: list[float]) -> None:
    video, now, asked = stream(), 0.0, []
    video.connected(now)
    for number, pause in enumerate(pauses):
        now += pause
        video.poll(now)
        video.take_rtp(frames([[b"x"]], seq=number * 2)[0], now)  # every second packet is lost
        video.want_keyframe(now)
        asked += [now] * rtp.plis(video.outgoing)
        video.outgoing.clear()
    assert asked, "the first picture may have been sent before anybody listened"
    assert all(later - earlier >= PLI_EVERY_S for earlier, later in pairwise(asked))


def test_without_reduced_size_feedback_follows_a_report() -> None:
    video = stream(Parameters({VP8: Codec.VP8}))
    video.take_rtp(frames([[b"a"]])[0], 1.0)
    [message] = video.outgoing
    assert [one.kind for one in rtp.rtcp([message])] == [201, 206]


def test_transport_wide_feedback_tells_when_each_packet_came() -> None:
    video = stream(Parameters({VP8: Codec.VP8}, transport_cc=5, reduced=True))
    came = {}
    for number in range(200):
        at = 100 + number * 0.0037
        if number % 7 == 3:
            continue
        packet = rtp.rtp(number, 0, b"\x10x", extensions={5: struct.pack(">H", 65_500 + number & 0xFFFF)})
        video.poll(at)
        video.take_rtp(packet, at)
        came[65_500 + number & 0xFFFF] = at
    video.poll(200.0)
    told = rtp.arrivals(video.outgoing)
    heard = {number: at for number, at in told.items() if at is not None}
    assert heard.keys() == came.keys()
    first = min(came)
    assert all(abs((heard[n] - heard[first]) - (came[n] - came[first])) < 0.0006 for n in came)
    assert sum(at is None for at in told.values()) >= 27


@pytest.mark.parametrize(("fps", "wakes"), [(30, False), (10, True)])
def test_feedback_goes_with_a_picture_that_comes_soon_and_else_by_itself_after_50_ms(fps: int, wakes: bool) -> None:
    video = stream(Parameters({VP8: Codec.VP8}, transport_cc=5, reduced=True))
    came: dict[int, float] = {}
    told: dict[int, float] = {}
    woken = 0

    def heard(now: float) -> int:
        new = dict.fromkeys(rtp.arrivals(video.outgoing), now)
        told.update(new)
        video.outgoing.clear()
        return len(new)

    for number in range(60):
        picture, last = divmod(number, 2)
        now = 100 + picture / fps + last * 0.001
        while video.next_at <= now:
            at = video.next_at
            video.poll(at)
            woken += bool(heard(at))
        extensions = {5: struct.pack(">H", number)}
        video.take_rtp(rtp.rtp(number, picture * 3000, b"\x10x", marker=bool(last), extensions=extensions), now)
        came[number] = now
        heard(now)
    assert came.keys() - told.keys() <= {58, 59}, "only the last picture waits for another"
    assert all(at - came[number] < 0.051 for number, at in told.items())
    assert bool(woken) == wakes


def test_a_sender_whose_pictures_queue_is_told_of_less_than_came_again_and_again_and_another_is_not() -> None:
    told: dict[int, list[int]] = {}
    for link_bps in (800_000, 10_000_000):
        video = stream(Parameters({VP8: Codec.VP8}, transport_cc=5, abs_send_time=3, remb=True, reduced=True))
        for number in range(300):
            sent = number * 0.008
            at = max(sent, (number + 1) * 1000 * 8 / link_bps) + 0.02
            stamp = int(sent * (1 << 18)).to_bytes(3, "big")
            extensions = {3: stamp, 5: struct.pack(">H", number)}
            video.poll(at)
            video.take_rtp(rtp.rtp(number, number // 8 * 5760, b"\x10" + bytes(970), extensions=extensions), at)
        bounds = [one.body[8:] for one in rtp.rtcp(video.outgoing) if (one.kind, one.form) == (206, 15)]
        assert all(unpack_remb_fci(one)[1] == [SSRC] for one in bounds)
        told[link_bps] = [unpack_remb_fci(one)[0] for one in bounds]
    assert told[10_000_000] == []
    assert len(told[800_000]) >= 2
    assert all(0.75 * 800_000 < bits < 0.9 * 800_000 for bits in told[800_000])


def test_reports_say_what_was_lost() -> None:
    video = stream()
    video.connected(0.0)
    sent = frames([[b"x"]] * 100)
    feed(video, [packet for index, packet in enumerate(sent) if index % 10 != 5])
    video.outgoing.clear()
    video.poll(1.5)
    [report] = [one for one in rtp.rtcp(video.outgoing) if one.kind == 201]
    ssrc, lost = struct.unpack_from(">II", report.body, 4)
    assert (ssrc, lost >> 24, lost & 0xFFFFFF) == (SSRC, 10 * 256 // 100, 10)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=80), st.floats(0, 0.3)), max_size=40))
def test_no_packet_does_harm(some: list[tuple[bool, bytes, float]]) -> None:
    video, now = stream(), 0.0
    for control, data, pause in some:
        now += pause
        video.poll(now)
        (video.take_rtcp if control else video.take_rtp)(data, now)
        (video.take_rtcp if control else video.take_rtp)(b"\x80" + bytes((VP8,)) + data, now)
        assert video.next_at > now or video.next_at == float("inf") or video.poll(now) is None
    video.units.clear()
    feed(video, frames([[b"before"], [b"after"]], ssrc=99), now=now + 10)
    assert [unit.data for _, unit in video.units][-1] == b"after"


KEY, DELTA = (b"\x10\x00\x00\x9d\x01\x2a\x10\x00\x10\x00", b"\x11\x00\x00")  # heads of VP8 frames
LARGE, SMALL = 3, 1
SIMULCAST = Parameters({VP8: Codec.VP8}, ssrc=LARGE, encodings=(LARGE, SMALL), reduced=True)


class Encoder:
    """One encoding of a sender: a keyframe first, and when it is asked for one, which takes it some pictures. Its
    pictures are as long as it takes to tell them from each other and from another encoding's.
    """

    def __init__(self, ssrc: int, timestamp: int) -> None:
        self.ssrc, self.asked = ssrc, 0
        self.sent: list[bytes] = []
        self._timestamp = timestamp
        self._seq = 1000 * ssrc

    def ask(self, messages: list[bytes]) -> None:
        for one in rtp.rtcp(messages):
            if (one.kind, one.form) == (206, 1) and one.body[4:8] == self.ssrc.to_bytes(4, "big"):
                self.asked = 3

    def next(self, at: float) -> list[bytes]:
        self.asked -= self.asked > 0
        head = KEY if not self.sent or self.asked == 1 else DELTA
        unit = head + b"%d-%d" % (self.ssrc, len(self.sent))
        self.sent.append(unit)
        parts, timestamp = [unit[:12], unit[12:]], int(self._timestamp + at * 90_000)
        made = rtp.frames([[part for part in parts if part]], seq=self._seq, timestamp=timestamp, ssrc=self.ssrc)
        self._seq += len(made)
        return made


def test_while_the_largest_encoding_is_silent_another_is_taken_from_keyframe_to_keyframe() -> None:
    video, now = stream(SIMULCAST), 0.0
    large, small = Encoder(LARGE, 7_000_000), Encoder(SMALL, 2**32 - 90_000)
    came: list[tuple[float, Assembled]] = []
    for until, some in ((5, [small, large]), (12, [small]), (25, [small, large])):
        while now < until:
            now += 1 / 15
            for encoder in some:
                for packet in encoder.next(now):
                    video.poll(now)
                    video.take_rtp(packet, now)
            for encoder in (large, small):
                encoder.ask(video.outgoing)
            video.outgoing.clear()
            came += [(now, unit) for _, unit in video.units]
            video.units.clear()
    whose = [unit.data[unit.data.index(b"-") - 1] - ord("0") for _, unit in came]
    changes = [index for index in range(1, len(whose)) if whose[index] != whose[index - 1]]
    assert [whose[0], *(whose[index] for index in changes)] == [LARGE, SMALL, LARGE]
    firsts = [came[index][1] for index in changes]
    assert all(unit.data.startswith(KEY) and unit.after_loss for unit in firsts)
    rest = [unit for index, (_, unit) in enumerate(came) if index not in changes]
    assert not any(unit.after_loss for unit in rest), "each encoding comes whole while it is taken"
    to_small, to_large = changes
    assert 2 < came[to_small][0] - 5 < 2.6
    assert came[to_large][0] - came[to_large - 1][0] < 0.1, "the small one is taken until the large one begins"
    ticks = [unit.ticks for _, unit in came]
    assert ticks == sorted(set(ticks))
    assert all(abs(unit.ticks / 90_000 - (at - came[0][0])) < 0.1 for at, unit in came), "one timeline for both"
    for encoder in (large, small):
        sent = [unit.data for ssrc, (_, unit) in zip(whose, came, strict=True) if ssrc == encoder.ssrc]
        assert len(set(sent)) == len(sent)
        assert set(sent) <= set(encoder.sent)
    assert video.counts.given_up == video.counts.damaged_units == 0
