"""Emulated links over the real kernel: what they carry, delay and lose is what was asked for, packet by packet."""

import numpy as np
import pytest
from support.links import link, needs_links_here

from fishladder.loadtest.emulation.datagrams import Exchange, exchange
from fishladder.loadtest.emulation.kernel_queue import is_kernels
from fishladder.loadtest.emulation.network import Network, emulate, emulated
from fishladder.loadtest.emulation.selftest import SelfTest, self_test
from fishladder.loadtest.links.impairments import loss_schedule, way_seed
from fishladder.loadtest.links.link import Link
from fishladder.loadtest.links.load import load_link
from fishladder.loadtest.links.timeline import Way

pytestmark = needs_links_here


def measured(of: Link) -> SelfTest:
    with emulate(of) as network:
        return self_test(network)


def sent(network: Network, count: int, gap_ms: float, ip_bytes: int = 100, way: Way = "up") -> Exchange:
    """`count` datagrams, evenly."""
    at_us = np.arange(count, dtype=np.int64) * round(gap_ms * 1000)
    return exchange(network, way, at_us, np.full(count, ip_bytes, np.int64), settle_s=0.3)


def test_the_kernels_queue_with_delay_jitter_loss_and_grants() -> None:
    cable = link(
        "rate_mbps = 10\nqueue_ms = 100\ndelay_ms = 10\ngrant_ms = 2\nbucket_bytes = 3044\n"
        'loss = { rate = 0.02, burst = 3 }\njitter = { kind = "normal", ms = 2 }',
        'rate_mbps = 50\nqueue_ms = 40\ndelay_ms = 5\njitter = { kind = "uniform", ms = 2 }',
    )
    assert is_kernels(cable.up)
    test = measured(cable)
    assert list(test.faults()) == []
    up = test.ways[0]
    assert up.lost.found == up.lost.expected > 5
    assert up.as_scheduled


def test_pie_and_a_trace_in_the_relay() -> None:
    odd = link(
        'rate_mbps = 20\nqueue_ms = 200\ndelay_ms = 3\ndiscipline = "pie"',
        "rate_mbps = 10\ntrace = { sigma = 0.3 }\nqueue_ms = 100\ndelay_ms = 3",
    )
    assert not is_kernels(odd.up)
    assert not is_kernels(odd.down)
    test = measured(odd)
    assert list(test.faults()) == []
    assert test.ways[0].full_ms.found < 180  # a drop-tail queue of 200 ms would be full


def test_losses_are_those_of_the_seed() -> None:
    lossy = link("rate_mbps = 50\nqueue_ms = 50\nloss = { rate = 0.05 }")
    with emulate(lossy, seed=7) as network:
        missing = np.flatnonzero(np.isnan(sent(network, 800, 0.5).arrived_ms)).tolist()
    assert missing == loss_schedule(lossy.up.loss, way_seed(7, "up"), 800)
    assert missing != loss_schedule(lossy.up.loss, way_seed(8, "up"), 800)


def test_order_is_kept_under_jitter() -> None:
    with emulate(link('rate_mbps = 50\nqueue_ms = 50\ndelay_ms = 20\njitter = { kind = "normal", ms = 8 }')) as network:
        done = sent(network, 800, 1)
    assert not np.isnan(done.arrived_ms).any()
    assert (np.diff(done.arrived_ms) >= 0).all()
    assert np.ptp(done.arrived_ms - done.sent_ms) > 10


def test_a_schedule_changes_rate_and_delay_and_makes_outages() -> None:
    changing = link(
        "rate_mbps = 20\nqueue_ms = 1000\ndelay_ms = 5",
        rest='[[schedule]]\nat_s = 1\ndirection = "up"\nrate_mbps = 2\ndelay_ms = 40\n'
        '[[schedule]]\nat_s = 2.5\ndirection = "up"\noutage_s = 1',
    )
    with emulate(changing) as network:
        done = sent(network, 750, 6, 1500)  # 2 Mbit/s, and some
    delay_ms = done.arrived_ms - done.sent_ms
    early, late, out = done.sent_ms < 900, (done.sent_ms > 1300) & (done.sent_ms < 2300), done.sent_ms > 2600
    assert np.nanmedian(delay_ms[early]) < 20
    assert np.nanmedian(delay_ms[late]) > 40
    assert np.isnan(done.arrived_ms[out & (done.sent_ms < 3300)]).all()
    assert not np.isnan(done.arrived_ms[done.sent_ms > 3700]).any()


def test_a_full_queue_drops_in_the_kernel_and_is_counted() -> None:
    with emulate(link("rate_mbps = 4\nqueue_ms = 50\ndelay_ms = 1")) as network:
        done = sent(network, 600, 1, 1500)  # three times what fits
        report = network.report("up")
    lost = int(np.isnan(done.arrived_ms).sum())
    assert report.queue is not None
    assert report.dropped == report.queue.dropped == lost > 200
    assert report.offered == 600


def test_links_above_the_relays_ceiling_are_capped_and_say_so() -> None:
    capped, notes = emulated(load_link("fibre-1000"))
    assert capped.up.rate_bps < 1e9
    assert capped.up.queue_ms == pytest.approx(load_link("fibre-1000").up.queue_ms)
    assert len(notes) == 2
    assert emulated(load_link("adsl2plus")) == (load_link("adsl2plus"), ())


def test_the_kernels_own_medium(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is nothing to delay or lose, it needs no netem, which not every kernel has."""
    monkeypatch.setattr("fishladder.loadtest.emulation.network.kernel_has_netem", lambda _: True)
    bare = "rate_mbps = 30\nqueue_ms = 60\nbucket_bytes = 6000"
    test = measured(link(bare, bare))
    assert list(test.faults()) == []
    assert {way.relay_late_ms for way in test.ways} == {0}


def test_netem() -> None:
    plain = link(
        "rate_mbps = 30\nqueue_ms = 60\ndelay_ms = 10\nloss = { rate = 0.02 }", "rate_mbps = 300\nqueue_ms = 20"
    )
    with emulate(plain) as network:
        if not network.report("up").relay.by_netem:
            pytest.skip("this kernel has no netem")
        assert list(self_test(network).faults()) == []


def test_a_self_test_is_of_the_link_before_its_schedule() -> None:
    changing = link("rate_mbps = 20\nqueue_ms = 50\ndelay_ms = 5", rest="[[schedule]]\nat_s = 0.5\noutage_s = 100")
    assert list(measured(changing).faults()) == []
