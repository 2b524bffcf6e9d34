"""Cameras that pass on their own streams: which rung, when, how often that changes; alone and on a modelled link."""

import random
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fluid_site import Camera, FluidSite, at

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.rate.control import RateControl
from fishladder.edge.rate.orders import Wish
from fishladder.edge.rate.passing import (
    ENCODED_STEPS,
    STEPS,
    UPS_A_MINUTE,
    Flow,
    Passing,
    PassingLadder,
    PassingRung,
    need_bps,
    rungs_of,
    use_bps,
)
from fishladder.edge.tail import Tail
from fishladder.wire.unit import NO_FLAGS, Codec, Flag

MAIN, SUB = Flow(2e6, 4e5), Flow(3e5, 9e4)
BOTH = Passing(MAIN, SUB)
ALL, ON_SUB, TAIL = PassingRung(), PassingRung(True), PassingRung(True, "tail")


def test_rungs_are_those_of_the_settings_in_their_order() -> None:
    assert rungs_of(BOTH) == [ALL, ON_SUB, TAIL, PassingRung(True, "keyframes")]
    assert rungs_of(Passing(MAIN, None)) == [ALL, PassingRung(False, "tail"), PassingRung(False, "keyframes")]
    first_cut = Passing(MAIN, SUB, ("tail", "sub", "keyframes"))
    assert rungs_of(first_cut) == [ALL, PassingRung(False, "tail"), ON_SUB, PassingRung(True, "keyframes")]
    assert rungs_of(Passing(MAIN, SUB, ())) == [ALL]


@given(st.permutations(STEPS), st.integers(0, 3), st.booleans())
def test_further_down_never_needs_more(steps: list[str], count: int, has_sub: bool) -> None:
    passing = Passing(MAIN, SUB if has_sub else None, tuple(steps[:count]))  # type: ignore[arg-type]
    needs = [need_bps(rung, passing) for rung in rungs_of(passing)]
    assert all(use_bps(rung, passing) >= need * 0.99 for rung, need in zip(rungs_of(passing), needs, strict=True))
    assert needs[0] == max(needs)


def test_it_goes_down_at_once_and_up_when_there_is_evidence() -> None:
    ladder = PassingLadder()
    assert ladder.step(5e5, 0, BOTH, 1.0, full=False) == ALL, "nobody knows that the link is full"
    assert ladder.step(5e5, 0, BOTH, 1.1, full=True) == ON_SUB
    assert ladder.step(5e5, 0, BOTH, 30.0, full=False) == ON_SUB
    assert ladder.step(5e5, 8e6, BOTH, 31.0, full=True) == ON_SUB
    assert ladder.step(5e5, 8e6, BOTH, 32.0, full=False) == ALL


def test_where_nothing_tells_more_is_tried_now_and_then_and_ever_more_rarely() -> None:
    ladder, tried, now_s = PassingLadder(), [], 0.0
    while now_s < 3600:
        now_s += 0.5
        before = ladder.rung
        ladder.step(4e5, 0, BOTH, now_s, full=before == ALL)
        if before != ladder.rung == ALL:
            tried.append(now_s)
    waits = [after - one for one, after in pairwise(tried)]
    assert 4 <= len(tried) <= 10
    assert waits == sorted(waits)


@given(
    st.lists(st.tuples(st.floats(1e4, 5e6), st.floats(0, 2e7), st.booleans(), st.floats(0.1, 5.0)), max_size=400),
    st.booleans(),
)
def test_whatever_the_link_does_streams_do_not_flap(
    steps: list[tuple[float, float, bool, float]], has_sub: bool
) -> None:
    ladder, passing, now_s = PassingLadder(), Passing(MAIN, SUB if has_sub else None), 0.0
    rungs, changes = rungs_of(passing), list[tuple[float, bool]]()
    for rate_bps, proven_bps, full, passed_s in steps:
        now_s += passed_s
        before = rungs.index(ladder.rung)
        after = rungs.index(ladder.step(rate_bps, proven_bps, passing, now_s, full=full))
        if after != before:
            changes.append((now_s, after < before))
    for first_s, _ in changes:
        minute = [up for at_s, up in changes if first_s <= at_s < first_s + 60]
        assert sum(minute) <= UPS_A_MINUTE
        assert len(minute) <= (UPS_A_MINUTE + 1) * len(rungs)
    assert all(later - earlier >= 1.49 for (earlier, _), (later, _) in pairwise(changes))


def test_a_camera_whose_settings_changed_stands_on_a_rung_there_is() -> None:
    ladder = PassingLadder()
    ladder.step(5e5, 0, BOTH, 1.0, full=True)
    assert ladder.step(5e5, 0, Passing(MAIN, None), 2.0, full=False) == ALL


