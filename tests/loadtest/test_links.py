"""Links from presets and files: every number has a source, and what is wrong is named."""

from pathlib import Path
from statistics import fmean

import pytest
from click.testing import CliRunner

from fishladder.loadtest.links.cli import links
from fishladder.loadtest.links.impairments import jitter_ms
from fishladder.loadtest.links.link import Jitter
from fishladder.loadtest.links.load import figures, load_link, preset_names, preset_text
from fishladder.loadtest.links.timeline import Timeline
from fishladder.wire.errors import ConfigError

GOOD = """
title = "test"
[up]
rate_mbps = { value = 4, source = "a contract" }
queue_ms = 300
delay_ms = 50
[down]
rate_mbps = 20
queue_bytes = 125000
"""


def written(place: Path, text: str, name: str = "mine.toml") -> str:
    file = place / name
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize("name", preset_names())
def test_every_number_of_a_preset_has_a_source_or_is_an_assumption(name: str) -> None:
    link = load_link(name)
    assert link.up.queue_bytes >= 1514
    for field, (_, source) in figures(link).items():
        assert source.text, field
        assert "given in" not in source.text, field


@pytest.mark.parametrize(
    ("name", "down", "up", "rtt_ms", "queue_ms"),
    [
        ("adsl2plus", 8.4, 0.8, 30, 500),
        ("docsis30", 220, 12, 15, 250),
        ("lte", 79, 9, 31, 300),
        ("geo", 19, 3, 620, 1000),
    ],
)
def test_presets_hold_the_published_figures(name: str, down: float, up: float, rtt_ms: float, queue_ms: float) -> None:
    link = load_link(name)
    assert (link.down.rate_bps / 1e6, link.up.rate_bps / 1e6) == (down, up)
    assert link.rtt_ms == pytest.approx(rtt_ms, rel=0.001)
    assert link.up.queue_ms == pytest.approx(queue_ms)


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    link = load_link(written(tmp_path, GOOD))
    assert (link.name, link.up.queue_bytes, link.down.queue_bytes) == ("mine", 150_000, 125_000)
    assert link.provenance["up.rate_bps"].text == "a contract"
    assert link.scaled("up.queue_bytes", 2).up.queue_bytes == 300_000


