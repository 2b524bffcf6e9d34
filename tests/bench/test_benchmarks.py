"""That benchmarks run: each in its shortest form, or at least as far as its `--help`. What they measure is theirs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.links import needs_links

BENCH = Path(__file__).parent
SCRIPTS = sorted(it.name for it in BENCH.glob("*.py") if "ArgumentParser" in it.read_text() and it != Path(__file__))


def bench(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH / script), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_says_how_it_is_run(script: str) -> None:
    done = bench(script, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


@needs_links
@pytest.mark.parametrize("variant", ["ours", "stock"])
def test_a_thin_link_is_measured(variant: str, tmp_path: Path) -> None:
    out = tmp_path / "links.json"
    options = ("--only", "1-mbit", "--variant", variant, "--seeds", "1", "--seconds", "8", "--json", str(out))
    done = bench("thin_link.py", *options)
    [cell] = json.loads(out.read_text())["cells"]
    assert "figures" in cell, done.stderr
    assert cell["figures"]["fps"][0] > 1


def test_the_cpu_of_both_receivers_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "cpu.json"
    short = ("--sessions", "1", "--seconds", "1", "--rounds", "1", "--processes", "1")
    done = bench("whip_cpu.py", *short, "--json", str(out))
    assert out.exists(), done.stderr
    assert all(us > 0 for us in json.loads(out.read_text())["us_per_unit"].values())
