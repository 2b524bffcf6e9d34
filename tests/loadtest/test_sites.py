"""Whole runs: real agents, gateway and worker, frame by frame, over loopback and over an emulated uplink."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from support.clips import plain
from support.fleet import fleet
from support.links import link, needs_links_here
from support.models import strips_model

from fishladder.loadtest.emulation.network import emulate
from fishladder.loadtest.errors import CannotEmulate
from fishladder.loadtest.sites.agents import Patience
from fishladder.loadtest.sites.payload import index_of, synthetic
from fishladder.loadtest.sites.processes import Part, Times
from fishladder.loadtest.sites.site import Clip, Foreign, Ladder, run_site
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.frames import draw
from fishladder.loadtest.traffic import Traffic, decodable_by_camera
from fishladder.wire.bitstream import inspect
from fishladder.wire.errors import ConfigError
from fishladder.wire.unit import Codec

DEADLINE_US = 2_000_000  # of a machine that does other things as well


def plan(cameras: int, seconds: float, *, fps: float = 10, p_bytes: int = 4000, key_bytes: int = 20_000) -> Traffic:
    """Staggered cameras with a keyframe each second."""
    count = int(seconds * fps)
    camera = np.repeat(np.arange(cameras), count)
    frame = np.tile(np.arange(count), cameras)
    at_us = np.rint((frame + camera / cameras) * 1e6 / fps).astype(np.int64)
    key = frame % int(fps) == 0
    size = np.where(key, key_bytes, p_bytes)
    order = np.argsort(at_us, kind="stable")
    return Traffic(cameras, fps, DEADLINE_US, camera[order], at_us[order], size[order], key[order])


def test_payloads_are_what_they_say() -> None:
    for key in (True, False):
        unit = synthetic(77, 5000, key=key)
        assert len(unit) == 5000
        assert index_of(unit) == 77
        assert inspect(Codec.H264, unit).clean is key
    assert index_of(b"\0\0\0\1\x65\x88rest") is None


def test_every_frame_is_followed_to_its_commit() -> None:
    offered = plan(3, 3)
    done = run_site(offered)
    assert np.isfinite(done.outcome.arrival_us).all()
    assert np.isfinite(done.committed_us).all()
    assert (done.committed_us >= done.outcome.arrival_us - 20_000).all()
    assert (done.outcome.arrival_us > done.traffic.at_us - 5000).all()
    assert (decodable_by_camera(done.traffic, done.outcome) == 1).all()
    assert done.traffic.size_bytes.tolist() == offered.size_bytes.tolist()
    assert done.congestion_control in ("bbr", "cubic", "reno")
    assert (done.outcome.lateness_us >= 0).all()
    assert set(done.cores) == {"agents", "gateway", "worker"}


def test_a_run_that_this_machine_is_too_slow_for_ends_when_that_is_certain() -> None:
    offered = plan(2, 60)
    done = run_site(offered, patience=Patience(late_us=0, from_us=3e6))
    assert 60 < len(done.traffic) < 100, "a twentieth, and what came until then"
    assert np.isfinite(done.traffic.at_us).all()
    assert done.outcome.lateness_us.min() > 0


def test_patience_ends_with_a_twentieth_of_all_and_not_too_soon() -> None:
    patience = Patience(late_us=40_000, from_us=5e6)
    assert not patience.ends(50, 1000, 9e6)
    assert patience.ends(51, 1000, 9e6)
    assert not patience.ends(1000, 1000, 4e6)


def test_it_is_the_busiest_thread_that_is_at_its_end() -> None:
    before = Times({1: (1.0, 0.0), 2: (0.0, 0.0)})
    looked = before.later(Times({1: (2.0, 0.5), 2: (3.0, 4.0), 3: (1.0, 0.0)}))
    load = looked.later(Times({1: (4.0, 1.0), 4: (0.0, 2.5)})).since(before, 10.0)
    assert load == (pytest.approx(0.7), pytest.approx(0.75), pytest.approx(0.7))


def test_what_a_process_uses_is_seen(tmp_path: Path) -> None:
    spin = ["timeit", "-n", "1", "-r", "1", "for _ in range(10**12): pass"]
    with Part("spinner", None, spin, tmp_path / "log") as part:
        part.wait_for(lambda: part.times().since(Times(), 1.0).busiest > 0.2, 60, "use a core")


def test_by_whip() -> None:
    done = run_site(plan(2, 3), uplink="whip", settle_s=1)
    assert np.isfinite(done.outcome.arrival_us).mean() > 0.9
    assert (np.diff(done.outcome.arrival_us[done.traffic.camera == 0]) > 0).mean() > 0.9


@needs_links_here
def test_an_uplink_that_is_too_thin_delays_what_it_carries() -> None:
    thin = link("rate_mbps = 1\nqueue_ms = 300\ndelay_ms = 10")
    with emulate(thin) as network:
        fits = run_site(plan(1, 4), network=network)  # 0.45 Mbit/s
        late = run_site(plan(4, 4), network=network, settle_s=1)
    age_us = [run.outcome.arrival_us - run.traffic.at_us for run in (fits, late)]
    assert np.nanmedian(age_us[0]) > 10_000
    assert np.isfinite(age_us[0]).all()
    assert np.nanmedian(age_us[1]) > 3 * np.nanmedian(age_us[0])
    assert np.isnan(age_us[1]).any() or np.nanmax(age_us[1]) > 1_000_000
    assert fits.reports["up"].offered > 100
    assert fits.outcome.packets_lost == 0


@needs_links_here
def test_cameras_that_adapt_send_what_a_thin_uplink_carries() -> None:
    """Two cameras of 1.5 Mbit/s on 1 Mbit/s: their agent orders less, and what they then send is there in time."""
    camera = CameraSpec(bitrate_bps=1_500_000, fps=10)
    thin = link("rate_mbps = 1\nqueue_ms = 300\ndelay_ms = 10")
    with emulate(thin) as network:
        done = run_site(draw(camera, 2, 14, 1), network=network, clip=Ladder(camera))
    assert done.orders is not None
    late = done.orders.at_us > 7_000_000
    assert 300_000 < done.orders.bitrate_bps[late].mean() < 520_000
    settled = done.traffic.at_us > 7_000_000
    assert done.traffic.size_bytes[settled].sum() * 8 / 7 < 1_000_000
    age_us = (done.outcome.arrival_us - done.traffic.at_us)[settled]
    assert np.mean(age_us < DEADLINE_US / 2) > 0.9


def test_real_footage_and_a_real_model(tmp_path: Path) -> None:
    units = [unit.payload for unit in plain()[:30]]
    offered = plan(1, 3)
    frame = np.arange(30)
    keys = np.array([inspect(Codec.H264, unit).clean for unit in units])
    offered = Traffic(1, 10, DEADLINE_US, offered.camera, offered.at_us, offered.size_bytes, keys)
    done = run_site(offered, clip=Clip(units, frame), model=str(strips_model(tmp_path / "strips.onnx")), settle_s=30)
    assert np.isfinite(done.outcome.arrival_us).all()
    assert (done.traffic.size_bytes > [len(unit) for unit in units]).all()


def test_what_cannot_be_combined() -> None:
    with pytest.raises(ConfigError, match="--uplink whip"):
        run_site(plan(1, 1), uplink="whip", model="x.onnx")


def test_a_gateway_that_is_not_there_is_one_line() -> None:
    with pytest.raises(CannotEmulate, match="not all of 1 cameras could be opened"):
        run_site(plan(1, 1), foreign=Foreign("http://127.0.0.1:9", "shop", "token"), open_s=1)


async def test_a_gateway_that_wants_fewer_pictures_is_no_link_result(tmp_path: Path) -> None:
    async with fleet(tmp_path, ["--fps", "2"]) as (stack, _):
        there = Foreign(stack.url, "shop", await stack.token("shop"))
        with pytest.raises(CannotEmulate, match="at most 2 pictures a second"):
            await asyncio.to_thread(run_site, plan(1, 1), foreign=there)


async def test_a_stack_of_ones_own(tmp_path: Path) -> None:
    async with fleet(tmp_path) as (stack, _):
        there = Foreign(stack.url, "shop", await stack.token("shop"))
        done = await asyncio.to_thread(run_site, plan(2, 2), foreign=there, settle_s=1)
    assert np.isfinite(done.outcome.arrival_us).all()
    assert np.isnan(done.committed_us).all()  # there is no worker
