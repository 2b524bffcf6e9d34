"""`saturate` as a planner runs it: the answer, the report, assertions, and what is said of wrong flags."""

import csv
import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.commands import COMMAND, Done

from fishladder.loadtest.commands.own_gateway import search
from fishladder.loadtest.commands.saturate import saturate as command
from fishladder.loadtest.links.link import Direction, Link
from fishladder.loadtest.model.run import Run
from fishladder.loadtest.report.assertions import parse_assertion
from fishladder.loadtest.saturation.confirm import agree
from fishladder.loadtest.saturation.knees import knee_over_seeds, nearest_knee
from fishladder.loadtest.scenario import Scenario
from fishladder.wire.errors import ConfigError

LINK = """
title = "A small line"
[up]
rate_mbps = 1.3
queue_ms = { value = 200, assumed = "to have a bar in the tornado" }
delay_ms = 5
[down]
rate_mbps = 10
queue_ms = 50
delay_ms = 5
"""
PLAIN = Link("plain", Direction(1e6, 100_000), Direction(1e6, 100_000))
CAMERAS = ("--bitrate", "0.3", "--fps", "5", "--ip-ratio", "2", "--congestion", "cubic")
QUICK = ("--backend", "model", "--seeds", "3", "--seconds", "5", *CAMERAS)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("link") / "small.toml"
    file.write_text(LINK)
    return file


def fishladder(*arguments: str | Path) -> Done:
    """With patience: it computes."""
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=100)
    return Done(done.returncode, done.stdout, done.stderr)


def saturate(*arguments: str | Path) -> Done:
    return fishladder("loadtest", "saturate", *arguments)


def test_the_answer_and_its_report(line: Path, tmp_path: Path) -> None:
    done = saturate("--link", line, *QUICK, "--out", tmp_path, "--assert", "decodable>=0.99@N=2")
    assert done.status == 0, done.err
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["schema"] == 1
    assert summary["seed"] == 1
    (answer,) = summary["answers"]
    passing, failing = answer["passing"], answer["failing"]
    assert passing in (3, 4)
    assert passing < failing <= 5
    assert re.search(rf"small\s+10/1.3\s+{passing}\s+{failing}\s+4\s+rate\s+not run", done.out)
    assert answer["every_n"]
    assert "up queue" in {bar["name"] for bar in answer["tornado"]}
    assert answer["figures"]["up.queue_bytes"] or answer["figures"]
    assert [point["cameras"] for point in answer["curve"]][:3] == [1, 2, 3]
    with (tmp_path / "samples.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["link"] for row in rows} == {"small"}
    assert {int(row["seed"]) for row in rows} == {1, 2, 3}
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", page), "it refers to something outside itself"
    for said in (
        "surely fails at 5",
        "Cause: rate",
        "first seed",
        "congestion control",
        "to have a bar in the tornado",
    ):
        assert said in page
    assert (tmp_path / "knees.png").stat().st_size > 10_000
    again = fishladder("loadtest", "compare", str(tmp_path), str(tmp_path / "summary.json"))
    assert again.status == 0, again.err
    assert re.search(r"small\s+\d \(fails at \d\)\s+\d \(fails at \d\)\s+same\s+rate\s+rate", again.out)


def test_a_split_is_a_curve_over_the_upstream_share(tmp_path: Path) -> None:
    done = saturate("--total", "4", "--split", "75:25,50:50", *QUICK, "--no-tornado", "--out", tmp_path)
    assert done.status == 0, done.err
    answers = json.loads((tmp_path / "summary.json").read_text())["answers"]
    assert [answer["up_share"] for answer in answers] == [0.25, 0.5]
    assert answers[1]["passing"] > answers[0]["passing"]
    assert (tmp_path / "shares.png").exists()


def test_what_was_found_is_kept_when_it_is_interrupted(line: Path, tmp_path: Path) -> None:
    """By a pipeline's time-out, here as soon as the first of two links is answered."""
    command = [*COMMAND, "loadtest", "saturate", "--link", str(line), "--link", "fibre-100", "--backend", "model"]
    flags = ["--no-tornado", "--seeds", "3", "--seconds", "5", "--out", str(tmp_path)]
    with subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("small: N* ="):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait(60) == 130, said
    assert "what was found until then" in said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert [answer["link"] for answer in summary["answers"]] == ["small"]
    assert "Interrupted before all was tried" in (tmp_path / "report.html").read_text()


def test_an_assertion_that_does_not_hold_is_99(line: Path, tmp_path: Path) -> None:
    wish = "decodable>=0.99@N=5"
    done = saturate("--link", line, *QUICK, "--no-tornado", "--out", tmp_path, "--assert", wish)
    assert done.status == 99
    assert wish in done.err
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "which link?"),
        (("--link", "nonesuch"), "nonesuch"),
        (("--total", "10"), "--total and --split"),
        (("--total", "10", "--split", "5"), "'5'"),
        (("--link", "docsis30", "--size", "big"), "--size big"),
        (("--link", "docsis30", "--fps", "0"), "fps 0"),
        (("--link", "docsis30", "--target", "2"), "--target 2"),
        (("--link", "docsis30", "--adaptive"), "--floor"),
        (("--link", "docsis30", "--floor", "1"), "--adaptive"),
        (("--link", "docsis30", "--infer"), "--footage"),
        (("--link", "docsis30", "--assert", "speed>3"), "speed"),
        (("--link", "docsis30", "--assert", "decodable>=0.9"), "N=8"),
        (("--link", "docsis30", "--assert", "decodable>=0.9.1@N=8"), "NAME>=VALUE"),
        (("--link", "docsis30", "--assert", "decodable>=0.9@N=0"), "NAME>=VALUE"),
        (("--link", "docsis30", "--assert", "passing>=1@link=lte"), "no link 'lte'"),
        (("--link", "docsis30", "--out", "/proc/nowhere"), "--out /proc/nowhere"),
        (("--link", "docsis30", "--adaptive", "--floor", "1", "--uplink", "whip"), "--uplink"),
        (("--link", "docsis30", "--infer", "--footage", "vtest", "--uplink", "whip"), "--uplink"),
        (("--total", "10", "--split", ","), "--split"),
        (("--total", "10", "--split", "50:inf"), "'50:inf'"),
        (("--gateway", "https://gw.example"), "--token-file"),
        (("--gateway", "https://gw.example", "--link", "lte"), "leave out"),
    ],
)
def test_wrong_flags_are_named(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(command, [*arguments, "--backend", "model"])
    assert isinstance(done.exception, ConfigError), done.exception
    assert said in str(done.exception)


def test_a_wrong_flag_is_one_line_and_2() -> None:
    done = saturate("--link", "docsis30", "--target", "2", "--backend", "model")
    assert done.status == 2
    assert done.err.startswith("fishladder: --target 2")
    assert done.err.count("\n") == 1


def test_compare_says_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"schema": 99}')
    done = fishladder("loadtest", "compare", str(tmp_path), str(tmp_path))
    assert done.status == 2
    assert "schema 99" in done.err
    missing = fishladder("loadtest", "compare", str(tmp_path / "no"), str(tmp_path))
    assert missing.status == 2