@dataclass
class Passed(Camera):
    """A camera with two streams, keyframes each 2 s; opening the sub-stream takes a second."""

    main_bps: float = 2e6
    sub_bps: float = 3e5
    sub_opens: bool = True

    def __post_init__(self) -> None:
        self.tail = Tail()
        self.on_sub, self.number, self.wanted_s = False, 0, None
        self.times: list[tuple[float, bool]] = []

    def picture(self, now_s: float, rng: random.Random) -> int | None:
        gop = round(self.wish.fps * 2)
        key = self.number % gop == 0
        self.number += 1
        order = self.order.passing
        self.wanted_s = (self.wanted_s or now_s) if order.sub else None
        wanted = self.wanted_s is not None and now_s - self.wanted_s > 1.0 and self.sub_opens
        if key and wanted != self.on_sub:
            self.on_sub = wanted
            self.tail.begin()
        changing = order.sub is not self.on_sub
        self.tail.keep = ("all" if self.on_sub else "tail") if changing else order.keep
        self.tail.rate_bps, self.tail.hold = self.order.bitrate_bps, self.order.hold
        rate = self.sub_bps if self.on_sub else self.main_bps
        size = rate / self.wish.fps * gop / (gop + 9) * (10 if key else 1) * rng.lognormvariate(0, 0.2)
        unit = CapturedUnit(
            Codec.H264, Flag.CLEAN if key else NO_FLAGS, 1, 1, 1, 1, round(now_s * 1e6), bytes(round(size / 8))
        )
        if not self.tail.passes(unit):
            self.shed += 1
            return None
        self.times.append((now_s, self.on_sub))
        return len(unit.payload)


def passed(kbps: float = 2000, sub_kbps: float = 300, fps: float = 15, weight: float = 1.0) -> Passed:
    share = 20 / (2 * fps + 9)
    streams = [Flow(bps * 1000, bps * 1000 * share / 2) for bps in (kbps, sub_kbps)]
    wish = Wish(weight, kbps * 1100, fps, 0, 0, Passing(*streams))
    return Passed(wish, main_bps=kbps * 1000, sub_bps=sub_kbps * 1000)


@pytest.mark.parametrize("seed", range(3))
def test_on_a_thin_link_the_sub_stream_comes_in_time_and_the_main_one_comes_back(seed: int) -> None:
    one = passed()
    site = FluidSite([one], lambda now_s: 5e5 if now_s < 60 else 10e6, seed=seed)
    site.run(90)
    changes = [now_s for (_, before), (now_s, sub) in pairwise(one.times) if before is not sub]
    assert len(changes) == 2, changes
    assert changes[0] < 12.1, "not before it is sure that it is the link; meanwhile the spool takes what is late"
    assert 60 < changes[1] < 85
    assert at(site.ages_ms(14, 58), 0.95) < 700
    assert site.used(14, 58) > 0.85 * 3e5
    assert site.used(86, 89) > 1.5e6


def test_a_sub_stream_that_is_too_much_as_well_has_its_groups_cut() -> None:
    late_ms = []
    for seed in range(3):
        one = passed(sub_kbps=600)
        site = FluidSite([one], lambda _: 3e5, seed=seed)
        site.run(60)
        assert one.shed > 100
        assert site.used(14, 58) > 0.4 * 3e5
        late_ms.append(at(site.ages_ms(14, 58), 0.95))
    assert sum(late_ms) / 3 < 1500, late_ms


def test_a_sub_stream_that_cannot_be_had_costs_no_more_of_the_main_one_than_the_link_does() -> None:
    used = []
    for seed in range(1, 4):
        one = passed(4000)
        assert one.wish.passing is not None
        one.wish = one.wish._replace(passing=one.wish.passing._replace(sub=Flow()))
        one.sub_opens = False
        site = FluidSite([one], lambda _: 1.5e6, seed=seed)
        site.run(60)
        assert one.order.passing == ON_SUB
        used.append(site.used(20, 58))
    assert sum(used) / 3 > 0.55 * 1.5e6, used


def test_on_a_fast_link_nothing_is_left_out() -> None:
    cameras = [passed(), passed(4000)]
    site = FluidSite(cameras, lambda _: 50e6)
    site.run(60)
    assert not any(camera.shed or camera.on_sub for camera in cameras)


@settings(max_examples=20, deadline=None)
@given(
    stalls=st.lists(st.tuples(st.floats(0.3, 12.0), st.floats(0.1, 10.0)), min_size=1, max_size=8),
    tcp_says=st.booleans(),
    seed=st.integers(0, 100),
)
def test_stores_that_stand_still_leave_nothing_out(
    stalls: list[tuple[float, float]], tcp_says: bool, seed: int
) -> None:
    silent, now_s = [], 5.0
    for lasts_s, pause_s in stalls:
        silent.append((now_s, now_s + lasts_s))
        now_s += lasts_s + pause_s
    cameras = [passed(), passed(500, fps=8)]
    site = FluidSite(cameras, lambda _: 20e6, silent=silent, tcp_says=tcp_says, seed=seed, noise_s=0.02)
    site.run(now_s + 10)
    assert not any(camera.shed or camera.on_sub for camera in cameras)


