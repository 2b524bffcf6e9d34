"""The model against values known otherwise: counted by hand, by what cannot be, or by what must stay the same."""

from collections import deque
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fishladder.loadtest.links.link import Direction, Jitter, Link, Loss
from fishladder.loadtest.model.congestion import Law, window
from fishladder.loadtest.model.fluid import fluid_bound
from fishladder.loadtest.model.run import run_once, simulate
from fishladder.loadtest.saturation.search import find_knee
from fishladder.loadtest.saturation.statistics import Sample
from fishladder.loadtest.scenario import Adaptive, Scenario
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.frames import draw

#: 10 packets of 1250 IP bytes a frame as datagrams: 10 ms at 10 Mbit/s.
CONSTANT = CameraSpec(fps=5, bitrate_bps=12_000 * 8 * 5, gop_s=0.2, ip_ratio=1, sigma=0, phases="aligned")
PLAIN = Link("plain", Direction(10e6, 10**6, delay_ms=10), Direction(100e6, 10**6, delay_ms=10))


def knee(scenario: Scenario, seeds: int = 2) -> int:
    def evaluate(cameras: int, count: int) -> Sample:
        return Sample(tuple(run_once(scenario, cameras, seed).decodable for seed in range(count)))

    return find_knee(evaluate, target=0.99, guess=3, seeds=seeds, limit=60).passing


@pytest.mark.parametrize(
    ("deadline_ms", "queue_bytes", "expected"),
    [
        (100, 10**6, 9),  # the ninth camera's frame is there at 10 + 9 * 10 ms, exactly in time
        (99.999, 10**6, 8),
        (145, 10**6, 13),
        (500, 10**6, 20),  # 20 frames of 10 ms fill the 200 ms between pictures; with 21 the queue grows for ever
        (500, 6 * 12_500, 6),  # the queue holds six frames
    ],
)
def test_the_known_answer(deadline_ms: float, queue_bytes: int, expected: int) -> None:
    link = replace(PLAIN, up=replace(PLAIN.up, queue_bytes=queue_bytes))
    camera = replace(CONSTANT, deadline_ms=deadline_ms)
    assert knee(Scenario(link, camera, transport="datagrams", seconds=20)) == expected
    assert fluid_bound(Scenario(link, camera, "datagrams")) == 20


def test_the_known_answer_of_a_stream() -> None:
    """A frame of 12,000 bytes is 12,000 + 42 of the unit's header + 42 around its one fragment = 9 segments of 52 bytes
    more: 12,552 IP bytes, 10.04 ms at 10 Mbit/s. In time at 95 ms less 10 ms are 8 of them (80.3 ms), not 9 (90.4).
    """
    camera = replace(CONSTANT, deadline_ms=95)
    assert knee(Scenario(PLAIN, camera, seconds=20)) == 8


def test_a_run_is_its_seed_s() -> None:
    link = replace(PLAIN, up=replace(PLAIN.up, jitter=Jitter("normal", 5), loss=Loss(0.01, 3)))
    for transport in ("stream", "whip", "datagrams"):
        scenario = Scenario(link, transport=transport, seconds=5)
        assert run_once(scenario, 3, 7) == run_once(scenario, 3, 7)
        assert run_once(scenario, 3, 7) != run_once(scenario, 3, 8)


