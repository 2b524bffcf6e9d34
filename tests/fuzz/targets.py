"""What is fuzzed: each function takes any bytes and returns, or fails with what it must not do. A parser may refuse
with our `WireError`; another exception, a result that breaks its promise, or one too big, is a finding.
"""

import contextlib
from collections.abc import Callable

from fishladder.gateway.hello import check_hello
from fishladder.gateway.limits import MOST_SEQ
from fishladder.gateway.rtp import MAX_HELD, Assembler, Packet
from fishladder.gateway.session import LogSession, OutOfStep
from fishladder.gateway.tokens import bearer
from fishladder.wire import messages, open_set, result
from fishladder.wire.bitstream import ParameterSets, dimensions, h264_sps, h265, inspect, read_extradata, to_annexb
from fishladder.wire.bitstream.h264 import set_id
from fishladder.wire.entry import read_entry
from fishladder.wire.errors import AuthRefused, WireError
from fishladder.wire.framing import Reassembler, UnitMessage
from fishladder.wire.ids import MAX_SEQ, Position, check_camera
from fishladder.wire.messages import Policy
from fishladder.wire.unit import UNIT_HEADER_BYTES, Codec, Flag, Range, Unit

Target = Callable[[bytes], None]
_HELD_BYTES = 100_000


class _Nobody:
    def advanced(self, session: LogSession) -> None: ...
    def fenced(self, session: LogSession, reason: str) -> None: ...
    def keyframe_wanted(self, session: LogSession) -> None: ...
    def policy_changed(self, session: LogSession, policy: Policy) -> None: ...


def unit(data: bytes) -> None:
    with contextlib.suppress(WireError):
        read = Unit.unpack(data)
        assert read.pack() == data
        assert 0 < read.epoch <= MAX_SEQ


def range_(data: bytes) -> None:
    with contextlib.suppress(WireError):
        read = Range.unpack(data)
        assert Range.unpack(read.pack()) == read
        assert 0 < read.first <= read.last <= MAX_SEQ


def fragments(data: bytes) -> None:
    """A connection's messages, each behind its length."""
    inbox = Reassembler(max_unit_bytes=10_000, max_held_bytes=_HELD_BYTES)
    try:
        for message in _pieces(data):
            whole = inbox.feed(message)
            assert 0 <= inbox.held_bytes <= _HELD_BYTES
            if isinstance(whole, UnitMessage):
                assert UNIT_HEADER_BYTES < len(whole.data) <= 10_000
    except WireError:
        return
    for channel in range(256):
        inbox.forget(channel)


def session(data: bytes) -> None:
    """Units and ranges of one camera, first byte of each says which, on both lanes."""
    it = LogSession(
        camera="a/b",
        partition=0,
        token="t",
        epoch=1,
        next=1,
        committed=0,
        owner=_Nobody(),
        defers=True,
    )
    for message in _pieces(data):
        before = it.next
        with contextlib.suppress(WireError, OutOfStep):
            match message[:1]:
                case b"u":
                    taken = it.take_unit(message[1:], 1_767_225_600_000_000)
                case b"r":
                    taken = it.take_range(Range.unpack(message[1:]), 1_767_225_600_000_000)
                case b"b":
                    it.take_backfill(message[1:], 1_767_225_600_000_000)
                    taken = None
                case _:
                    it.take_backfill_range(Range.unpack(message[1:]))
                    taken = None
            assert before <= it.next <= MOST_SEQ + 1
            if taken is not None:
                assert (taken.first, taken.last) == (before, it.next - 1)


def from_agent(data: bytes) -> None:
    with contextlib.suppress(WireError):
        read = messages.from_agent(data)
        if isinstance(read, messages.Hello):
            check_hello(read)
            with contextlib.suppress(WireError):
                messages.choose_version(read.versions)
            for camera in read.cameras:
                with contextlib.suppress(WireError):
                    assert "/" in check_camera(camera.camera)
        assert messages.from_agent(messages.encode(read)) == read


