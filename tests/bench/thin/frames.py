"""What came of a camera, however it was sent: when each frame was captured and when the whole of it was there."""

from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct

_RECORD = Struct("<qqI?")
_CAPTURED = Struct("<qq")


@dataclass(frozen=True)
class Frame:
    """Seconds since the run began. `index` counts the source's pictures; `decodable`: all it refers to came."""

    index: int
    captured_s: float
    received_s: float
    size: int
    key: bool
    decodable: bool
    payload: bytes = field(default=b"", repr=False)


@dataclass
class Camera:
    """`declared` are frames that were left out, by reason; `late` what came as backfill, (received, bytes)."""

    frames: list[Frame] = field(default_factory=list)
    declared: dict[str, int] = field(default_factory=dict)
    late: list[tuple[float, int]] = field(default_factory=list)


def record(index: int, received_us: int, payload: bytes, *, key: bool) -> bytes:
    """A frame as a receiver writes it down."""
    return _RECORD.pack(index, received_us, len(payload), key) + payload


def captured(index: int, captured_us: int) -> bytes:
    """A picture as a sender writes it down."""
    return _CAPTURED.pack(index, captured_us)


def read(sent: Path, received: Path, began_s: float) -> Camera:
    """Put together what a sender and a receiver wrote. Each frame refers to the one sent before it."""
    data = sent.read_bytes()
    whole = len(data) // _CAPTURED.size * _CAPTURED.size
    taken = dict(_CAPTURED.iter_unpack(data[:whole]))
    order = {index: n for n, index in enumerate(taken)}
    data, at = received.read_bytes(), 0
    camera, last, good = Camera(), None, False
    while at + _RECORD.size <= len(data):
        index, received_us, size, key = _RECORD.unpack_from(data, at)
        payload = data[at + _RECORD.size : at + _RECORD.size + size]
        at += _RECORD.size + size
        if len(payload) < size or index not in taken:
            continue
        good = key or (good and last is not None and order[index] == last + 1)
        last = order[index]
        times = (taken[index] / 1e6 - began_s, received_us / 1e6 - began_s)
        camera.frames.append(Frame(index, *times, size, key, good, payload))
    return camera
