"""What is said of cameras, sites, workers and sinks, in the words an operator reads."""

from dataclasses import replace

import pytest

from fishladder.view.findings import CameraFacts, judge_camera, judge_sink, judge_site, judge_worker
from fishladder.view.models import CameraView, Finding, LedgerView, Severity, UplinkView
from fishladder.view.words import duration, rate, sentence, size
from fishladder.wire.messages import Policy

NOW_US = 1_800_000_000_000_000
S = 1_000_000
FINE = CameraFacts(
    heard_us=NOW_US - S,
    moved_us=NOW_US - S,
    oldest_us=NOW_US - S // 5,
    fps=5.0,
    wanted_fps=5.0,
    bps=340_000,
    pending=2,
    deferred=0,
    unaccounted=0,
    captured=1000,
)


@pytest.mark.parametrize(
    ("what", "severity", "begins"),
    [
        ({}, Severity.OK, "live, 5.0 fps, 340 kbit/s"),
        ({"heard_us": 0}, Severity.DOWN, "never heard from"),
        ({"heard_us": NOW_US - 60 * S}, Severity.DOWN, "nothing heard"),
        ({"unaccounted": 3}, Severity.TROUBLE, "the account does not close: 3 frames have no fate"),
        ({"unaccounted": -1}, Severity.TROUBLE, "the account does not close: 1 frame is counted twice"),
        ({"moved_us": NOW_US - 20 * S}, Severity.TROUBLE, "no picture"),
        ({"moved_us": NOW_US - 20 * S, "wanted_fps": 0.2}, Severity.OK, "live"),  # it has 25 s for five frames
        ({"oldest_us": NOW_US - 40 * S}, Severity.TROUBLE, "not analysed"),
        ({"oldest_us": NOW_US - 7 * S}, Severity.NOTE, "analysis is 7 s behind"),
        ({"thinned": "fewer pictures: 2.0 of 5.0 fps"}, Severity.NOTE, "live; thin uplink, fewer pictures: 2.0 of 5.0"),
        (
            {"pending": 50, "deferred": 50, "oldest_us": NOW_US - 40 * S},
            Severity.NOTE,
            "live; 50 frames from an outage",
        ),
    ],
)
def test_a_camera_is_judged(what: dict[str, int | str], severity: Severity, begins: str) -> None:
    found = judge_camera(replace(FINE, **what), NOW_US)
    assert found.severity is severity
    assert found.what.startswith(begins)


def camera(name: str, finding: Finding) -> CameraView:
    ledger = LedgerView(1, 1, 0, 0, 0, 0, 0, True, {}, "1-1", "1-1", 1.0)
    return CameraView(
        f"shop/{name}", "shop", name, finding, 5.0, 1e5, "h264", 1, 1, 1.0, None, {}, 0.0, {}, "", Policy(), ledger
    )


DOWN = Finding(Severity.DOWN, "nothing heard", 1_000)
OK = Finding(Severity.OK, "live")
SPOOL = UplinkView(0.0, spool_bytes=38, spool_limit_bytes=100, spool_left_s=11 * 3600)


def test_a_site_all_of_whose_cameras_are_away_has_its_uplink_down_and_says_how_long_its_spool_lasts() -> None:
    found = judge_site([camera("a", DOWN), camera("b", Finding(Severity.DOWN, "nothing heard", 2_000))], SPOOL)
    assert (found.severity, found.what, found.since_ms) == (Severity.DOWN, "uplink down", 2_000)
    assert found.more == ", spool 38%, 11 h left"


def test_a_site_with_one_camera_away_names_it() -> None:
    found = judge_site([camera("door", DOWN), camera("yard", OK)], UplinkView(1e6))
    assert (found.severity, found.what, found.since_ms) == (Severity.TROUBLE, "door: nothing heard", 1_000)


def test_what_all_cameras_share_is_not_put_on_one() -> None:
    behind = [camera(name, Finding(Severity.NOTE, f"analysis is {s} s behind")) for name, s in (("a", 8), ("b", 9))]
    assert judge_site(behind, UplinkView(1e6)).what == "all cameras: analysis is 8 s behind"
    some = judge_site([*behind, camera("c", OK)], UplinkView(1e6))
    assert (some.what, some.more) == ("a: analysis is 8 s behind", "; 1 more camera likewise")
    stuck = [camera(name, Finding(Severity.TROUBLE, "not analysed", 5_000)) for name in "ab"]
    found = judge_site(stuck, UplinkView(1e6))
    assert (found.severity, found.what, found.since_ms) == (Severity.TROUBLE, "all cameras: not analysed", 5_000)


def test_a_spool_that_is_nearly_full_is_trouble() -> None:
    nearly = UplinkView(1e6, spool_bytes=95, spool_limit_bytes=100, spool_left_s=600)
    assert judge_site([camera("door", OK)], nearly).what == "the spool is nearly full, spool 95%, 10 min left"


def test_workers_and_sinks_are_judged() -> None:
    assert judge_worker(60, 3, 0.1, 5).severity is Severity.DOWN
    assert judge_worker(1, 3, 45, 5).severity is Severity.TROUBLE
    assert judge_worker(1, 3, 0.1, 5).what == "keeps up, 5.0 frames/s"
    assert judge_sink(60, 0, 0, "", 0).severity is Severity.DOWN
    assert judge_sink(1, 120, 0, "HTTP 500", 5_000).severity is Severity.TROUBLE
    assert judge_sink(1, 1, 0, "", 0).what == "delivers"


def test_sentences_name_the_day_only_where_it_is_another() -> None:
    now_ms = 1_800_000_000_000
    assert sentence(Finding(Severity.DOWN, "uplink down", now_ms - 60_000, ", spool 3%"), now_ms).count(" since ") == 1
    old = sentence(Finding(Severity.DOWN, "uplink down", now_ms - 5 * 86_400_000), now_ms)
    assert len(old) > len("uplink down since 02:41")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (9.4, "9 s"), (119, "119 s"), (720, "12 min"), (39_600, "11 h"), (259_200, "3 days")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_rates_and_sizes() -> None:
    assert (rate(340_000), rate(3_200_000), rate(None)) == ("340 kbit/s", "3.2 Mbit/s", "unknown")
    assert (size(12), size(2.5e6), size(3e9)) == ("12 B", "2.5 MB", "3.0 GB")
