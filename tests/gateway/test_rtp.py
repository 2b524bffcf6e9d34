"""RTP packets become access units: each once, whole, in order, whatever the network does to them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fishladder.gateway.rtp import HOLE_S, Assembled, Assembler, Packet

Frames = list[list[bytes]]
frames = st.lists(st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=5), min_size=1, max_size=30)
INTERVAL = 3600  # 25 pictures a second


def packets(
    given_frames: Frames, *, seq: int = 65_500, timestamp: int = 2**32 - 9000, markers: str = "last"
) -> list[Packet]:
    made = []
    for number, parts in enumerate(given_frames):
        for index, part in enumerate(parts):
            marker = markers == "all" or (markers == "last" and index == len(parts) - 1)
            stamp = (timestamp + number * INTERVAL) % 2**32
            made.append(Packet(7, seq % 65_536, stamp, marker, part))
            seq += 1
    return made


def feed(assembler: Assembler, some: list[Packet], *, now: float = 0.0, step_s: float = 0.001) -> list[Assembled]:
    units = []
    for packet in some:
        now += step_s
        units += assembler.push(packet, now)
    return units


@given(frames)
def test_in_order_every_unit_comes_with_its_last_packet(some: Frames) -> None:
    units = feed(Assembler(), packets(some))
    assert [unit.data for unit in units] == [b"".join(parts) for parts in some]
    assert [unit.ticks for unit in units] == [number * INTERVAL for number in range(len(some))]
    assert not any(unit.after_loss for unit in units)


@given(frames, st.randoms(use_true_random=False))
def test_reordered_repeated_and_padded_packets_change_nothing(some: Frames, rng: object) -> None:
    sent = packets(some)
    shuffled = sent[:1]  # the first packet says where the sequence begins
    rest = sent[1:]
    while rest:
        window = min(len(rest), 8)
        shuffled.append(rest.pop(rng.randrange(window)))  # type: ignore[attr-defined]
        if rng.random() < 0.2:  # type: ignore[attr-defined]
            shuffled.append(shuffled[-1])
    units = feed(Assembler(), shuffled)
    assert [unit.data for unit in units] == [b"".join(parts) for parts in some]
    assert not any(unit.after_loss for unit in units)


@settings(max_examples=200)
@given(frames, st.data())
def test_after_a_loss_only_whole_units_come_and_the_first_says_so(some: Frames, data: st.DataObject) -> None:
    sent = packets([*some, *([[b"end"]] * 3)])
    lost = data.draw(st.sets(st.integers(1, max(1, len(sent) - 6)), max_size=6))
    # Slow enough that each hole is given up.
    units = feed(Assembler(), [packet for index, packet in enumerate(sent) if index not in lost], step_s=HOLE_S + 0.01)
    whole = {number * INTERVAL: b"".join(parts) for number, parts in enumerate([*some, *([[b"end"]] * 3)])}
    ticks = [unit.ticks for unit in units]
    assert ticks == sorted(set(ticks))
    assert all(whole[unit.ticks] == unit.data for unit in units)
    expected = 0
    for unit in units:
        assert unit.after_loss == (unit.ticks != expected) or unit.after_loss
        expected = unit.ticks + INTERVAL


@given(frames)
def test_a_sender_without_markers_or_with_one_on_every_packet_is_understood(some: Frames) -> None:
    units = feed(Assembler(), packets([*some, [b"end"]], markers="none"))
    assert [unit.data for unit in units] == [b"".join(parts) for parts in some]
    units = feed(Assembler(), packets([[b"a", b"b"], *some, [b"end"]], markers="all"))
    assert [unit.data for unit in units][-len(some) :] == [b"".join(parts) for parts in some]


def test_a_retransmission_in_time_fills_the_hole() -> None:
    sent = packets([[b"a", b"b"], [b"c"], [b"d"]])
    late = [sent[0], sent[2], sent[3], sent[1]]
    assert [unit.data for unit in feed(Assembler(), late)] == [b"ab", b"c", b"d"]


def test_a_sender_that_begins_anew_goes_on_in_time() -> None:
    assembler = Assembler()
    feed(assembler, packets([[b"a"], [b"b"]]))
    again = [packet._replace(ssrc=8, seq=5, timestamp=123) for packet in packets([[b"c"]])]
    [unit] = feed(assembler, again, now=1.0)
    assert unit.after_loss
    assert INTERVAL + 80_000 < unit.ticks < INTERVAL + 100_000


@given(frames, st.sampled_from(["last", "none"]))
def test_a_unit_that_never_ends_is_given_up_at_the_limit(some: Frames, markers: str) -> None:
    assembler = Assembler(unit_bytes=100)
    some = [[b"before"], *some, [b"end"]]
    sent = packets([some[0], [b"x"] * 1000, *some[1:]], markers=markers)
    units = feed(assembler, sent[:800])
    assert assembler.broken, "so that a keyframe is asked for"
    units += feed(assembler, sent[800:], now=1.0)
    whole = [b"".join(parts) for parts in some]
    assert [unit.data for unit in units] == whole[: len(units)]
    assert len(units) >= len(whole) - (markers == "none")
    assert [unit.after_loss for unit in units[:3]] == [False, True, False][: len(units)]


def test_a_keyframe_of_thousands_of_packets() -> None:
    [unit] = feed(Assembler(), packets([[b"x" * 1200] * 3000]))
    assert len(unit.data) == 3_600_000
