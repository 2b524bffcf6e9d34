"""Where fuzzing begins: real messages, units of real encoders and offers of real clients, one list a target."""

import struct
from functools import cache

from aioice import stun
from support import clips
from support.samples import AGENT, BINARY, GATEWAY, RANGE, RESULT, UNIT

from fishladder.gateway.webrtc import rtcp
from fishladder.wire import messages, result
from fishladder.wire.bitstream import inspect
from fishladder.wire.bitstream.annexb import split_sets
from fishladder.wire.framing import fragments, range_message
from fishladder.wire.unit import Codec, Unit

OFFER = (
    """v=0\r
o=- 1 2 IN IP4 127.0.0.1\r
s=-\r
t=0 0\r
a=group:BUNDLE 0\r
m=video 9 UDP/TLS/RTP/SAVPF 96 97\r
c=IN IP4 0.0.0.0\r
a=sendonly\r
a=mid:0\r
a=rtcp-mux\r
a=ice-ufrag:abcd\r
a=ice-pwd:abcdefghijklmnopqrstuvwx\r
a=fingerprint:sha-256 """
    + ":".join(["AB"] * 32)
    + """\r
a=setup:actpass\r
a=rtpmap:96 H264/90000\r
a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r
a=rtcp-fb:96 nack pli\r
a=rtpmap:97 VP8/90000\r
a=ssrc:1234 cname:x\r
a=candidate:1 1 udp 2130706431 127.0.0.1 5000 typ host\r
"""
)


@cache
def seeds() -> dict[str, list[bytes]]:
    units = [
        (codec, unit.payload)
        for codec, clip in (
            (Codec.H264, clips.plain),
            (Codec.H264, clips.intra_refresh),
            (Codec.H265, clips.h265_open_gop),
            (Codec.VP8, clips.vp8),
            (Codec.VP9, clips.vp9),
            (Codec.AV1, clips.av1),
            (Codec.JPEG, clips.jpeg),
        )
        for unit in clip()[:2]
    ]
    sets = [nal for codec, data in units[:6] for nal in split_sets(inspect(codec, data).parameter_sets)]
    small = Unit(epoch=1, seq=1, codec=Codec.H264, payload=b"x" * 50).pack()
    cut = [*fragments(1, small, 64), range_message(1, RANGE), *fragments(2, small, 16384)]
    return {
        "unit": [UNIT.pack()],
        "range": [RANGE.pack()],
        "fragments": [_joined(cut), *(_joined([one]) for one in BINARY.values())],
        "session": [_joined([b"u" + small, b"r" + RANGE.pack(), b"b" + small, b"d" + RANGE.pack()])],
        "from_agent": [messages.encode(one).encode() for one in AGENT.values()],
        "from_gateway": [messages.encode(one).encode() for one in GATEWAY.values()],
        "entry": [b"u" + BINARY["entry-unit"], b"r" + RANGE.pack(), b"e" + bytes(16)],
        "stored": [result.encode(RESULT), b"3:1-9 3:12-12 4:1-2", b"3-9"],
        "bitstream": [bytes((list(Codec).index(codec),)) + data[:2000] for codec, data in units],
        "parameter_sets": sets,
        "extradata": [
            b"\1\x42\0\x1f\xff\xe1" + len(sets[0]).to_bytes(2, "big") + sets[0] + b"\0",
            b"\0\0\0\1" + sets[0],
        ],
        "rtp": [_joined([_packet(seq) for seq in range(40)])],
        "rtcp": [rtcp.receiver_report(1) + rtcp.nack(1, 2, [3, 5]), rtcp.pli(1, 2)],
        "ice": [_joined([bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST)), b"\0\1\0\0"])],
        "authorization": [b"Bearer a.b.c", b"Basic abc", b""],
        "sdp": [OFFER.encode()],
    }


def _packet(seq: int) -> bytes:
    """An RTP packet: half a unit of H.264."""
    return struct.pack(">BBHII", 0x80, 96 | (seq & 1) << 7, seq, seq // 2 * 3000, 1) + b"\x65" + bytes(100)


def _joined(pieces: list[bytes]) -> bytes:
    return b"".join(len(piece).to_bytes(2, "big") + piece for piece in pieces)
