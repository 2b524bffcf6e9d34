"""The judgement of cameras that adapt: pictures held back for lack of a link count as missing, and what the agent
ordered of the camera that got least has to stay at the floor.
"""

from dataclasses import replace

import numpy as np

from fishladder.loadtest.model.run import Run, summarise
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.sites.site import Orders, SiteRun
from fishladder.loadtest.traffic import Floats, decodable


def judged(scenario: Scenario, site: SiteRun, cameras: int, seed: int, backend: str) -> Run:
    """The numbers of a run with real agents."""
    run = summarise(scenario, site.traffic, site.outcome, cameras, seed, backend)
    if site.orders is None:
        return run
    from_us = scenario.warm_up_s * 1e6
    shares, rates = _by_camera(site, site.orders, from_us)
    return replace(
        run,
        decodable=float(shares.min()),
        decodable_mean=float(shares.mean()),
        camera_bps=float(rates.min()),
    )


def reaches(scenario: Scenario, run: Run, target: float) -> bool:
    """Whether the worst camera has its frames in time and, where it adapts, keeps its floor."""
    return run.decodable >= target and scenario.of_use(run.camera_bps)


def _by_camera(site: SiteRun, orders: Orders, from_us: float) -> tuple[Floats, Floats]:
    cameras = site.traffic.cameras
    counted = site.traffic.at_us >= from_us
    good = np.bincount(site.traffic.camera[counted & decodable(site.traffic, site.outcome)], minlength=cameras)
    wanted = orders.at_us >= from_us
    asked = np.bincount(orders.camera[wanted], minlength=cameras)
    bits = np.bincount(orders.camera[wanted], np.where(orders.held, 0, orders.bitrate_bps)[wanted], minlength=cameras)
    return good / np.maximum(asked, 1), bits / np.maximum(asked, 1)
