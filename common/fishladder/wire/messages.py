"""Text messages on the uplink (JSON, one object each, tagged by `type`), agent to gateway and back.

    agent                                  gateway
    hello  ------------------------------>
           <------------------------------ welcome     (epoch, session and start of each camera, or why not)
    units and ranges (binary, `framing`) >
           <------------------------------ ack          (logged and committed, cumulative)
           <------------------------------ open         (what was deferred and is wanted now)
           <------------------------------ credit       (how many bytes may be sent in all)
    positions, each second -------------->
    probe  ------------------------------>
           <------------------------------ probed       (gateway's clock)
           <------------------------------ control      (keyframe now, another policy)
           <------------------------------ fenced       (say hello again for this camera)
           <------------------------------ token        (a new one, for one that expires)
           <------------------------------ drain        (connect again, soon; this gateway is going)
           <------------------------------ fault        (what was wrong; the connection ends)

`hello` may be sent again on the same connection for some cameras: after `fenced`, or when one is added. Unknown
fields are ignored, so that a newer peer may say more; an unknown `type` is a fault.
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from fishladder.wire.errors import TooLarge, VersionMismatch, WireError
from fishladder.wire.framing import MAX_CHANNEL
from fishladder.wire.ids import MAX_SEQ

#: Versions of the uplink protocol spoken here, lowest and highest.
VERSIONS = (1, 1)
MAX_TEXT_BYTES = 256 * 1024
MAX_CAMERAS = 1024
#: Clean points named in a hello: any one at or before the cursor will do, so more are thinned out.
MAX_CLEAN_POINTS = 256
#: Ranges named in one `Open`.
MAX_OPEN = 64


#: An epoch or a sequence number, or a count of hellos.
Number = Annotated[int, Meta(ge=0, le=MAX_SEQ)]
Channel = Annotated[int, Meta(ge=0, le=MAX_CHANNEL)]
Positive = Annotated[float, Meta(gt=0)]
Size = Annotated[int, Meta(ge=0, le=1 << 40)]
Rate = Annotated[float, Meta(ge=0, le=1e6)]


class _Message(msgspec.Struct, frozen=True, tag=str.lower, tag_field="type", omit_defaults=True):
    pass


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the stack wants of one camera."""

    fps: Positive | None = None  #: pictures to analyse a second; None = every one
    analyse: Literal["all", "keyframes"] = "all"
    deadline_ms: Annotated[int, Meta(gt=0)] | None = (
        None  #: age after which a picture is of no use under policy `fresh`
    )
    policy: Literal["all", "fresh"] = "all"
    weight: Positive = 1.0
    pause: bool = False  #: send no picture; what is captured meanwhile is `sampled_out`
    cap_bps: Annotated[int, Meta(ge=10_000)] | None = None  #: bits a second it may send at most
    #: To how few pictures a second workers may go when they cannot keep up; None = a fifth of `fps`, and where that is
    #: None, every one is wanted whatever it takes.
    least_fps: Positive | None = None
    #: And while nothing has been seen for `idle_after_s`; None = as many as ever.
    idle_fps: Positive | None = None
    idle_after_s: Positive = 60.0


class Asked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the stack asks of a camera by itself, within its policy: fewer pictures to analyse, None = what the policy
    says. `why`: workers cannot keep up, or nothing is seen there.
    """

    fps: Positive | None = None
    why: Literal["", "workers", "quiet"] = ""
    at_ms: int = 0


def in_force(policy: Policy, asked: Asked | None) -> Policy:
    """The policy an agent is told: its camera's, with what is asked beyond it."""
    if asked is None or asked.fps is None:
        return policy
    return msgspec.structs.replace(policy, fps=min(asked.fps, policy.fps or asked.fps))


class CameraReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a camera's agent obeys at the moment, for people to see beside what is wanted. `fps` None = every picture;
    `mode` is encode or passthrough, empty before the camera delivers.
    """

    channel: Channel
    mode: str = ""
    fps: float | None = None
    paused: bool = False
    cap_bps: int | None = None


class CameraHello(msgspec.Struct, frozen=True, omit_defaults=True):
    """One camera an agent wants to send.

    `channel` stands for it in binary messages. `epoch` is the one the agent remembers, 0 = none. `position` is
    its last captured seq, `oldest` the first seq it can still send or declare (position + 1 if none), `clean` the
    clean points it still holds, ascending. `backfill`: it may defer, and answers `Open`. `spooled`: it holds units of
    earlier epochs, so what is not settled of those is deferred rather than given up.
    """

    camera: str
    channel: Channel
    epoch: Number = 0
    position: Number = 0
    oldest: Number = 1
    clean: Annotated[list[Number], Meta(max_length=MAX_CLEAN_POINTS)] = []
    meta: dict[str, str] = {}
    backfill: bool = False
    spooled: bool = False


class Hello(_Message, frozen=True):
    """`boot` is random for each start of the agent; `hello` counts the hellos of that boot, from 1. `renews`: it keeps
    a new `Token`.
    """

    versions: tuple[int, int]
    boot: Annotated[str, Meta(min_length=1, max_length=64)]
    hello: Number
    cameras: Annotated[list[CameraHello], Meta(max_length=MAX_CAMERAS)] = []
    agent: str = ""
    renews: bool = False


class CameraWelcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """Send from seq `next` on, under `epoch`. Committed up to and with `committed`."""

    channel: Channel
    epoch: Number
    next: Number
    committed: Number = 0
    policy: Policy = Policy()


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a camera of the hello was not taken; `retry_s` = when to ask again, None = not without a change.

    `superseded` with a `retry_s`: the stack has seen more of this epoch than the agent remembers. It asks again for a
    new one, under a new boot.
    """

    channel: Channel
    code: Literal["forbidden", "invalid", "superseded", "stale", "limit", "unavailable"]
    message: str
    retry_s: float | None = None


