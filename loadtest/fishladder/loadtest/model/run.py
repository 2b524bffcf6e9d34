"""One run of a scenario in the model: draw the frames, carry them, and note what reports need of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fishladder.loadtest.model.datagrams import send_datagrams
from fishladder.loadtest.model.stream import send_stream
from fishladder.loadtest.model.way import Way
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.sources.frames import draw
from fishladder.loadtest.traffic import Outcome, Traffic, decodable_by_camera


@dataclass(frozen=True)
class Run:
    """Numbers of one run; ages are of frames that arrived. Shares are fractions."""

    cameras: int
    seed: int
    decodable: float  #: of the worst camera
    decodable_mean: float
    offered_bps: float
    arrived_share: float
    dropped_share: float  #: packets, by the queue
    lost_share: float  #: packets, on the line
    age_p50_ms: float
    age_p95_ms: float
    age_p99_ms: float
    queue_p95_ms: float
    lateness_p95_ms: float = 0.0
    camera_bps: float = 0.0  #: what the camera that got least might send, on average
    backend: str = "model"

    def row(self) -> dict[str, Any]:
        return dict(self.__dict__)


def simulate(scenario: Scenario, cameras: int, seed: int) -> tuple[Traffic, Outcome]:
    """The frames `cameras` offer with this seed, and what became of them."""
    spec = scenario.camera_at(cameras)
    seconds = scenario.warm_up_s + scenario.seconds
    traffic = draw(spec, cameras, seconds, seed, footage=scenario.footage_at(cameras))
    up = Way(scenario.link, "up", seed)
    if scenario.transport == "stream":
        return traffic, send_stream(traffic, up, Way(scenario.link, "down", seed), law=scenario.law)
    repair_us = scenario.link.rtt_ms * 1000 if scenario.transport == "whip" else None
    return traffic, send_datagrams(traffic, up, paced=spec.paced, repair_us=repair_us)


def summarise(
    scenario: Scenario, traffic: Traffic, outcome: Outcome, cameras: int, seed: int, backend: str = "model"
) -> Run:
    """The numbers of a run, its warm-up left out."""
    from_us = int(scenario.warm_up_s * 1e6)
    by_camera = decodable_by_camera(traffic, outcome, from_us=from_us)
    counted = traffic.at_us >= from_us
    age_ms = (outcome.arrival_us[counted] - traffic.at_us[counted]) / 1000
    arrived = age_ms[np.isfinite(age_ms)]
    p50, p95, p99 = np.percentile(arrived, [50, 95, 99]).tolist() if len(arrived) else [float("nan")] * 3
    waits = outcome.queue_us[outcome.queue_at_us >= from_us]
    packets = max(outcome.packets, 1)
    return Run(
        cameras=cameras,
        seed=seed,
        decodable=float(np.min(np.nan_to_num(by_camera))) if len(by_camera) else 0.0,
        decodable_mean=float(np.mean(np.nan_to_num(by_camera))) if len(by_camera) else 0.0,
        offered_bps=traffic.offered_bps,
        arrived_share=len(arrived) / max(int(counted.sum()), 1),
        dropped_share=outcome.packets_dropped / packets,
        lost_share=outcome.packets_lost / packets,
        age_p50_ms=p50,
        age_p95_ms=p95,
        age_p99_ms=p99,
        queue_p95_ms=float(np.percentile(waits, 95)) / 1000 if len(waits) else 0.0,
        lateness_p95_ms=float(np.percentile(outcome.lateness_us, 95)) / 1000 if len(outcome.lateness_us) else 0.0,
        camera_bps=scenario.share_bps(cameras),
        backend=backend,
    )


def run_once(scenario: Scenario, cameras: int, seed: int) -> Run:
    traffic, outcome = simulate(scenario, cameras, seed)
    return summarise(scenario, traffic, outcome, cameras, seed)
