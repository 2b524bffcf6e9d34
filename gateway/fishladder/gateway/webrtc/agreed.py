"""What an offer and its answer agree on, as far as those have to know who receive."""

from dataclasses import dataclass, field

from fishladder.wire.unit import Codec


@dataclass(frozen=True, slots=True)
class Parameters:
    """What was agreed on in SDP. Payload types and extension ids are numbers of this session; 0 is no extension."""

    codecs: dict[int, Codec]
    rtx: dict[int, int] = field(default_factory=dict)  #: payload type of retransmissions -> of what they repeat
    ssrc: int | None = None  #: the sender's, if it said so
    others: frozenset[int] = frozenset()  #: of its other encodings and retransmissions: not to be taken for a new one
    encodings: tuple[int, ...] = ()  #: of all its encodings where only these tell them apart, the largest first
    repeats: dict[int, int] = field(default_factory=dict)  #: ssrc of retransmissions -> of what they repeat
    transport_cc: int = 0
    abs_send_time: int = 0
    rid: int = 0
    wanted_rid: str = ""
    remb: bool = False
    reduced: bool = False  #: RTCP need not be compound (RFC 5506)
