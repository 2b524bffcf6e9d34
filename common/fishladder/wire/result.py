"""One commit of one camera, as kept in its results stream (JSON) and printed by `fishladder results --json`."""

import msgspec

from fishladder.wire.errors import WireError


class Detection(msgspec.Struct, frozen=True):
    """Box corners are fractions of the picture: 0 0 is its top left, 1 1 its bottom right."""

    label: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


class Hops(msgspec.Struct, frozen=True):
    """Where a frame's time went, in milliseconds, in order.

    capture (to ready for the uplink), uplink (to the gateway), log (to being written), wait (until a worker has read
    it), decode, batch (waiting for the model, that is for the pictures before it), infer. The commit is not over when
    this is written: metrics measure it.
    """

    capture: float
    uplink: float
    log: float
    wait: float
    decode: float
    batch: float
    infer: float


class FrameResult(msgspec.Struct, frozen=True):
    """What the model saw in one frame."""

    seq: int
    pts_us: int
    captured_us: int  #: Unix microseconds, the gateway's clock
    detections: list[Detection]
    hops: Hops | None = None


class ModelId(msgspec.Struct, frozen=True):
    name: str
    sha256: str


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one commit settled of `epoch`, within `first..last`; `runs` says how, as [fate, first, last], ascending.

    In the live lane they have no gaps; of those `deferred`, a backfill commit says later what became.
    """

    camera: str
    epoch: int
    first: int
    last: int
    runs: list[tuple[int, int, int]]
    frames: list[FrameResult] = []
    model: ModelId | None = None
    analysis: str = "main"
    worker: str = ""
    lane: str = "live"


_decoder = msgspec.json.Decoder(Result)
_encoder = msgspec.json.Encoder()


def encode(result: Result) -> bytes:
    return _encoder.encode(result)


def decode(data: bytes) -> Result:
    """Read a result. Raises `WireError`."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise WireError(f"not a result: {error}") from None
