"""What a link is: per direction a rate, a finite queue, a delay, jitter and loss, and what changes while it runs. Every
number knows its source or that it is assumed. Files are read in `load`; emulation and model give it the same meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Literal, NamedTuple

OPPORTUNITY_BYTES = 1500  #: what one line of a mahimahi trace may deliver


class Provenance(NamedTuple):
    """Where a number comes from: a source, or, if `assumed`, why it was chosen."""

    text: str
    assumed: bool


#: Jitter that is `normal` ends so far above its mean.
LATE_SIGMAS = 3.0
NORMAL = NormalDist()


def _excess(sigmas: float) -> float:
    """The mean of what N(0, 1) is beyond `sigmas`."""
    return NORMAL.pdf(sigmas) - sigmas * NORMAL.cdf(-sigmas)


@dataclass(frozen=True)
class Jitter:
    """Delay on top of the base, drawn anew for each slot of `period_ms` (see `impairments`), since what delays one
    packet delays its neighbours. Order is kept: a packet never overtakes the one before it.

    `normal`: N(0, `ms`), cut at 3 sigma above, at `early_sigmas` below, since what waits on the way can be late without
    end but no earlier than the line is long, and where the whole delay would be negative. `uniform` and `steps`:
    U(0, `ms`); `steps` is what a satellite link does when it is re-routed, every 15 s.
    """

    kind: Literal["none", "normal", "uniform", "steps"] = "none"
    ms: float = 0.0
    period_ms: float = 10.0
    early_sigmas: float = LATE_SIGMAS

    @property
    def mean_ms(self) -> float:
        if self.kind in ("uniform", "steps"):
            return self.ms / 2
        return self.ms * (_excess(self.early_sigmas) - _excess(LATE_SIGMAS))


@dataclass(frozen=True)
class Loss:
    """Packets lost after the queue: their share, in bursts of a mean length in packets (1 = each by itself)."""

    rate: float = 0.0
    burst: float = 1.0


@dataclass(frozen=True)
class Trace:
    """Delivery opportunities: at each of these times (ms, ascending, from 0) up to 1500 bytes may leave the queue.

    The last line is also the period after which the trace begins again, as in mahimahi.
    """

    name: str
    at_ms: tuple[int, ...] = field(repr=False)

    @property
    def mean_bps(self) -> float:
        return len(self.at_ms) * OPPORTUNITY_BYTES * 8 / (self.at_ms[-1] / 1000)


@dataclass(frozen=True)
class Direction:
    """One way over a link. Bytes are those of IP packets, as Internet access is sold.

    A packet waits in a queue of `queue_bytes` (`droptail`: one that does not fit is dropped; `pie`: RFC 8034,
    drops at random as well, to hold `pie_target_ms` once it has filled a third), is served at `rate_bps` with bursts
    of up to `bucket_bytes` ahead of it (token bucket, full at rest; 0 = none), or at the opportunities of `trace`; is
    held until the next multiple of `grant_ms` (0 = not at all; the cycle in which a cable modem asks and is granted);
    may then be lost; and arrives after `delay_ms` and jitter.
    """

    rate_bps: float
    queue_bytes: int
    discipline: Literal["droptail", "pie"] = "droptail"
    delay_ms: float = 0.0
    jitter: Jitter = Jitter()
    loss: Loss = Loss()
    bucket_bytes: int = 0
    grant_ms: float = 0.0
    pie_target_ms: float = 10.0
    trace: Trace | None = None

    @property
    def queue_ms(self) -> float:
        """Delay of a full queue."""
        return self.queue_bytes * 8000 / self.rate_bps

    @property
    def base_ms(self) -> float:
        """Mean one-way delay of a lone packet, without the time to serialise it."""
        return self.delay_ms + self.jitter.mean_ms + self.grant_ms / 2


@dataclass(frozen=True)
class Step:
    """At `at_ms` after the start the numbers that are not None change; nothing arrives during an `outage`."""

    at_ms: float
    direction: Literal["up", "down"]
    rate_bps: float | None = None
    loss_rate: float | None = None
    delay_ms: float | None = None
    outage: bool | None = None

    def of(self, before: Direction) -> Direction:
        """The direction after this step (an outage is not part of it)."""
        loss = before.loss if self.loss_rate is None else replace(before.loss, rate=self.loss_rate)
        return replace(
            before,
            rate_bps=before.rate_bps if self.rate_bps is None else self.rate_bps,
            delay_ms=before.delay_ms if self.delay_ms is None else self.delay_ms,
            loss=loss,
        )


@dataclass(frozen=True)
class Link:
    """A line between a site and the core. `schedule` is ascending; it begins again after `repeat_ms` (0 = never)."""

    name: str
    up: Direction
    down: Direction
    title: str = ""
    schedule: tuple[Step, ...] = ()
    repeat_ms: float = 0.0
    provenance: Mapping[str, Provenance] = field(
        default_factory=dict
    )  #: by dotted name: "up.rate_bps", "down.loss.rate"

    @property
    def rtt_ms(self) -> float:
        return self.up.base_ms + self.down.base_ms

    def assumed(self) -> tuple[str, ...]:
        """The dotted names of all numbers that rest on an assumption."""
        return tuple(name for name, source in self.provenance.items() if source.assumed)

    def scaled(self, name: str, factor: float) -> "Link":
        """The link with one number, by its dotted name, multiplied."""
        direction, _, rest = name.partition(".")
        one: Direction = getattr(self, direction)
        part, _, inner = rest.partition(".")
        value = getattr(one, part)
        if inner:
            changed = replace(value, **{inner: getattr(value, inner) * factor})
        else:
            changed = round(value * factor) if isinstance(value, int) else value * factor
        varied = replace(one, **{part: changed})
        return replace(self, up=varied) if direction == "up" else replace(self, down=varied)

    def total_split(self, total_bps: float, up_share: float, name: str) -> "Link":
        """The same line with `total_bps` divided between the ways, each queue kept at its length in time."""
        ways = {}
        for direction, share in (("up", up_share), ("down", 1 - up_share)):
            before: Direction = getattr(self, direction)
            rate_bps = total_bps * share
            queue = round(before.queue_ms / 8000 * rate_bps)
            ways[direction] = replace(before, rate_bps=rate_bps, queue_bytes=queue)
        return replace(self, name=name, title=name, up=ways["up"], down=ways["down"])
