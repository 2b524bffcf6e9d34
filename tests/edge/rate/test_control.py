"""The rate control on a modelled link, in simulated time: how much of it is used, how long pictures wait, and what it
makes of a link that is fast, gets slower, faster, or away.
"""

from statistics import median

import pytest
from support.fluid_site import Bottleneck, Camera, Cubic, FluidSite, Lending, Upload, at, run

from fishladder.edge.link_state import LinkState
from fishladder.edge.rate.control import RateControl
from fishladder.edge.rate.orders import Wish


def camera(kbps: int = 3000, fps: float = 30, weight: float = 1.0) -> Camera:
    return Camera(Wish(weight, kbps * 1000.0, fps, 640, 360))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise_s", [0.002, 0.03])
def test_a_thin_link_is_used_and_its_queue_is_short(seed: int, noise_s: float) -> None:
    site = FluidSite([camera()], lambda _: 1e6, noise_s=noise_s, seed=seed)
    site.run(60)
    ages = site.ages_ms(3, 58)
    assert site.used(3, 58) > 0.85e6
    assert (at(ages, 0.5) < 60, at(ages, 0.95) < 150, at(ages, 0.99) < 300) == (True, True, True), ages[-100:]


def test_a_link_that_gets_faster_is_used_soon() -> None:
    site = FluidSite([camera(6000)], lambda now_s: 1e6 if now_s < 20 else 4e6)
    site.run(40)
    assert site.used(25, 38) > 0.9 * 4e6 * 0.95
    assert at(site.ages_ms(20, 38), 0.99) < 300


@pytest.mark.parametrize("seed", range(4))
def test_a_link_that_got_four_times_as_fast_is_used_within_five_seconds(seed: int) -> None:
    site = FluidSite([camera(6000)], lambda now_s: 1e6 if now_s < 20 else 4e6, seed=seed)
    site.run(35)
    assert site.used(23, 25) > 0.9 * 4e6
    assert at(site.ages_ms(20, 34), 0.99) < 400


@pytest.mark.parametrize("bucket_bytes", [3_000, 30_000])
def test_a_link_that_lends_for_a_moment_is_not_taken_at_its_word(bucket_bytes: int) -> None:
    site = FluidSite([camera(6000)], Lending(1e6, bucket_bytes))
    site.run(40)
    ages = site.ages_ms(5, 38)
    assert site.used(5, 38) > 0.85e6
    assert (at(ages, 0.95) < 300, at(ages, 0.99) < 400) == (True, True)


def test_a_link_that_gets_slower_holds_up_little() -> None:
    site = FluidSite([camera(6000)], lambda now_s: 4e6 if now_s < 20 else 1e6)
    site.run(40)
    assert at(site.ages_ms(20, 25), 0.99) < 500
    assert at(site.ages_ms(25, 38), 0.95) < 200
    assert site.used(25, 38) > 0.85e6


@pytest.mark.parametrize("kbps", [250, 100])
def test_very_thin_links_carry_fewer_pictures_in_time(kbps: int) -> None:
    site = FluidSite([camera()], lambda _: kbps * 1000.0, rtt_s=0.1)
    site.run(60)
    assert site.used(5, 58) > 0.8 * kbps * 1000
    assert at(site.ages_ms(5, 58), 0.95) < 500
    pictures = sum(5 <= unit.ready_s < 58 for unit in site.units) / 53
    assert 4 < pictures < 29


@pytest.mark.parametrize(("kbps", "keyframe_s"), [(1000, 5.0), (100, 7.0)])
def test_the_thinner_a_link_the_rarer_are_keyframes(kbps: int, keyframe_s: float) -> None:
    """One that may be no larger than any other picture is poor, and so are those behind it for a while."""
    site = FluidSite([camera()], lambda _: kbps * 1000.0, rtt_s=0.1)
    site.run(30)
    assert [it.order.keyframe_s for it in site.cameras] == [keyframe_s]


@pytest.mark.parametrize("cameras", [8, 16])
def test_many_cameras_on_a_very_thin_link_are_late_by_little(cameras: int) -> None:
    """None has a right to what the link has not."""
    site = FluidSite([camera(1500, 10) for _ in range(cameras)], lambda _: 100e3, rtt_s=0.1, spooled=False)
    site.run(90)
    assert site.used(15, 88) > 0.7 * 100e3
    assert at(site.ages_ms(15, 88), 0.95) < 1000
    assert all(site.used(15, 88, channel) > 0.4 * 100e3 / cameras for channel in range(cameras))


