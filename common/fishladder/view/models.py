"""What people and programs are shown of sites, cameras, workers and sinks: the documents of the REST API, of
`fishladder status --json` and of the live page, which are the same. Times are Unix milliseconds, ages seconds.
"""

from enum import StrEnum
from typing import Literal

import msgspec

from fishladder.wire.messages import Asked, MonthStatus, Policy
from fishladder.wire.reports import Reported


class Severity(StrEnum):
    """How bad it is. What is worst is shown first."""

    OK = "ok"
    NOTE = "note"  #: worth knowing, nothing to do
    TROUBLE = "trouble"  #: something does not do its work
    DOWN = "down"  #: nothing works there

    @property
    def rank(self) -> int:
        """0 is best."""
        return list(Severity).index(self)


class Finding(msgspec.Struct, frozen=True):
    """One thing that is to be said, in words. Where `since_ms` is given the sentence goes on with "since 02:41", in the
    reader's own time of day, and then with `more`.
    """

    severity: Severity
    what: str
    since_ms: int | None = None
    more: str = ""


class LedgerView(msgspec.Struct, frozen=True):
    """captured = inferred + skipped + dropped + pending, or `closes` is false and `unaccounted` says by how much."""

    captured: int
    inferred: int
    skipped: int
    dropped: int
    pending: int
    deferred: int  #: of those pending, how many wait to be sent later
    unaccounted: int
    closes: bool
    reasons: dict[str, int]
    position: str
    cursor: str
    position_age_s: float | None


Step = Literal["full", "bits", "pictures", "size", "hold", "as_is", "sub", "tail", "keyframes"]


class SendingView(msgspec.Struct, frozen=True):
    """What its agent sends of a camera of what it would; the ladder's steps are `full` to `hold`, the furthest down of
    those that apply. Of a camera that is passed on: all that it makes `as_is`, its `sub`-stream, without the `tail` of
    each group of pictures, `keyframes` alone. 0 = not known.
    """

    step: Step
    what: str  #: in words
    gate: Literal["open", "closed"] | None  #: closed while nothing moves; None = there is none
    bitrate_bps: int
    of_bps: int
    fps: float
    of_fps: float
    width: int
    of_width: int


class CameraView(msgspec.Struct, frozen=True):
    camera: str
    site: str
    name: str
    finding: Finding
    fps: float | None  #: frames a second that reach the gateway
    bps: float | None
    codec: str
    width: int
    height: int
    heard_age_s: float | None  #: since its agent last said how far it is
    latency_ms: float | None  #: capture to committed, median of the last analysed frames
    hops_ms: dict[str, float]  #: where that went, medians; empty without any
    oldest_pending_s: float  #: how long the oldest frame without a fate has waited
    seen: dict[str, int]  #: what the last analysed frame showed
    worker: str
    policy: Policy  #: what is desired of it
    ledger: LedgerView
    policy_ms: int | None = None  #: since when that is desired; None = its gateway's default
    asked: Asked | None = None  #: what the stack asks beyond that
    reported: Reported | None = None  #: what its agent said last that it does
    sending: SendingView | None = None  #: None = nobody has said, or it was too long ago


class UplinkView(msgspec.Struct, frozen=True):
    """A site's uplink. None = nobody has said."""

    used_bps: float
    estimate_bps: float | None = None
    rtt_ms: float | None = None
    spool_bytes: int | None = None
    spool_limit_bytes: int | None = None
    spool_left_s: float | None = None  #: until the spool is full, if it fills at the cameras' present rate
    spool: str = "unknown: no agent of this site has said"  #: all that in words
    limit_bps: float | None = None  #: what its operator lets the agent have
    limited_by: str = ""
    month: MonthStatus | None = None
    agent: str = ""
    age_s: float | None = None


class SiteView(msgspec.Struct, frozen=True):
    site: str
    finding: Finding
    cameras: int
    cameras_ok: int
    fps: float
    uplink: UplinkView
    pending: int
    deferred: int
    closes: bool


class SiteDetail(msgspec.Struct, frozen=True):
    site: SiteView
    cameras: list[CameraView]


class WorkerView(msgspec.Struct, frozen=True):
    worker: str
    finding: Finding
    host: str
    pid: int
    model: str
    provider: str
    partitions: int
    cameras: int
    fps: float
    lag_s: float | None
    backlog_bytes: int
    oldest_s: float  #: how long the oldest unit it has read waits
    capacity_fps: float | None
    since_ms: int


class SinkView(msgspec.Struct, frozen=True):
    sink: str
    finding: Finding
    kind: str
    to: str
    delivered: int
    missed: int
    lag_s: float


class Overview(msgspec.Struct, frozen=True):
    """`at_ms` is when it was read from the store."""

    at_ms: int
    sites: list[SiteView]
    workers: list[WorkerView]
    sinks: list[SinkView]


class Cameras(msgspec.Struct, frozen=True):
    at_ms: int
    cameras: list[CameraView]
