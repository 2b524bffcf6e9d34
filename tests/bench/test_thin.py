"""How the benchmarks of thin links and of the gate judge: what is a freeze, what was sent, who is compared to whom."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gate
import pytest
from thin.beside import read_tcp
from thin.cases import CASES, FIXED, OURS, Case
from thin.curve import f1_at, plot
from thin.detections import sent_bps
from thin.figures import capacity_bits, figures, jain
from thin.frames import Camera, Frame
from thin.link_figures import CLOSED, OPENED, Look, Swallowed, queue_figures, tcp_figures
from thin.machine import Ticks, cpu_figures, limited
from thin.table import markdown, rows


def seen(since_s: float, until_s: float, *, fps: int = 10, size: int = 1000, age_s: float = 0.05) -> list[Frame]:
    """A camera's pictures, each of which came."""
    return [
        Frame(n, n / fps, n / fps + age_s, size, key=False, decodable=True)
        for n in range(round(since_s * fps), round(until_s * fps))
    ]


def frozen(*frames: list[Frame], case: Case | None = None, cameras: int = 1) -> dict[str, Any]:
    one = Camera([it for some in frames for it in some])
    return figures(case or Case("test", 1.0, fps=10), [one] * cameras, 60.0)


def test_a_picture_that_stands_to_the_end_is_a_freeze() -> None:
    assert frozen(seen(0, 60))["freezes"] == 0
    stands = frozen(seen(0, 40))
    assert stands["freezes"] == 1
    assert stands["longest_gap_ms"] == pytest.approx(20_000, abs=500)


def test_so_are_one_that_stands_when_a_run_has_settled_one_in_between_and_none_at_all() -> None:
    assert frozen(seen(0, 2), seen(10, 60))["freezes"] == 1
    assert frozen(seen(0, 20), seen(21, 60))["freezes"] == 1
    assert frozen([])["freezes"] == 1
    assert frozen(seen(0, 2.5), seen(2.9, 60))["freezes"] == 0, "what is before counts for nothing"


def test_a_camera_that_is_paused_does_not_freeze_and_one_that_starts_late_has_time_to() -> None:
    paused = Case("test", 1.0, fps=10, pause=(0, 20.0, 30.0))
    assert frozen(seen(0, 20), seen(31, 60), case=paused)["freezes"] == 0
    assert frozen(seen(0, 20), seen(31, 50), case=paused)["freezes"] == 1
    assert frozen(seen(21, 60), case=Case("test", 1.0, fps=10, starts=(20.0,)))["freezes"] == 0


def test_what_came_is_told_as_a_share_of_what_was_captured() -> None:
    half = [it for it in seen(0, 60) if it.index % 2]
    found = frozen(half)
    assert found["decodable"] == 1.0, "all that came"
    assert found["decodable_of_captured"] == pytest.approx(0.5, abs=0.01)


def test_a_rate_that_is_never_reached_is_late_and_not_unknown() -> None:
    case = Case("test", 0.08, fps=10, steps=((20.0, 4.0),))
    assert frozen(seen(0, 60), case=case)["used_after_s"] > 40
    assert frozen(seen(0, 30), seen(30, 60, size=50_000), case=case)["used_after_s"] == 11


def test_fairness_is_of_the_time_in_which_all_are_at_it() -> None:
    case = Case("test", 1.0, fps=10, cameras=(1.0, 1.0), pause=(0, 20.0, 30.0))
    paused, other = Camera([*seen(0, 20), *seen(30, 60)]), Camera([*seen(0, 20), *seen(20, 35, size=3000)])
    other.frames += seen(35, 60)
    assert figures(case, [paused, other], 60.0)["fairness"] == 1.0
    assert jain([1.0, 0.0, 0.0, 0.0]) == 0.25
    assert jain([0.0, 0.0]) is None


def test_the_capacity_follows_the_steps() -> None:
    case = Case("test", 1.0, steps=((10.0, 4.0), (20.0, 2.0)))
    assert capacity_bits(case, 5, 25) == pytest.approx(5e6 + 40e6 + 10e6)
    assert case.backwards().rate == case.down_rate


def test_backfill_is_paid_for() -> None:
    live = [replace(it, size=it.size + 56, payload=bytes(it.size)) for it in seen(0, 60)]  # 80 kbit/s, and its wrapping
    assert sent_bps(Camera(live), 60.0) == pytest.approx(80_000, rel=0.01)
    late = [(30.0, 570_000)]  # 80 kbit/s of 57 s
    assert sent_bps(Camera(live, late=late), 60.0) == pytest.approx(160_000, rel=0.01)
    assert sent_bps(Camera(live, late=[(1.0, 570_000), (61.0, 1)]), 60.0) == pytest.approx(80_000, rel=0.01)


