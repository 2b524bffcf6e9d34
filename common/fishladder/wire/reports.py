"""What gateways, workers and sinks say of themselves in the state store, as JSON, so that anybody who reads that store
can tell how things stand. Nothing depends on these for correctness: they are renewed each second or so, and age.
"""

from typing import TypeVar

import msgspec

from fishladder.wire.messages import CameraReport, SenderStatus, UplinkStatus


class Flow(msgspec.Struct, frozen=True, omit_defaults=True):
    """What its gateway sees of one camera; field `flow` of the camera's hash. Times are Unix microseconds."""

    fps: float = 0.0  #: units logged a second, over the last seconds
    bps: float = 0.0  #: and their bits a second
    moved_us: int = 0  #: when its position last moved, so when it last captured something
    oldest_us: int = 0  #: when the oldest frame that is still uncommitted was first heard of; 0 = there is none
    codec: str = ""
    width: int = 0
    height: int = 0
    gateway: str = ""
    sender: SenderStatus | None = None  #: what its agent says that it sends of it


class Reported(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a camera's agent last said that it does; field `reported` of the camera's hash."""

    at_ms: int
    does: CameraReport


class UplinkReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent last said of its site's uplink; `fl:uplinks`, one field a site and token subject."""

    at_us: int
    status: UplinkStatus = UplinkStatus()
    agent: str = ""
    gateway: str = ""


class Heartbeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker says of itself in `fl:workers`; times on the state store's clock, Unix milliseconds."""

    at_ms: int
    since_ms: int
    host: str = ""
    pid: int = 0
    weight: float = 1.0  #: how much it can do beside others
    model: str = ""
    provider: str = ""
    partitions: int = 0
    holds: tuple[int, ...] = ()  #: the same by number, oldest first
    cameras: int = 0
    fps: float = 0.0  #: frames inferred a second
    lag_ms: int | None = None  #: age of the newest committed frame of the camera that is furthest behind; None = none
    backlog_bytes: int = 0  #: read and not yet decoded
    oldest_ms: int = 0  #: how long the oldest unit it has read waits
    capacity_fps: float | None = None  #: frames a second it would do if there was always one; None = not known yet


class SinkReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a sink says of itself in `fl:sinks`; times Unix milliseconds."""

    at_ms: int
    kind: str = ""
    to: str = ""
    delivered: int = 0
    missed: int = 0  #: frames whose results were past retention before they could be delivered
    lag_ms: int = 0  #: age of the oldest result not delivered
    error: str = ""  #: why the last try failed; empty when it did not
    since_ms: int = 0  #: since when it has failed


T = TypeVar("T", bound=msgspec.Struct)


def encode(report: msgspec.Struct) -> bytes:
    return msgspec.json.encode(report)


def read(kind: type[T], data: bytes | str | None) -> T | None:
    """A report, or None where there is none or a later version wrote one that cannot be read."""
    if not data:
        return None
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError:
        return None
