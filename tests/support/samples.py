"""One of everything that crosses the wire, every field set to something that shows: what the golden files hold."""

from fishladder.wire import framing, messages, result
from fishladder.wire.entry import Stamp
from fishladder.wire.fates import Fate
from fishladder.wire.messages import FromAgent, FromGateway
from fishladder.wire.unit import Clock, Codec, Flag, Range, Unit

UNIT = Unit(
    epoch=3,
    seq=0x0102030405,
    codec=Codec.H265,
    payload=bytes(range(40)),
    flags=Flag.CLEAN | Flag.SYNCED,
    clock=Clock.CAMERA,
    pts_us=-5_000_001,
    wall_us=1_767_225_600_123_456,
    offset_us=-31_536_000_000_000,
    duration_us=33_333,
    ready_us=4_200,
    width=1280,
    height=720,
)
RANGE = Range(epoch=3, first=8, last=2**53 - 1, fate=Fate.GATED, wall_us=1_767_225_600_123_456, offset_us=-7)
STAMP = Stamp(captured_us=1_767_225_600_000_000, received_us=1_767_225_600_050_000, written_us=1_767_225_600_060_000)

#: Packed form of each, by the name of its golden file.
BINARY: dict[str, bytes] = {
    "unit": UNIT.pack(),
    "range": RANGE.pack(),
    "entry-unit": STAMP.pack() + UNIT.pack(),
    "fragment-whole": next(framing.fragments(7, UNIT.pack(), 1200)),
    "fragment-first": next(iter(framing.fragments(7, UNIT.pack(), 64))),
    "fragment-last": list(framing.fragments(7, UNIT.pack(), 64))[-1],
    "fragment-abandon": framing.abandon(0xFFFF),
    "fragment-range": framing.range_message(258, RANGE),
}

_POLICY = messages.Policy(fps=2.5, analyse="keyframes", deadline_ms=900, policy="fresh", weight=0.5)
AGENT: dict[str, FromAgent] = {
    "hello": messages.Hello(
        versions=(1, 1),
        boot="0123456789abcdef",
        hello=2,
        cameras=[
            messages.CameraHello(
                "shop-7/door", 1, epoch=3, position=900, oldest=600, clean=[600, 750], meta={"codec": "h264"}
            ),
            messages.CameraHello("shop-7/till", 2),
        ],
        agent="fishladder 0.1.0",
    ),
    "positions": messages.Positions(cameras=[(1, 905), (2, 17)]),
    "probe": messages.Probe(sent_us=123_456_789),
}
GATEWAY: dict[str, FromGateway] = {
    "welcome": messages.Welcome(
        version=1,
        gateway="gw-1",
        cameras=[messages.CameraWelcome(1, epoch=3, next=890, committed=880, policy=_POLICY)],
        refused=[messages.Refusal(2, "forbidden", "the token does not cover shop-7/till", retry_s=30.0)],
        max_unit_bytes=8_388_608,
        max_fragment_bytes=262_144,
    ),
    "ack": messages.Ack(cameras=[(1, 905, 900), (2, 17, 0)]),
    "credit": messages.Credit(bytes=4_194_304),
    "probed": messages.Probed(sent_us=123_456_789, received_us=1_767_225_600_000_000, replied_us=1_767_225_600_000_120),
    "control": messages.Control(1, keyframe=True, policy=_POLICY),
    "fenced": messages.Fenced(1, reason="another session has the camera"),
    "token": messages.Token("header.claims.signature"),
    "drain": messages.Drain(reason="restart"),
    "fault": messages.Fault(code="version", message="upgrade the older of the two"),
}
RESULT = result.Result(
    camera="shop-7/door",
    epoch=3,
    first=880,
    last=883,
    runs=[(int(Fate.SAMPLED_OUT), 880, 881), (int(Fate.INFERRED), 882, 882), (int(Fate.NO_REFERENCE), 883, 883)],
    frames=[
        result.FrameResult(
            seq=882,
            pts_us=29_400_000,
            captured_us=1_767_225_600_000_000,
            detections=[result.Detection("person", 0.875, 0.25, 0.125, 0.5, 0.75)],
            hops=result.Hops(capture=4.5, uplink=40.25, log=1.5, wait=2.0, decode=3.25, batch=6.0, infer=41.0),
        )
    ],
    model=result.ModelId("ssdlite-person", "7a23982e" * 8),
    worker="host/1234",
)