def test_a_queue_is_told_in_ms_at_the_rate_of_the_moment() -> None:
    case = Case("test", 1.0, steps=((30.0, 0.5),))
    looks = [Look(1000 + n / 4, 12_500, n * 31_250) for n in range(240)]
    found = queue_figures(case, looks, 1000.0, 60.0)
    assert found == {"queue_p95_ms": 200, "uplink_kbps": 1000.0}, "12.5 KB wait 100 ms at 1 Mbit/s and 200 at a half"
    assert queue_figures(case, looks, 1000.0, 29.0)["queue_p95_ms"] == 100
    assert queue_figures(case, [], 1000.0, 60.0) == {}


def test_tcp_beside_is_compared_by_what_a_connection_gets_while_it_is_open() -> None:
    case = Case("test", 2.0, starts=(5.0,), tcp="long")
    # From 15 to 60 s: one that is open all the time, at 500 kbit/s, and one for 4.5 s of it, at 500 as well.
    long = [Swallowed(1000, 0, OPENED), *(Swallowed(1000 + n / 10 + 0.05, 0, 6250) for n in range(600))]
    short = [Swallowed(1020, 1, OPENED), *(Swallowed(1020 + n / 10 + 0.05, 1, 6250) for n in range(45))]
    both = [*long, *short, Swallowed(1024.5, 1, CLOSED)]
    found = tcp_figures(case, both, [500.0], 0.25, 1000.0, 60.0)
    assert found["tcp_kbps"] == pytest.approx(550, abs=2)
    assert found["tcp_flow_kbps"] == pytest.approx(500, abs=2)
    assert found["tcp_fairness"] == 1.0
    assert found["tcp_share"] == pytest.approx(550 / 1050, abs=0.01)
    assert found["utilisation"] == pytest.approx(0.25 + 0.25 + 0.02, abs=0.01)
    assert tcp_figures(case, [], [500.0], 0.25, 1000.0, 60.0)["tcp_fairness"] == 0.5, "starved"


def test_what_tcp_brought_is_read_as_far_as_it_was_written(tmp_path: Path) -> None:
    from thin.beside import _SWALLOWED

    written = tmp_path / "tcp.bin"
    written.write_bytes(_SWALLOWED.pack(1.5, 3, 1448) + b"part")
    assert read_tcp(written) == [Swallowed(1.5, 3, 1448)]


def busy(*shares: float) -> list[Ticks]:
    """By the half second, from 1003 on."""
    so_far = [0.0]
    for share in shares:
        so_far.append(so_far[-1] + share * 100)
    return [Ticks(1003 + n / 2, round(used), n * 100) for n, used in enumerate(so_far)]


def test_the_machine_is_the_limit_over_a_run_or_in_too_much_of_it() -> None:
    assert cpu_figures(busy(*[0.5] * 100), 1000.0, 60.0) == {"cpu": 0.5, "cpu_full": 0.0}
    some = cpu_figures(busy(*[0.5] * 80, *[1.0] * 20), 1000.0, 60.0)
    assert some == {"cpu": 0.6, "cpu_full": 0.2}
    assert limited(**some, late_pictures_ms=0)
    assert cpu_figures(busy(*[0.5] * 100, *[1.0] * 20), 1000.0, 53.0)["cpu_full"] == 0.0, "after the run"
    assert not limited(0.5, 0.0, 20)
    assert limited(0.95, 0.0, 20)
    assert limited(0.5, 0.0, 120)
    assert cpu_figures([], 1000.0, 60.0) == {}


def cell(case: str, variant: str, seed: int, *, limited: bool = False, **told: Any) -> dict[str, Any]:
    return {"case": case, "variant": variant, "seed": seed, "figures": {"limited": limited, **told}}


def verdict(cells: list[dict[str, Any]], words: str) -> str:
    [row] = [it for it in rows(cells) if it["variant"] == OURS]
    [found] = [it["verdict"] for it in row["bounds"] if it["bound"].startswith(words)]
    return str(found)


