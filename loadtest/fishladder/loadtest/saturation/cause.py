"""Why a link fails at some N: what would have to be taken away for it to pass. The run is repeated without loss, with
an endless queue, with another congestion control and without a long line's delay; what none of them mends is the rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from fishladder.loadtest.links.link import Link, Loss
from fishladder.loadtest.model.congestion import Law
from fishladder.loadtest.model.fluid import load
from fishladder.loadtest.model.pool import Pool
from fishladder.loadtest.model.run import Run
from fishladder.loadtest.scenario import Scenario

Kind = Literal["rate", "queue", "loss", "tcp", "delay", "gateway", "worker", "generator", "none"]
_ENDLESS = 1 << 40
#: A line is long if it takes so much of the deadline.
_LONG = 0.2
#: What the other of the two would have done.
_TCP: dict[Law, str] = {
    "bbr": "the host's TCP (bbr) keeps too little in flight where round trips differ much, and pauses every ten "
    "seconds to look for the shortest: with cubic they would pass.",
    "cubic": "the host's TCP (cubic) takes every loss for a full queue: with bbr they would pass.",
}


@dataclass(frozen=True)
class Cause:
    """What fails first, and a sentence for the reader."""

    kind: Kind
    text: str


def find_cause(scenario: Scenario, cameras: int, seeds: Sequence[int], pool: Pool, *, target: float) -> Cause:
    """Why `cameras` on this link do not reach the target."""
    link = scenario.link
    if scenario.adaptive is not None and not scenario.of_use(share := scenario.share_bps(cameras)):
        floor = f"the floor is {scenario.adaptive.floor_bps / 1000:.0f}"
        return Cause("rate", f"{cameras} cameras are left {share / 1000:.0f} kbit/s each; {floor}.")
    offered_share = load(scenario, cameras)
    percent = f"{offered_share:.1%}" if abs(offered_share - 1) < 0.01 else f"{offered_share:.0%}"
    offered = f"{cameras} cameras offer {percent} of what the uplink carries, headers included"
    if offered_share >= 1:
        return Cause("rate", f"{offered}: what waits grows without end.")

    def passes(changed: Link, **other: Any) -> bool:
        runs: list[Run] = list(pool.runs((replace(scenario, link=changed, **other), cameras, seed) for seed in seeds))
        return sum(run.decodable for run in runs) / len(runs) >= target

    if _lossy(link) and passes(_changed(link, loss=Loss())):
        return Cause("loss", f"{offered}, and without loss on the line they would pass.")
    if passes(_changed(link, queue_bytes=_ENDLESS, discipline="droptail")):
        queue_ms = link.up.queue_ms
        how = " under PIE" if link.up.discipline == "pie" else ""
        return Cause("queue", f"{offered}; bursts overflow the queue of {queue_ms:.0f} ms{how}, a longer one would do.")
    if scenario.transport == "stream" and passes(link, law="cubic" if scenario.law == "bbr" else "bbr"):
        return Cause("tcp", f"{offered}; {_TCP[scenario.law]}")
    if link.up.base_ms > scenario.camera.deadline_ms * _LONG and passes(_changed(link, delay_ms=0.0)):
        return Cause("delay", f"{offered}; of the deadline the line's own {link.up.base_ms:.0f} ms leave too little.")
    return Cause("rate", f"{offered} on average; keyframes and bursts need more for too long.")


def _lossy(link: Link) -> bool:
    return bool(link.up.loss.rate or any(step.loss_rate or step.outage for step in link.schedule))


def _changed(link: Link, **up: object) -> Link:
    schedule = link.schedule
    if "loss" in up:
        schedule = tuple(replace(step, loss_rate=None, outage=None) for step in schedule)
    return replace(link, up=replace(link.up, **up), schedule=schedule)  # type: ignore[arg-type]