class Welcome(_Message, frozen=True):
    version: int
    gateway: str
    cameras: list[CameraWelcome] = []
    refused: list[Refusal] = []
    max_unit_bytes: int = 0
    max_fragment_bytes: int = 0


class Ack(_Message, frozen=True):
    """Cumulative: [channel, logged, committed] for each camera with news."""

    cameras: list[tuple[Channel, Number, Number]]


class Open(_Message, frozen=True):
    """Deferred seqs that wait for backfill, as [epoch, first, last], ascending; it replaces the one before.

    These are the lowest; there are `more` or not. `cursor` is where the live lane stood at that moment, [epoch, seq]:
    whatever is at or before it and not among the ranges (nor after the last of them, if there are more) is settled.
    Only for agents whose hello says `backfill`.
    """

    channel: Channel
    cursor: tuple[Number, Number]
    ranges: Annotated[list[tuple[Number, Number, Number]], Meta(max_length=MAX_OPEN)] = []
    more: bool = False


class Credit(_Message, frozen=True):
    """Bytes of binary messages that may be sent since the connection began, in all. May be overdrawn by one unit."""

    bytes: int


class MonthStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the uplink's billing month goes: IP bytes in both directions, times Unix milliseconds."""

    used_bytes: int
    limit_bytes: int
    begin_ms: int
    end_ms: int
    forecast_bytes: int | None = None  #: at its end, at the present rate; None = too early to say
    reached_ms: int | None = None  #: when the limit would be reached, if that is before the end


class UplinkStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent knows of its site's uplink and of its own disk, for people to see. None = it does not know."""

    rtt_us: int | None = None
    sent_bps: float | None = None  #: what it has lately sent, bits a second
    estimate_bps: float | None = None  #: what the uplink would carry
    spool_bytes: int | None = None
    spool_limit_bytes: int | None = None
    limit_bps: float | None = None  #: what the site's operator lets it have; None = no limit
    limited_by: str = ""  #: and why, in words
    month: MonthStatus | None = None


class SenderStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent does to one camera's pictures at the moment, for people to see: what it sends of what it would,
    `of_...`, 0 = not known. `gate`: None = it has none; `hold`: nothing is sent until the uplink is less full. `sub`
    and `keep` are for a camera that is passed on: is it its sub-stream, and what of each group of pictures.
    """

    mode: Literal["encode", "passthrough"]
    gate: Literal["open", "closed"] | None = None
    bitrate_bps: Size = 0
    of_bps: Size = 0
    fps: Rate = 0.0
    of_fps: Rate = 0.0
    width: Size = 0
    of_width: Size = 0
    hold: bool = False
    sub: bool = False
    keep: Literal["all", "tail", "keyframes"] = "all"


class Positions(_Message, frozen=True):
    """[channel, last captured seq] of each camera, now and then how the uplink is, what is sent of cameras, and what
    they obey.
    """

    cameras: list[tuple[Channel, Number]]
    uplink: UplinkStatus | None = None
    senders: Annotated[list[tuple[Channel, SenderStatus]], Meta(max_length=MAX_CAMERAS)] = []
    reports: Annotated[list[CameraReport], Meta(max_length=MAX_CAMERAS)] = []


class Probe(_Message, frozen=True):
    """`sent_us`: the agent's monotonic clock."""

    sent_us: int


class Probed(_Message, frozen=True):
    """`sent_us` as it came; the gateway's wall clock when the probe came in and when this went out."""

    sent_us: int
    received_us: int
    replied_us: int


class Control(_Message, frozen=True):
    channel: Channel
    keyframe: bool = False
    policy: Policy | None = None


class Fenced(_Message, frozen=True):
    """The gateway no longer writes for this camera in this session."""

    channel: Channel
    reason: str = ""


class Token(_Message, frozen=True):
    """A token to use from the next connection on, for one that expires. Only for agents whose hello says `renews`."""

    token: str


class Drain(_Message, frozen=True):
    reason: str = ""


class Fault(_Message, frozen=True):
    code: str
    message: str


FromAgent = Hello | Positions | Probe
FromGateway = Welcome | Ack | Open | Credit | Probed | Control | Fenced | Token | Drain | Fault

_from_agent: msgspec.json.Decoder[FromAgent] = msgspec.json.Decoder(FromAgent)
_from_gateway: msgspec.json.Decoder[FromGateway] = msgspec.json.Decoder(FromGateway)
T = TypeVar("T")
_encoder = msgspec.json.Encoder()


def encode(message: FromAgent | FromGateway) -> str:
    return _encoder.encode(message).decode()


def from_agent(text: str | bytes) -> FromAgent:
    """Read what an agent sent. Raises `WireError`."""
    return _decode(_from_agent, text)


def from_gateway(text: str | bytes) -> FromGateway:
    """Read what a gateway sent. Raises `WireError`."""
    return _decode(_from_gateway, text)


def _decode(decoder: "msgspec.json.Decoder[T]", text: str | bytes) -> T:
    if len(text) > MAX_TEXT_BYTES:
        raise TooLarge(f"a text message of {len(text)} bytes is over the limit of {MAX_TEXT_BYTES}")
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise WireError(f"not a message of this protocol: {error}") from None


def choose_version(peer: tuple[int, int], ours: tuple[int, int] = VERSIONS) -> int:
    """The highest version both speak. Raises `VersionMismatch` naming both ranges."""
    version = min(peer[1], ours[1])
    if version < max(peer[0], ours[0]):
        raise VersionMismatch(
            f"the agent speaks uplink protocol {peer[0]} to {peer[1]}, this gateway {ours[0]} to {ours[1]}: "
            "upgrade the older of the two"
        )
    return version