def test_a_passed_on_camera_shares_with_encoded_ones() -> None:
    one = passed(1500)
    others = [Camera(Wish(1.0, 2e6, 15, 640, 360)) for _ in range(2)]
    site = FluidSite([one, *others], lambda _: 1.5e6)
    site.run(60)
    assert one.on_sub, "1500 kbit/s are not its share of 1500"
    assert site.used(20, 58) > 0.7 * 1.5e6, "the others use what it leaves"
    assert min(site.used(20, 58, channel) for channel in (1, 2)) > 3e5


@pytest.mark.parametrize(("cap_bps", "sub", "least"), [(1e6, True, 2e5), (2e5, True, 5e4), (5e6, False, 1.5e6)])
def test_a_cap_from_above_holds_on_a_link_that_has_room(cap_bps: float, sub: bool, least: float) -> None:
    one = passed()
    one.wish = one.wish._replace(most_bps=min(one.wish.most_bps, cap_bps))
    site = FluidSite([one], lambda _: 20e6)
    site.run(150)
    assert one.on_sub is sub
    assert least < site.used(20, 148) < cap_bps


@dataclass
class Transcoded(Passed):
    """Keyframes each 10 s, and where it is told so encoded anew from one on."""

    anew: bool = False
    changes: list[tuple[float, bool]] = field(default_factory=list)

    def picture(self, now_s: float, rng: random.Random) -> int | None:
        gop = round(self.wish.fps * 10)
        key = self.number % gop == 0
        self.number += 1
        order = self.order
        if key and order.passing.encoded is not self.anew:
            self.anew = order.passing.encoded
            self.changes.append((now_s, self.anew))
            self.keyframe_s = now_s
            self.tail.begin()
        if self.anew:
            return Camera.picture(self, now_s, rng)
        self.tail.keep = "tail" if order.passing.encoded else order.passing.keep
        self.tail.rate_bps, self.tail.hold = order.bitrate_bps, order.hold
        size = self.main_bps / self.wish.fps * gop / (gop + 19) * (20 if key else 1) * rng.lognormvariate(0, 0.2)
        flags = Flag.CLEAN if key else NO_FLAGS
        unit = CapturedUnit(Codec.H264, flags, 1, 1, 1, 1, round(now_s * 1e6), bytes(round(size / 8)))
        if not self.tail.passes(unit):
            self.shed += 1
            return None
        return len(unit.payload)


def transcoded() -> Transcoded:
    passing = Passing(Flow(3e6, 3.5e5), None, ENCODED_STEPS, 1.5e6)
    return Transcoded(Wish(1.0, use_bps(ALL, passing), 15, 640, 360, passing), main_bps=3e6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kbps", [100, 300, 1000])
def test_what_is_encoded_anew_fits_any_link_and_is_passed_on_when_the_link_is_back(kbps: int, seed: int) -> None:
    one = transcoded()
    site = FluidSite([one], lambda now_s: kbps * 1e3 if now_s < 90 else 20e6, seed=seed, rtt_s=0.05)
    site.run(200)
    assert [anew for _, anew in one.changes] == [True, False], one.changes
    (down_s, _), (up_s, _) = one.changes
    assert down_s < 45, "the first keyframe alone takes 35 s at 100 kbit/s"
    assert 90 < up_s < 175
    begins_s = down_s + 5
    assert at(site.ages_ms(begins_s, 88), 0.95) < 1000
    assert site.used(begins_s, 88) > 0.75 * kbps * 1e3
    assert sum(begins_s <= unit.ready_s < 88 for unit in site.units) / (88 - begins_s) >= 3, "pictures a second"
    assert site.used(up_s + 5, 198) > 2.5e6


def test_without_leave_nothing_is_encoded_anew_and_with_it_not_on_a_link_that_has_room() -> None:
    assert not any(rung.encoded for rung in rungs_of(BOTH))
    one = transcoded()
    FluidSite([one], lambda _: 20e6).run(60)
    assert (one.changes, one.shed) == ([], 0)


def test_rungs_with_encoding_anew() -> None:
    assert rungs_of(Passing(MAIN, SUB, ENCODED_STEPS, 1e6)) == [ALL, ON_SUB, PassingRung(True, "transcode")]
    last = Passing(MAIN, None, (*STEPS, "transcode"), 1e6)
    assert [rung.keep for rung in rungs_of(last)] == ["all", "tail", "keyframes", "transcode"]
    assert (need_bps(PassingRung(False, "transcode"), last), use_bps(PassingRung(False, "transcode"), last)) == (0, 1e6)
    ladder = PassingLadder()
    assert ladder.step(1.0, 0, last, 1.0, full=True).encoded
    ladder.keep_all()
    assert ladder.rung.encoded, "a link that is gone is no reason to spool the large stream"


def test_a_new_connection_goes_on_where_the_last_one_was() -> None:
    control = RateControl(1)
    wish = passed().wish
    control._cameras[0] = camera = type(next(iter(_stepped(control, wish)._cameras.values())))()
    camera.passing.step(5e5, 0, BOTH, 1.0, full=True)
    [(_, order)] = RateControl(1, control).step({0: wish}, {}, 5.0)
    assert order.passing == ON_SUB


def _stepped(control: RateControl, wish: Wish) -> RateControl:
    control.step({0: wish}, {}, 1.0)
    return control