def test_f1_per_megabit_is_judged_against_the_fixed_rate_of_the_same_seed() -> None:
    ours = [cell("500-kbit", OURS, 1, f1_per_mbit=2.0), cell("500-kbit", OURS, 2, f1_per_mbit=1.0)]
    worse = [cell("500-kbit", FIXED, 1, f1_per_mbit=1.9), cell("500-kbit", FIXED, 2, f1_per_mbit=0.9)]
    better = [worse[0], cell("500-kbit", FIXED, 2, f1_per_mbit=1.1)]
    assert verdict([*ours, *worse], "F1 per megabit") == "met"
    assert verdict([*ours, *better], "F1 per megabit") == "MISSED by 1 of 2 seeds"
    assert verdict([*ours, worse[0]], "F1 per megabit") == "no figures"
    assert verdict(ours, "F1 per megabit") == "no figures"


def test_a_baseline_that_the_machine_limited_is_none() -> None:
    ours = cell("500-kbit", OURS, 1, f1_per_mbit=2.0)
    fixed = cell("500-kbit", FIXED, 1, limited=True, f1_per_mbit=0.1)
    assert verdict([ours, fixed], "F1 per megabit") == "no figures"


def test_every_rate_of_the_curve_is_judged() -> None:
    judged = [it.name for it in CASES.values() if any("F1 per megabit" in bound.words for bound in it.bounds)]
    assert sorted(CASES[name].rate for name in judged) == [0.1, 0.25, 0.5, 1.0]
    assert all(FIXED in CASES[name].variants and CASES[name].detect for name in judged)


CURVE = [
    cell("100-kbit", FIXED, 1, f1=0.2, sent_kbps=100.0, f1_per_mbit=2.0),
    cell("1000-kbit", FIXED, 1, f1=0.8, sent_kbps=1000.0, f1_per_mbit=0.8),
    cell("1000-kbit", OURS, 1, f1=0.7, sent_kbps=316.2, f1_per_mbit=2.2),
]


def test_what_a_fixed_rate_finds_with_the_same_bits_is_read_off_its_curve() -> None:
    [row] = [it for it in rows(CURVE) if it["variant"] == OURS]
    assert row["f1_of_fixed_with_these_bits"] == pytest.approx(0.5, abs=0.001)
    fixed = [it["figures"] for it in CURVE[:2]]
    assert f1_at(fixed, 2000) == 0.8
    assert f1_at(fixed, 10) == 0.2


@pytest.mark.parametrize(("name", "begins"), [("curve.png", b"\x89PNG"), ("curve.svg", b"<?xml")])
def test_the_curve_is_drawn(name: str, begins: bytes, tmp_path: Path) -> None:
    plot(rows(CURVE), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begins)
    with pytest.raises(ValueError, match="no case with a detector"):
        plot(rows([cell("1-mbit", OURS, 1, used=0.9)]), tmp_path / name)


def test_rfc_8867_has_its_own_columns_and_a_row_for_each_way() -> None:
    cells = [
        cell("1-mbit", OURS, 1, used=0.9),
        cell("rfc8867-5.3", OURS, 1, used=0.81, queue_p95_ms=30, lost=0.01, back_used=0.77, back_queue_p95_ms=44),
        cell("rfc8867-5.6-300ms", OURS, 1, used=0.3, utilisation=0.98, tcp_kbps=1200, tcp_fairness=0.8),
    ]
    must_show, rfc = markdown(rows(cells)).split("\n\n")
    assert "utilisation" not in must_show
    assert "1-mbit" not in rfc
    lines = [[it.strip() for it in line.split("|")[1:-1]] for line in rfc.splitlines()]
    heads, there, back, tcp = lines[0], lines[2], lines[3], lines[4]
    assert [there[heads.index(it)] for it in ("utilisation", "queue p95 ms", "loss")] == ["0.81", "30", "0.01"]
    assert [back[heads.index(it)] for it in ("variant", "utilisation", "queue p95 ms")] == [
        "ours, the other way", "0.77", "44",
    ]  # fmt: skip
    assert [tcp[heads.index(it)] for it in ("utilisation", "TCP kbit/s", "with TCP")] == ["0.98", "1200", "0.8"]


def test_the_gate_is_judged_by_bytes_and_by_every_event() -> None:
    good = {"share": 0.024, "events": 6, "events_seen": 6, "seen_in_empty": 0}
    assert gate.met(good)
    for worse in ({"share": 0.06}, {"events_seen": 5}, {"seen_in_empty": 1}, {"events": 0, "events_seen": 0}):
        assert not gate.met({**good, **worse})
