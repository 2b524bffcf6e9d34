"""`fishladder assets` as a user calls it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def assets(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fishladder.runtime", "assets", *args], capture_output=True, text=True)


def test_list_says_what_there_is_and_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FISHLADDER_CACHE", str(tmp_path))
    listed = json.loads(assets("list", "--json").stdout)
    assert [(asset["name"], asset["kind"], asset["path"]) for asset in listed] == [
        ("ssdlite-person", "model", None),
        ("vtest", "footage", None),
        ("bikes", "footage", None),
    ]
    assert assets("list").stdout.count("not fetched") == 3


@pytest.mark.timeout(600)  # may fetch a clip
def test_pull_prints_where_an_asset_is() -> None:
    pulled = assets("pull", "bikes")
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout.startswith("bikes: ")
    assert Path(pulled.stdout.removeprefix("bikes: ").strip()).stat().st_size == 509_868


def test_an_unknown_name_is_one_line() -> None:
    pulled = assets("pull", "cats")
    assert pulled.returncode == 3
    assert pulled.stderr.startswith("fishladder: there is no asset 'cats'")
    assert pulled.stderr.count("\n") == 1
