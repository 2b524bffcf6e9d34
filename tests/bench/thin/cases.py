"""What is run: links, cameras, and the bounds a run of our agent is judged by. How it is run is `cell`'s.

F1 per megabit is judged against a fixed rate of 85 % of the same link, which is what a careful person sets: more, and
the first busy hour fills the queue; and such a person is lucky, since here the link never carries less than they were
told. The fixed rate is treated kindly: pictures that come seconds late count as if they were live, ours only if they
are, and ours pays for what comes as backfill. But the quotient alone rewards whoever sends less: F1 rises ever more
slowly with the rate, so a camera that leaves half of the link empty has the better quotient and the worse detections.
So the table also says what a fixed rate finds *with the bits that ours sent* (read off its own curve), which is the
comparison that is fair at any load, and neither says anything without F1 itself beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fishladder.loadtest.links.link import Direction, Jitter, Link, Loss, Step

Figures = Mapping[str, Any]
OURS, FIXED, STOCK = "ours", "fixed", "stock"


class Bound(NamedTuple):
    """What is asked for, and whether our figures meet it (None: they do not say), given those of the fixed rate of
    the same case and seed, if there are any."""

    words: str
    met: Callable[[Figures, Figures | None], bool | None]


@dataclass(frozen=True)
class Case:
    """`cameras` are weights, of one agent, or of one agent each with `agents`; each would send `kbps` at `fps`. Rates
    in Mbit/s; `steps` and `steps_down` are (second, rate). `fixed_share`: of the link at the start, what a careful
    person would set fixed rates to.
    """

    name: str
    rate: float
    cameras: Sequence[float] = (1.0,)
    kbps: int = 3000
    fps: int = 30
    queue_bytes: int = 62_500
    rtt_ms: float = 20.0
    down_rate: float = 20.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    steps: Sequence[tuple[float, float]] = ()
    steps_down: Sequence[tuple[float, float]] = ()
    outage: tuple[float, float] | None = None
    seconds: float | None = None  #: None: as long as asked for
    seeds: int = 3
    variants: Sequence[str] = (OURS, FIXED, STOCK)
    agents: bool = False
    starts: Sequence[float] = ()  #: when each camera begins, if not at once
    delays_ms: Sequence[float] = ()  #: one way, of each agent by itself, beyond the link's
    pause: tuple[int, float, float] | None = None  #: camera, from, to
    reverse: bool = False  #: another agent sends the other way
    tcp: str = ""  #: "long" or "short": others' flows beside
    voice: bool = False
    yields: bool = False
    detect: bool = False  #: what a detector finds in what came
    quiet_s: float = 0.0  #: nothing moves before the first camera for so long
    congestion: str = ""
    fixed_share: float = 0.85
    bounds: Sequence[Bound] = ()

    def backwards(self) -> "Case":
        """As the agent sees it that sends the other way."""
        turned = replace(self, rate=self.down_rate, steps=self.steps_down, down_rate=self.rate, steps_down=self.steps)
        return replace(turned, cameras=(1.0,), starts=(), delays_ms=(), pause=None)

    def link(self) -> Link:
        """The emulated line."""
        steps = [Step(at * 1000, "up", rate_bps=rate * 1e6) for at, rate in self.steps]
        steps += [Step(at * 1000, "down", rate_bps=rate * 1e6) for at, rate in self.steps_down]
        if self.outage is not None:
            begin, end = (at * 1000 for at in self.outage)
            for at, out in ((begin, True), (end, False)):
                steps += [Step(at, "up", outage=out), Step(at, "down", outage=out)]
        jitter = Jitter("normal", self.jitter_ms) if self.jitter_ms else Jitter()
        half = self.rtt_ms / 2
        up = Direction(self.rate * 1e6, self.queue_bytes, delay_ms=half, jitter=jitter, loss=Loss(self.loss))
        down_queue = self.queue_bytes if self.reverse else 250_000
        down = Direction(self.down_rate * 1e6, down_queue, delay_ms=half, jitter=jitter if self.reverse else Jitter())
        return Link(self.name, up, down, schedule=tuple(sorted(steps, key=lambda step: step.at_ms)))


def at_least(what: str, least: float, words: str) -> Bound:
    return Bound(words, lambda it, _: None if it.get(what) is None else bool(it[what] >= least))


def at_most(what: str, most: float, words: str) -> Bound:
    return Bound(words, lambda it, _: None if it.get(what) is None else bool(it[what] <= most))


def as_fixed(what: str, words: str) -> Bound:
    """At least what the fixed rate has."""

    def met(it: Figures, fixed: Figures | None) -> bool | None:
        if fixed is None or it.get(what) is None or fixed.get(what) is None:
            return None
        return bool(it[what] >= fixed[what])

    return Bound(words, met)


_ONE = (
    at_least("used", 0.85, "goodput >= 85 %"),
    at_most("age_p50_ms", 60, "p50 <= 60 ms"),
    at_most("age_p95_ms", 150, "p95 <= 150 ms"),
    at_most("age_p99_ms", 300, "p99 <= 300 ms"),
    at_most("freezes", 0, "no freeze > 300 ms"),
)
_PER_MBIT = as_fixed("f1_per_mbit", "F1 per megabit as with a fixed rate or better")
_THIN = (at_most("age_p95_ms", 1000, "p95 < 1 s"), at_least("decodable", 0.999, "all decodable"), _PER_MBIT)
_LOSSY = (at_most("age_p99_ms", 1000, "p99 <= 1 s"), at_least("decodable", 0.999, "all decodable"))

MUST_SHOW = (
    Case("1-mbit", 1.0, bounds=_ONE),
    Case(
        "step-up",
        1.0,
        kbps=6000,
        steps=((20.0, 4.0),),
        bounds=(at_most("used_after_s", 5, "90 % of 4 Mbit/s within 5 s"),),
    ),
    Case(
        "step-down",
        4.0,
        kbps=6000,
        steps=((20.0, 1.0),),
        bounds=(at_most("after_step_p99_ms", 500, "p99 <= 500 ms in the 5 s after"),),
    ),
    Case(
        "8-cameras",
        6.0,
        cameras=(4, 2, 1, 1, 1, 1, 1, 1),
        kbps=2000,
        fps=10,
        queue_bytes=150_000,
        variants=(OURS, FIXED),
        bounds=(
            at_least("used", 0.9, "total >= 90 %"),
            at_most("share_error", 0.1, "shares within 10 %"),
            at_most("age_p95_ms", 150, "p95 <= 150 ms"),
        ),
    ),
    Case(
        "activity",
        6.0,
        cameras=(1.0,) * 8,
        kbps=2000,
        fps=10,
        queue_bytes=150_000,
        quiet_s=25.0,
        variants=(OURS,),
        bounds=(
            at_least("share_after_2s", 0.9, "its fair share after 2 s"),
            at_most("share_before", 0.5, "below half of it before"),
        ),
    ),
    Case("250-kbit", 0.25, rtt_ms=100.0, queue_bytes=31_250, detect=True, bounds=_THIN),
    Case("100-kbit", 0.1, rtt_ms=100.0, queue_bytes=12_500, detect=True, bounds=_THIN),
    Case("500-kbit", 0.5, rtt_ms=100.0, queue_bytes=62_500, detect=True, bounds=(_PER_MBIT,)),
    Case("1000-kbit", 1.0, rtt_ms=100.0, queue_bytes=62_500, detect=True, bounds=(_PER_MBIT,)),
    Case(
        "yield",
        1.0,
        variants=(OURS,),
        voice=True,
        yields=True,
        bounds=(at_most("voice_p95_ms", 30, "voice p95 <= 30 ms"),),
    ),
    Case(
        "backfill",
        1.0,
        kbps=450,
        variants=(OURS,),
        outage=(20.0, 30.0),
        bounds=(
            at_most("backfill_adds_ms", 50, "adds <= 50 ms to live p95"),
            at_least("backfilled", 1, "backfill came"),
        ),
    ),
    Case("loss-bbr", 2.0, rtt_ms=60.0, loss=0.02, congestion="bbr", bounds=_LOSSY),
    Case("loss-cubic", 2.0, rtt_ms=60.0, loss=0.02, congestion="cubic", bounds=_LOSSY),
    Case(
        "2-agents",
        2.0,
        cameras=(1.0, 1.0),
        agents=True,
        starts=(0.0, 15.0),
        variants=(OURS, FIXED),
        fixed_share=0.5,
        bounds=(at_least("fairness", 0.95, "Jain >= 0.95"), at_most("age_p95_ms", 300, "p95 <= 300 ms")),
    ),
)


def _rfc(name: str, rate: float, seconds: float, **more: Any) -> Case:
    """With the defaults of RFC 8867, section 4: 50 ms one way, a drop-tail queue of 300 ms, jitter up to 30 ms. Media
    flows can fill the link."""
    flows = more.get("cameras", (1.0,))
    case = Case(
        f"rfc8867-{name}",
        rate,
        kbps=round(max([rate, *(r for _, r in more.get("steps", ()))]) * 1500 / min(len(flows), 2)),
        queue_bytes=round(rate * 1e6 * 0.3 / 8),
        rtt_ms=100.0,
        jitter_ms=10.0,
        seconds=seconds,
        seeds=1,
        agents=True,
        bounds=(),
    )
    return replace(case, **more)


RFC_8867 = (
    _rfc("5.1", 1.0, 100, steps=((40, 2.5), (60, 0.6), (80, 1.0))),
    _rfc("5.2", 4.0, 125, cameras=(1.0, 1.0), steps=((25, 2.0), (50, 3.5), (75, 1.0), (100, 2.0))),
    _rfc(
        "5.3",
        2.0,
        100,
        down_rate=2.0,
        reverse=True,
        variants=(OURS,),
        steps=((20, 1.0), (40, 0.5), (60, 2.0)),
        steps_down=((35, 0.8), (70, 2.0)),
    ),
    _rfc("5.4", 3.5, 120, cameras=(1.0,) * 3, starts=(0, 20, 40)),
    _rfc(
        "5.5",
        4.0,
        300,
        cameras=(1.0,) * 5,
        starts=(0, 10, 20, 30, 40),
        rtt_ms=4.0,
        jitter_ms=0.0,
        delays_ms=(8, 23, 48, 98, 148),
    ),
    _rfc("5.6-300ms", 2.0, 120, starts=(5.0,), tcp="long"),
    _rfc("5.6-1000ms", 2.0, 120, starts=(5.0,), tcp="long", queue_bytes=250_000),
    _rfc("5.7", 2.0, 300, cameras=(1.0, 1.0), starts=(5.0, 5.0), tcp="short"),
    _rfc("5.8", 3.5, 120, cameras=(1.0,) * 3, variants=(OURS,), pause=(0, 40.0, 60.0)),
)

CASES = {case.name: case for case in (*MUST_SHOW, *RFC_8867)}