def test_a_preset_written_out_is_the_same_link(tmp_path: Path) -> None:
    again = load_link(written(tmp_path, preset_text("docsis31-mid"), "docsis31-mid.toml"))
    assert again.up == load_link("docsis31-mid").up


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("rate_mbps = 20", "rate_mpbs = 20"), "rate_mpbs"),
        (("rate_mbps = 20", 'rate_mbps = "fast"'), "down.rate_mbps"),
        (("rate_mbps = 20", "rate_mbps = -1"), "down.rate_mbps"),
        (("queue_ms = 300", "queue_ms = 0.1"), "up.queue"),
        (("queue_ms = 300", "queue_ms = 300\nqueue_bytes = 5000"), "up.queue_ms"),
        (("queue_ms = 300", ""), "up.queue_ms"),
        (("delay_ms = 50", "loss = { rate = 1.5 }\ndelay_ms = 50"), "up.loss.rate"),
        (("delay_ms = 50", 'discipline = "codel"'), "up.discipline"),
        (("delay_ms = 50", 'delay_ms = { value = 1, source = "a", assumed = "b" }'), "up.delay_ms"),
        (('title = "test"', "[[schedule]]\nat_s = 5"), "schedule[1]"),
        (('title = "test"', "[[schedule]]\nat_s = 5\nrate_mbps = 1\n[[schedule]]\nat_s = 1\nrate_mbps = 2"), "at_s"),
        (('title = "test"', "repeat_s = 5\n[[schedule]]\nat_s = 5\nrate_mbps = 1"), "repeat_s"),
        (('title = "test"', "repeat_s = -5"), "repeat_s"),
        (('title = "test"', "[[schedule]]\nat_s = nan\nrate_mbps = 1"), "schedule[1].at_s"),
        (('title = "test"', "[[schedule]]\nat_s = 1\noutage_s = -1"), "schedule[1].outage_s"),
        (("delay_ms = 50", 'jitter = { kind = "normal", ms = 1, period_ms = nan }'), "up.jitter.period_ms"),
        (("delay_ms = 50", 'jitter = { kind = "normal", ms = 1, early_sigmas = 4 }'), "up.jitter.early_sigmas"),
        (("delay_ms = 50", 'jitter = { kind = "uniform", ms = 1, early_sigmas = 1 }'), "up.jitter.early_sigmas"),
        (("[up]", "[up"), "line"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    file = written(tmp_path, GOOD.replace(*change))
    with pytest.raises(ConfigError) as error:
        load_link(file)
    field = named.rpartition(".")[2] if named.startswith("down.rate") else named
    assert file in str(error.value)
    assert field in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("early", [0.0, 1.0, 3.0])
def test_jitter_is_no_earlier_than_said_and_its_mean_is_known(early: float) -> None:
    jitter = Jitter("normal", 10, early_sigmas=early)
    drawn = [jitter_ms(jitter, "1", slot) for slot in range(20_000)]
    assert min(drawn) == pytest.approx(-10 * early, abs=0.5)
    assert max(drawn) == pytest.approx(30)
    assert fmean(drawn) == pytest.approx(jitter.mean_ms, abs=0.3)


@pytest.mark.parametrize("name", ["nothing", "nowhere.toml", "../docsis30", "."])
def test_a_link_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^(no )?link"):
        load_link(name)


def test_traces_load_as_they_are_and_wrap_around(tmp_path: Path) -> None:
    (tmp_path / "up.trace").write_text("0\n10\n10\n\n40\n")
    text = GOOD.replace('rate_mbps = { value = 4, source = "a contract" }', 'trace = "up.trace"')
    link = load_link(written(tmp_path, text))
    assert link.up.trace is not None
    assert link.up.trace.at_ms == (0, 10, 10, 40)
    assert link.up.rate_bps == pytest.approx(4 * 1500 * 8 / 0.040)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no line"),
        ("1\nx\n", "line 2"),
        ("5\n4\n", "line 2"),
        ("0\n0\n", "no length"),
        ("1.5\n", "line 1"),
        ("-1\n", "line 1"),
    ],
)
def test_a_trace_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "bad.trace").write_text(text)
    file = GOOD.replace('rate_mbps = { value = 4, source = "a contract" }', 'trace = "bad.trace"')
    with pytest.raises(ConfigError, match=why) as error:
        load_link(written(tmp_path, file))
    assert "bad.trace" in str(error.value)


def test_a_schedule_steps_fades_and_repeats(tmp_path: Path) -> None:
    schedule = """
repeat_s = 60
[[schedule]]
at_s = 10
direction = "up"
rate_mbps = 1
over_s = 2
[[schedule]]
at_s = 20
outage_s = 3
[[schedule]]
at_s = 30
direction = "up"
rate_mbps = 4
loss = 0.1
"""
    link = load_link(written(tmp_path, GOOD.replace('title = "test"', schedule)))
    up = Timeline(link, "up")
    assert up.at(9_999).direction.rate_bps == 4e6
    assert 1e6 < up.at(11_000).direction.rate_bps < 4e6
    assert up.at(12_000).direction.rate_bps == 1e6
    assert not up.at(19_999).outage
    assert up.at(20_000).outage
    assert Timeline(link, "down").at(22_999).outage
    assert not up.at(23_000).outage
    assert up.at(30_000).direction.loss.rate == 0.1
    assert up.at(61_000).direction.loss.rate == 0
    assert up.at(80_000).outage
    assert up.next_change_ms(80_000) == pytest.approx(83_000)


def test_the_commands_of_a_planner() -> None:
    run = CliRunner()
    table = run.invoke(links, []).output
    assert all(name in table for name in preset_names())
    one = run.invoke(links, ["docsis30"]).output
    assert "assumed" in one
    assert "Ookla" in one
    assert "rate_mbps" in run.invoke(links, ["docsis30", "--toml"]).output
    assert run.invoke(links, ["--toml"]).exit_code == 2
