"""What is fuzzed: each function takes any bytes and returns, or fails with what it must not do. A parser may refuse
with our `WireError`; another exception, a result that breaks its promise, or one too big, is a finding.
"""

import contextlib
from collections.abc import Callable

from fishladder.gateway.hello import check_hello
from fishladder.gateway.limits import MOST_SEQ
from fishladder.gateway.session import LogSession, OutOfStep
from fishladder.gateway.tokens import bearer
from fishladder.gateway.webrtc.assembler import Assembler, Part
from fishladder.gateway.webrtc.depayload import h264 as h264_payload
from fishladder.gateway.webrtc.depayload import vp8 as vp8_payload
from fishladder.gateway.webrtc.ice import IceAgent, Path
from fishladder.gateway.webrtc.rtcp import parse as parse_rtcp
from fishladder.gateway.webrtc.rtp import parse as parse_rtp
from fishladder.gateway.webrtc.sdp import Credentials, read_fragment, read_offer
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
    def logged(self, session: LogSession) -> None: ...
    def committed(self, session: LogSession) -> None: ...
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
    """Packets, each behind its length, as far as an access unit."""
    it = Assembler(unit_bytes=5_000)
    for piece in _pieces(data):
        with contextlib.suppress(WireError):
            packet = parse_rtp(piece)
            for depayload in (h264_payload, vp8_payload):
                part: bytes | None = None
                with contextlib.suppress(WireError):
                    part = depayload(packet.payload)
                for one in it.take(Part(packet.timestamp, packet.marker, part)):
                    assert 0 < len(one.data) <= 5_000


def rtcp(data: bytes) -> None:
    with contextlib.suppress(WireError):
        parse_rtcp(data)


def ice(data: bytes) -> None:
    """Datagrams from the network to an agent that waits for its peer."""
    agent = IceAgent(Credentials("abcd", "abcdefghijklmnopqrstuvwx"), families=(4,))
    for at, piece in enumerate(_pieces(data)):
        with contextlib.suppress(WireError):
            for out in agent.received(piece, Path(0, ("127.0.0.1", 9)), at / 10):
                assert len(out.data) <= 1500
        assert len(agent.poll(at / 10)) <= 64


def authorization(data: bytes) -> None:
    with contextlib.suppress(AuthRefused):
        assert bearer(data.decode("latin-1"))


def sdp(data: bytes) -> None:
    """The body of a WHIP request: an offer, or a change of a session."""
    text = data.decode("utf-8", "replace")
    for read in (read_offer, read_fragment):
        with contextlib.suppress(WireError):
            read(text)


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
    "rtcp": rtcp,
    "ice": ice,
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