@settings(deadline=None, max_examples=25)
@given(
    cameras=st.integers(1, 5),
    rate_mbps=st.sampled_from([0.8, 4.0, 30.0]),
    queue_ms=st.sampled_from([20, 300]),
    discipline=st.sampled_from(["droptail", "pie"]),
    loss=st.sampled_from([0.0, 0.01]),
    law=st.sampled_from(["cubic", "bbr"]),
    seed=st.integers(0, 9),
)
def test_a_stream_delivers_every_frame_in_order_and_no_faster_than_the_link(
    cameras: int, rate_mbps: float, queue_ms: int, discipline: str, loss: float, law: str, seed: int
) -> None:
    up = Direction(
        rate_mbps * 1e6,
        round(rate_mbps * 125 * queue_ms),
        discipline=discipline,
        delay_ms=20,
        jitter=Jitter("uniform", 5),
        loss=Loss(loss, 2),
        grant_ms=2,
    )
    scenario = Scenario(
        Link("some", up, replace(PLAIN.down)), replace(CameraSpec(), bitrate_bps=4e5), law=law, seconds=4
    )
    traffic, outcome = simulate(scenario, cameras, seed)
    assert np.isfinite(outcome.arrival_us).all()
    assert np.all(outcome.arrival_us >= traffic.at_us + 20_000)
    for camera in range(cameras):
        assert np.all(np.diff(outcome.arrival_us[traffic.camera == camera]) >= 0)
    took_s = (outcome.arrival_us.max() - traffic.at_us[0] - 20_000) / 1e6
    assert traffic.size_bytes.sum() * 8 <= rate_mbps * 1e6 * took_s


def test_loss_holds_up_a_stream_for_a_round_trip() -> None:
    one = replace(CONSTANT, deadline_ms=500)
    calm = simulate(Scenario(PLAIN, one, seconds=60), 1, 1)
    lossy = simulate(Scenario(replace(PLAIN, up=replace(PLAIN.up, loss=Loss(0.005))), one, seconds=60), 1, 1)
    late = lossy[1].arrival_us - calm[1].arrival_us
    held_up = late > 1000
    assert 0.01 < held_up.mean() < 0.1  # 9 segments a frame, 0.5 % each
    assert np.median(late[held_up]) == pytest.approx(20_000 + 12_000, abs=15_000)


def test_a_long_thin_lossy_path_starves_cubic_and_not_bbr() -> None:
    path = Link("path", Direction(10e6, 10**6, delay_ms=300, loss=Loss(0.01)), Direction(10e6, 10**6, delay_ms=300))
    camera = replace(CameraSpec(), deadline_ms=4000)
    assert run_once(Scenario(path, camera, law="cubic"), 2, 1).decodable < 0.5
    assert run_once(Scenario(path, camera, law="bbr"), 2, 1).decodable > 0.99


def test_bbr_looks_for_the_least_round_trip_every_ten_seconds() -> None:
    """Next to nothing may be in flight for 200 ms then; where a queue stands, so that it is not seen anyway."""
    bbr = window("bbr", 20_000)
    flight: deque[tuple[float, int]] = deque()
    now_us, in_flight, pauses = 0.0, 0, []
    while now_us < 25e6:
        now_us += 1000
        while flight and flight[0][0] <= now_us:
            in_flight -= flight[0][1]
            bbr.acked(now_us, flight.popleft()[1], limited=True, queue_us=0, round_us=20_000 + in_flight / 2)
        while in_flight + 1448 <= bbr.bytes and bbr.not_before(now_us) <= now_us:
            bbr.sent(now_us, 1448, in_flight, held=True)
            in_flight += 1448
            flight.append((max(now_us + 20_000, flight[-1][0] + 1200 if flight else 0), 1448))
        if bbr.bytes <= 4 * 1448:
            pauses.append(now_us / 1e6)
    begins = [pauses[0], *(at for before, at in pairwise(pauses) if at - before > 1)]
    assert len(begins) == 2
    assert begins[1] - begins[0] == pytest.approx(10.2, abs=0.2)
    assert 0.2 <= len(pauses) / 1000 / 2 < 0.4, "a moment each"


def test_bbr_starves_where_the_shortest_round_trip_is_far_from_the_usual() -> None:
    """It keeps in flight what the shortest would hold. Real agents on such lines had 0.07 to 0.99 of their frames, by
    where the dips fell, and all of them where no packet was much faster than usual.
    """

    def line(early: float) -> Link:
        jitter = Jitter("normal", 3, early_sigmas=early)
        return Link(
            "cable",
            Direction(46e6, 1_450_000, delay_ms=7, jitter=jitter),
            Direction(100e6, 10**6, delay_ms=7, jitter=jitter),
        )

    def worst(early: float, law: Law) -> float:
        return min(run_once(Scenario(line(early), law=law, seconds=20), 17, seed).decodable for seed in range(1, 5))

    assert worst(3, "bbr") < 0.7
    assert worst(3, "cubic") > 0.95
    assert worst(1, "bbr") > 0.95