def test_assertions_are_read() -> None:
    wish = parse_assertion("age_p95_ms <= 200 @ N=8 @ link=docsis30")
    assert (wish.name, wish.sign, wish.value, wish.cameras, wish.link) == ("age_p95_ms", "<=", 200.0, 8, "docsis30")
    with pytest.raises(ConfigError, match="expected NAME"):
        parse_assertion("all is well")
    with pytest.raises(ConfigError, match="of the link"):
        parse_assertion("passing>=6@N=3")


@pytest.mark.parametrize("guess", [0, 1, 4, 5, 6, 8])
def test_real_agents_are_tried_around_the_model_s_knee(guess: int) -> None:
    tried = []

    def passes(cameras: int) -> bool:
        tried.append(cameras)
        return cameras <= 5

    found = nearest_knee(passes, guess)
    assert found == max(min(5, guess + 3), 1) if guess else found == 3
    assert len(tried) == len(set(tried)) <= 4


@pytest.mark.parametrize("unlucky", [{}, {(5, 1): 0.975}, {(4, 1): 0.98}, {(6, 1): 1.0}, {(5, 1): 0.98, (4, 1): 0.975}])
@pytest.mark.parametrize("guess", [4, 5, 6])
def test_one_lucky_or_unlucky_run_decides_no_knee(unlucky: dict[tuple[int, int], float], guess: int) -> None:
    """On 100 Mbit/s single runs of real agents had their knee at 8, at 10 and at 11 cameras of the same link."""
    usual = {4: 1.0, 5: 0.999, 6: 0.96}

    def run(cameras: int, seed: int) -> tuple[float, float]:
        assert (cameras, seed) not in seen, "no run is made twice"
        seen.append((cameras, seed))
        real = unlucky.get((cameras, seed), usual.get(cameras, 1.0 if cameras < 4 else 0.2))
        return real, 0.5

    seen: list[tuple[int, int]] = []
    found, runs = knee_over_seeds(run, range(1, 4), guess, target=0.99)
    assert found == 5
    assert len(runs[5]) == len(runs[6]) == 3
    assert all(len(runs[cameras]) == 1 for cameras in runs if cameras > 6), "what is hopeless is tried once"


def test_a_real_run_agrees_with_the_model_if_the_model_has_such_runs() -> None:
    def run(decodable: float) -> Run:
        return Run(9, 1, decodable, 1.0, 1e6, 1.0, 0.0, 0.0, 20, 30, 40, 5)

    def agrees(real: float, *model: float) -> bool:
        return agree(Scenario(PLAIN), run(real), [run(it) for it in model], 0.99)

    assert agrees(1.0, 1.0)
    assert agrees(0.2, 0.7, 0.6)
    assert agrees(0.987, 1.0, 0.978, 1.0)
    assert not agrees(0.97, 1.0, 0.978, 1.0)
    assert not agrees(1.0, 0.7, 0.8)


@pytest.mark.parametrize(("knee", "most"), [(0, 32), (1, 32), (7, 32), (32, 32), (40, 32), (5, 5)])
def test_the_search_on_a_real_line_finds_the_knee(knee: int, most: int) -> None:
    tried = []

    def passes(cameras: int) -> bool:
        tried.append(cameras)
        return cameras <= knee

    passing, failing = search(passes, most)
    assert passing == min(knee, most)
    assert failing == (None if knee >= most else knee + 1)
    assert max(tried) <= most
    assert len(tried) == len(set(tried))