@pytest.mark.parametrize("tcp_says", [True, False])
def test_a_thin_link_is_known_when_the_connection_is_made_anew(tcp_says: bool) -> None:
    spilled = 0
    for seed in range(1, 4):
        cameras = [camera(1500, 10) for _ in range(8)]
        site = FluidSite(cameras, lambda _: 250e3, rtt_s=0.1, tcp_says=tcp_says, seed=seed)
        site.run(40)
        spilled -= site.spilled
        site.control = RateControl(8, site.control)
        site.run(10)
        spilled += site.spilled
        assert at(site.ages_ms(40, 42), 0.95) < 700
    assert spilled < 3 * 40


def test_weights_share_a_link() -> None:
    site = FluidSite([camera(2000, 10, weight) for weight in (4, 2, 1, 1, 1, 1, 1, 1)], lambda _: 6e6)
    site.run(60)
    got = [site.used(10, 58, channel) for channel in range(8)]
    for weight, bps in zip((4, 2, 1, 1, 1, 1, 1, 1), got, strict=True):
        assert bps == pytest.approx(sum(got) * weight / 12, rel=0.1)
    assert sum(got) > 0.88 * 6e6
    assert at(site.ages_ms(10, 58), 0.95) < 150


def test_a_scene_in_which_something_happens_gets_its_share_at_once() -> None:
    quiet = camera(2000, 10)
    quiet.worth_bps = lambda now_s: 50_000 if now_s < 20 else 1e9
    site = FluidSite([quiet, *(camera(2000, 10) for _ in range(3))], lambda _: 3e6)
    site.run(30)
    assert site.used(15, 20) > 0.8 * 3e6, "the others use what it leaves"
    assert site.used(22, 24, 0) > 0.9 * site.used(22, 24) / 4, "its share, within two seconds"
    assert site.used(22, 24) > 0.8 * 3e6


def test_a_camera_that_sends_little_says_nothing_about_the_link() -> None:
    little = camera(3000)
    little.worth_bps = lambda now_s: 40_000 if now_s < 30 else 1e9
    site = FluidSite([little], lambda _: 100e6)
    site.run(40)
    assert site.control.estimator.carried_bps is None
    assert site.used(33, 38) > 0.8 * 3e6
    assert all(it.order.fps == 0 and not it.order.hold for it in site.cameras)


@pytest.mark.parametrize("fps", [1, 2, 15])
def test_on_a_fast_link_a_camera_gets_all_it_wants(fps: float) -> None:
    site = FluidSite([camera(1500, fps)], lambda _: 50e6)
    site.run(20)
    assert site.used(5, 19) > 0.8 * 1.5e6
    assert site.cameras[0].shed == 0


def test_after_an_outage_it_goes_on() -> None:
    site = FluidSite([camera(1500)], lambda now_s: 0.0 if 20 < now_s < 25 else 1e6)
    site.run(45)
    assert at(site.ages_ms(26, 43), 0.95) < 200
    assert site.used(33, 43) > 0.8e6


@pytest.mark.parametrize("mbps", [0.1, 1.0, 20.0])
def test_what_goes_to_the_spool_in_an_outage_is_as_good_as_before(mbps: float) -> None:
    site = FluidSite([camera(1500)], lambda now_s: 0.0 if 20 < now_s < 40 else mbps * 1e6)
    site.run(55)

    def made_bps(since_s: float, until_s: float) -> float:
        return sum(it.bytes for it in site.units if since_s <= it.ready_s < until_s) * 8 / (until_s - since_s)

    assert made_bps(25, 40) > 0.6 * made_bps(10, 20)
    assert at(site.ages_ms(43, 53), 0.95) < 400, "and live does not wait for it"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise_s", [0.004, 0.03])