def test_what_bbr_keeps_in_flight_goes_by_what_it_measured() -> None:
    """A line of 100 Mbit/s whose queue holds 20 ms: real agents lost 0.1 to 0.5 % of their packets to it."""
    jitter = Jitter("uniform", 2)
    way = Direction(100e6, 250_000, delay_ms=1.5, jitter=jitter)
    run = run_once(Scenario(Link("fibre", way, way), law="bbr", seconds=20), 42, 1)
    assert run.decodable > 0.99
    assert run.dropped_share < 0.01


def test_repair_is_what_makes_whip_useful_on_a_lossy_line() -> None:
    link = replace(PLAIN, up=replace(PLAIN.up, loss=Loss(0.005)))
    assert run_once(Scenario(link, transport="datagrams"), 1, 1).decodable < 0.6
    assert run_once(Scenario(link, transport="whip"), 1, 1).decodable > 0.98


def test_frames_are_as_described() -> None:
    spec = CameraSpec(bitrate_bps=1e6, ip_ratio=15)
    offered = draw(spec, 4, 120, 3)
    assert offered.offered_bps == pytest.approx(4e6, rel=0.03)
    sizes = offered.size_bytes
    assert sizes[offered.key].mean() / sizes[~offered.key].mean() == pytest.approx(15, rel=0.05)
    assert offered.key.sum() == pytest.approx(4 * 120 / 2, abs=4)
    assert np.std(np.log(sizes[~offered.key])) == pytest.approx(0.2, rel=0.05)


def test_one_more_camera_leaves_the_others_as_they_were() -> None:
    three, four = draw(CameraSpec(), 3, 10, 1), draw(CameraSpec(), 4, 10, 1)
    for camera in range(3):
        assert np.array_equal(three.size_bytes[three.camera == camera], four.size_bytes[four.camera == camera])


def test_adaptive_cameras_share_the_link_down_to_their_floor() -> None:
    scenario = Scenario(PLAIN, adaptive=Adaptive(floor_bps=500_000), seconds=20)
    assert [scenario.share_bps(n) for n in (2, 10)] == [2_000_000, 850_000]
    assert scenario.camera_at(2).bitrate_bps == 2_000_000
    assert scenario.camera_at(100).bitrate_bps == 500_000
    assert scenario.of_use(scenario.share_bps(17))
    assert not scenario.of_use(scenario.share_bps(18))
    assert knee(scenario) > knee(replace(scenario, adaptive=None)) >= 3
    assert fluid_bound(scenario) == 18  # 20 but for the headers of small fragments


@pytest.mark.parametrize("fps", [2.0, 15.0])
def test_an_encoder_with_a_short_buffer_makes_small_keyframes(fps: float) -> None:
    usual = CameraSpec(fps=fps)
    short = usual.with_buffer(0.12)
    assert short.i_bytes <= max(0.12 * usual.bitrate_bps / 8, usual.mean_frame_bytes) * 1.001
    mean = (short.i_bytes + short.p_bytes * (short.gop_frames - 1)) / short.gop_frames
    assert mean == pytest.approx(usual.mean_frame_bytes)
    assert usual.with_buffer(100) == usual


def test_bbr_lets_a_lone_camera_s_keyframe_go_at_once() -> None:
    """What a camera that sends little teaches TCP of the link must not slow its keyframes down."""
    link = replace(PLAIN, up=replace(PLAIN.up, delay_ms=25, jitter=Jitter("normal", 10, early_sigmas=1)))
    run = run_once(Scenario(link, law="bbr", seconds=20), 1, 1)
    assert run.decodable == 1
    assert run.age_p95_ms < 100