def from_gateway(data: bytes) -> None:
    with contextlib.suppress(WireError):
        read = messages.from_gateway(data)
        assert messages.from_gateway(messages.encode(read)) == read


def entry(data: bytes) -> None:
    """An entry of the frame log: field, then its value."""
    with contextlib.suppress(WireError):
        read_entry(b"3-9", [data[:1], data[1:]])


def stored(data: bytes) -> None:
    """What the state store keeps: results, open sets, positions."""
    with contextlib.suppress(WireError):
        result.decode(data)
    with contextlib.suppress(WireError):
        open_set.count(open_set.parse(data))
    with contextlib.suppress(WireError):
        Position.parse(data)


def bitstream(data: bytes) -> None:
    """A unit of the codec that the first byte names, looked at as gateway, agent and worker do."""
    codec, payload = list(Codec)[data[0] % len(Codec)] if data else Codec.H264, data[1:]
    with contextlib.suppress(WireError):
        access = inspect(codec, payload)
        sets = ParameterSets(codec)
        sets.remember(access.parameter_sets)
        inspect(codec, sets.completed(payload, access))
        assert not (access.flags & Flag.CLEAN) or access.idr
        size = dimensions(codec, payload)
        assert size is None or all(0 <= side <= 0xFFFFFFFF for side in size)


def parameter_sets(data: bytes) -> None:
    """A NAL unit taken for each kind of parameter set."""
    if not data:
        return
    for read in (h264_sps.read_sps, h264_sps.pps_ids, h265.dimensions, h265.set_id, set_id):
        with contextlib.suppress(WireError):
            read(data)
    with contextlib.suppress(WireError):
        bits, _ = h264_sps.slice_pps(data, 0)
        h264_sps.frame_num(bits, h264_sps.read_sps(data))


def extradata(data: bytes) -> None:
    for codec in (Codec.H264, Codec.H265):
        with contextlib.suppress(WireError):
            read = read_extradata(codec, data)
            ParameterSets(codec, read.parameter_sets)
    for length_size in (1, 2, 4):
        with contextlib.suppress(WireError):
            to_annexb(data, length_size)


def rtp(data: bytes) -> None:
    """Packets of 8 bytes each, as the peer connection hands them over: ssrc, seq, timestamp, marker, size, time."""
    it, now = Assembler(unit_bytes=5_000), 0.0
    for at in range(0, len(data) - 7, 8):
        ssrc, high, low, ticks, coarse, marker, size, wait = data[at : at + 8]
        now += wait / 100
        seq, timestamp = high << 8 | low, (coarse << 24 | ticks << 8) & 0xFFFFFFFF
        for one in it.push(Packet(ssrc & 1, seq, timestamp, bool(marker & 1), bytes(size * 8)), now):
            assert 0 < len(one.data) <= 5_000
        assert len(it._held) <= MAX_HELD


def authorization(data: bytes) -> None:
    with contextlib.suppress(AuthRefused):
        assert bearer(data.decode("latin-1"))


def sdp(data: bytes) -> None:
    """The body of a WHIP request, as far as aiortc reads it by itself; whatever it stumbles over is caught where it is
    used, but it must not hang or eat memory.
    """
    from aiortc.sdp import SessionDescription

    with contextlib.suppress(Exception):
        SessionDescription.parse(data[:65_536].decode())


TARGETS: dict[str, Target] = {
    "unit": unit,
    "range": range_,
    "fragments": fragments,
    "session": session,
    "from_agent": from_agent,
    "from_gateway": from_gateway,
    "entry": entry,
    "stored": stored,
    "bitstream": bitstream,
    "parameter_sets": parameter_sets,
    "extradata": extradata,
    "rtp": rtp,
    "authorization": authorization,
    "sdp": sdp,
}


def _pieces(data: bytes) -> list[bytes]:
    """Messages, each behind two bytes of length."""
    pieces, at = [], 0
    while at + 2 <= len(data) and len(pieces) < 64:
        size = int.from_bytes(data[at : at + 2], "big") % 2048
        pieces.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return pieces
