"""How fast the spool drains: over a modelled link, beside live video."""

from collections import deque

import pytest

from fishladder.edge.backfill_pace import SHARE, BackfillPace, LinkState


class Bottleneck:
    """A link of `bytes_s` with a queue before it, and live video that takes its part first."""

    def __init__(self, bytes_s: float, live_bytes_s: float) -> None:
        self.bytes_s = bytes_s
        self.live_bytes_s = live_bytes_s
        self.queued = 0.0
        self.worst_s = 0.0
        self.sent = 0.0

    def run(self, seconds: float, pace: BackfillPace, *, fragment: int = 4096, base_us: int = 20_000) -> None:
        step_s, last_s, recent = 0.01, 0.0, deque([0.0], 25)
        for tick in range(int(seconds / step_s)):
            now_s = 100 + tick * step_s
            self.queued += self.live_bytes_s * step_s
            while pace.wait_s(now_s) == 0:
                pace.sent(fragment)
                self.queued += fragment
                self.sent += fragment
            carried = min(self.queued, self.bytes_s * step_s)
            self.queued -= carried
            recent.append(carried)
            self.worst_s = max(self.worst_s, self.queued / self.bytes_s)
            if now_s - last_s >= 0.25:
                last_s = now_s
                busy = self.queued > 0
                rate = self.bytes_s if busy else sum(recent) / len(recent) / step_s
                rtt_us = base_us + int(self.queued / self.bytes_s * 1e6)
                pace.measured(LinkState(rate, not busy, rtt_us, base_us), now_s)


@pytest.mark.parametrize("bytes_s", [125_000, 1_250_000, 12_500_000])
def test_it_uses_the_slack_and_leaves_live_its_part(bytes_s: float) -> None:
    link = Bottleneck(bytes_s, bytes_s * 0.3)
    link.run(60, BackfillPace())
    assert link.sent > bytes_s * 60 * 0.15
    assert link.sent < bytes_s * 60 * 0.65
    assert link.worst_s < 0.2


def test_where_live_takes_everything_it_stops() -> None:
    pace, link = BackfillPace(), Bottleneck(125_000, 130_000)
    link.run(30, pace)
    before = link.sent
    link.run(30, pace)
    assert link.sent - before < 125_000 * 30 * 0.02


def test_it_never_goes_beyond_its_share_of_a_link_whose_rate_is_known() -> None:
    pace = BackfillPace()
    for tick in range(200):
        pace.sent(1_000_000)
        pace.measured(LinkState(1_000_000, False, 1000, 1000), tick / 4)
    assert pace.bytes_s == pytest.approx(1_000_000 * SHARE)


def test_where_the_system_says_nothing_it_still_drains() -> None:
    pace, sent = BackfillPace(), 0
    for tick in range(1000):
        if tick % 25 == 0:
            pace.measured(LinkState(), tick / 100)
        while pace.wait_s(tick / 100) == 0:
            pace.sent(1200)
            sent += 1200
    assert sent > 10 * 16_000
