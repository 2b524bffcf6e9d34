"""The known answer over the kernel's queue with real agents: N* is what is counted by hand, and what the model says."""

from dataclasses import replace

from support.links import needs_links_here

from fishladder.loadtest.emulation.network import emulate
from fishladder.loadtest.links.link import Direction, Link
from fishladder.loadtest.model.run import run_once, summarise
from fishladder.loadtest.saturation.confirm import emulated_run
from fishladder.loadtest.scenario import Scenario
from fishladder.loadtest.sources.camera import CameraSpec

#: Frames of 12,000 bytes: 12,552 IP bytes with all headers (see test_model), 100 ms at 1 Mbit/s. The third camera's is
#: there after 10 + 3 * 100 ms, the fourth's after 410: a deadline of 360 ms lies 50 ms from either.
CAMERA = CameraSpec(
    fps=2, bitrate_bps=12_000 * 8 * 2, gop_s=0.5, ip_ratio=1, sigma=0, phases="aligned", deadline_ms=360
)
LINE = Link("plain", Direction(1e6, 200_000, delay_ms=10), Direction(20e6, 200_000, delay_ms=10))
BY_HAND = 3


@needs_links_here
def test_real_agents_saturate_where_it_was_counted_that_they_would() -> None:
    scenario = Scenario(LINE, CAMERA, seconds=5)
    with emulate(LINE) as network:
        here = replace(scenario, link=network.link)
        for cameras in (BY_HAND, BY_HAND + 1):
            site = emulated_run(here, cameras, 1, network, lambda _: None)
            run = summarise(here, site.traffic, site.outcome, cameras, 1, "netns")
            assert (run.decodable >= 0.99) is (cameras <= BY_HAND), (cameras, run)
            assert (run_once(scenario, cameras, 1).decodable >= 0.99) is (cameras <= BY_HAND)