@pytest.mark.parametrize(
    "silent",
    [
        [(30, 30.4)],
        [(30, 30.6)],
        [(30, 32)],
        [(30, 45)],
        [(20, 22), (25, 28), (30, 30.8), (34, 36)],
        [(20 + 3 * i, 21.5 + 3 * i) for i in range(8)],
    ],
)
def test_a_store_that_stands_still_costs_no_picture(
    seed: int, noise_s: float, silent: list[tuple[float, float]]
) -> None:
    """The link is as fast as before, and what it carried meanwhile is all there."""
    site = FluidSite([camera(2000, 15) for _ in range(4)], lambda _: 50e6, noise_s=noise_s, silent=silent, seed=seed)
    site.run(55)
    assert site.fewer == 0
    assert site.used(50, 54) > 0.8 * 8e6


@pytest.mark.parametrize("away_s", [0.4, 1.0, 6.0])
def test_a_fast_link_that_was_away_costs_no_picture(away_s: float) -> None:
    site = FluidSite([camera(2000, 15) for _ in range(4)], lambda now_s: 0.0 if 20 < now_s < 20 + away_s else 50e6)
    site.run(45)
    assert site.fewer == 0


def test_without_a_spool_a_camera_waits_before_it_encodes_for_nobody() -> None:
    site = FluidSite([camera(6000)], lambda now_s: 4e6 if now_s < 20 else 0.4e6, spooled=False)
    site.run(30)
    assert site.cameras[0].shed > 10
    assert site.spilled == 0
    assert at(site.ages_ms(23, 28), 0.95) < 1000


@pytest.mark.parametrize("tcp_says", [True, False])
@pytest.mark.parametrize(("queue_s", "late_ms"), [(0.1, 500), (0.3, 700), (1.0, 1500)])
def test_a_long_upload_beside_it_gets_its_part_and_no_more(queue_s: float, late_ms: float, tcp_says: bool) -> None:
    """Whoever fills a queue takes the link from all who give way to it. When that is seen is chance."""
    used, late_after_ms = [], []
    for seed in range(1, 6):
        site = FluidSite([camera()], lambda _: 2e6, rtt_s=0.1, tcp_says=tcp_says, seed=seed)
        run([site], 120, Upload(20, 80, queue_s))
        used.append(site.used(40, 80) / 2e6)
        assert at(site.ages_ms(40, 78), 0.95) < late_ms
        assert site.used(90, 118) > 0.85 * 2e6
        late_after_ms.append(at(site.ages_ms(90, 118), 0.95))
    assert median(used) > 0.18, used
    assert median(late_after_ms) < 250, late_after_ms
    assert max(late_after_ms) < 300, late_after_ms


@pytest.mark.parametrize("tcp_says", [True, False])
@pytest.mark.parametrize(("queue_s", "late_ms"), [(0.3, 700), (1.0, 1500)])
def test_who_joins_a_queue_that_rises_and_falls_gets_its_part(queue_s: float, late_ms: float, tcp_says: bool) -> None:
    """It never saw the link empty: what it takes for that is the queue's lowest."""
    site = FluidSite([camera()], lambda _: 2e6, rtt_s=0.1, begins_s=5, tcp_says=tcp_says)
    run([site], 120, Upload(0, 80, queue_s, falls=0.3))
    assert site.used(40, 80) > 0.15 * 2e6
    assert at(site.ages_ms(40, 78), 0.95) < late_ms
    assert site.used(90, 118) > 0.85 * 2e6


@pytest.mark.parametrize("tcp_begins_s", [0.0, 10.0], ids=["joins", "was first"])
@pytest.mark.parametrize(("queue_s", "part"), [(0.1, 0.5), (0.3, 0.4), (1.0, 0.25)])
def test_a_long_flow_of_cubic_leaves_us_a_part_of_the_link(queue_s: float, part: float, tcp_begins_s: float) -> None:
    """It takes all that is left to it; by chance it loses more or less, so it is several times that are looked at."""
    used = []
    for seed in range(1, 6):
        site = FluidSite([camera()], lambda _: 2e6, rtt_s=0.1, begins_s=5, seed=seed)
        run([site], 120, Cubic(tcp_begins_s, 90, queue_s, seed=seed))
        used.append(site.used(20, 90) / 2e6)
        assert at(site.ages_ms(20, 88), 0.95) < 400 + 2200 * queue_s, "each loss holds everything up for a round trip"
        assert site.used(105, 118) > 0.85 * 2e6
    assert median(used) > part


def test_a_site_that_yields_gives_an_upload_all_it_wants() -> None:
    site = FluidSite([camera()], lambda _: 2e6, rtt_s=0.1)
    site.control.yields = True
    run([site], 60, Upload(20, 60, 0.3))
    assert site.used(40, 60) < 0.1 * 2e6


@pytest.mark.parametrize("fps", [15.0, 29.0])
@pytest.mark.parametrize("mbps", [0.6, 2.0, 6.0])
def test_two_agents_behind_one_link_come_to_equal_shares(mbps: float, fps: float) -> None:
    """They meet by chance, so it is several times that are looked at."""
    soon, later = [], []
    for seed, later_s in ((1, 0.0), (20, 4.4), (300, 13.0), (4000, 7.7), (50, 2.2), (600, 9.1)):
        link = Bottleneck(lambda _: mbps * 1e6)
        one = FluidSite([camera(6000)], link, seed=seed)
        other = FluidSite([camera(6000, fps)], link, seed=seed + 1, begins_s=later_s)
        run([one, other], 150)
        for fair, since_s, until_s in ((soon, 25, 58), (later, 70, 148)):
            shares = [it.used(since_s, until_s) for it in (one, other)]
            assert sum(shares) > 0.9 * mbps * 1e6
            assert max(at(it.ages_ms(since_s, until_s), 0.95) for it in (one, other)) < 300
            fair.append(sum(shares) ** 2 / (2 * sum(it * it for it in shares)))
    assert sum(soon) / len(soon) > 0.96, soon
    assert sum(later) / len(later) > 0.96, later
    assert min(later) > 0.85, later


def test_a_link_that_gets_slower_is_noticed_in_an_eighth_of_a_second_and_used_again_soon() -> None:
    """By what comes through: units that are larger than it carries in that time have not come yet."""
    site = FluidSite([camera(6000)], lambda now_s: 4e6 if now_s < 20 else 1e6)
    site.run(26)
    noticed_s = next(at_s for at_s, bps in site.rates if at_s > 20 and bps < 2e6)
    assert noticed_s - 20 < 0.13
    assert site.used(22, 25) > 0.8e6


def test_a_link_that_is_seen_to_queue_is_believed_sooner() -> None:
    def worst(seen: bool) -> float:
        site = FluidSite([camera(6000)], lambda now_s: 4e6 if now_s < 20 else 1e6, tcp_says=seen)
        site.run(26)
        return at(site.ages_ms(20, 25), 0.99)

    assert worst(True) <= worst(False) < 500


def test_a_host_that_is_often_late_is_not_taken_for_a_link_that_gets_slower() -> None:
    cameras = [camera(2000, 10) for _ in range(8)]
    site = FluidSite(cameras, lambda _: 6e6, noise_s=0.15)
    site.run(40)
    assert site.used(10, 38) > 0.6 * 6e6


def test_a_pause_of_tcp_is_not_taken_for_a_link_that_gets_slower() -> None:
    """BBR sends next to nothing for 200 ms every ten seconds; what piles up is gone soon after."""
    cameras = [camera(2000, 10) for _ in range(8)]
    site = FluidSite(cameras, lambda now_s: 1e5 if now_s % 10 > 9.8 else 6e6, paused=lambda now_s: now_s % 10 > 9.8)
    site.run(60)
    assert site.used(12, 58) > 0.85 * 6e6
    assert at(site.ages_ms(12, 58), 0.99) < 350
    assert site.spilled == 0, "a picture left out would cost all those until the next keyframe"


def test_a_thin_link_is_known_before_the_first_unit_has_come() -> None:
    """TCP says what it delivers, and that something waits."""
    control = RateControl(1)
    control.taken(0, 1, 40_000, 0.0, 0.0)
    wish = Wish(1.0, 3e6, 30, 640, 360)
    for tick in range(1, 10):
        link = LinkState(100e3 / 8, True, 200_000 if tick > 4 else 100_000, 100_000)
        orders = control.step({0: wish}, {}, tick / 10, link=link)
    assert orders == []
    order = control.order(0)
    assert order is not None
    assert order.bitrate_bps < 100e3
    assert order.hold
