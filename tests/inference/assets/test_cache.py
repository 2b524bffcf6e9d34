"""Fetching assets: several sources in order, checked, whole or not at all, and from the cache ever after."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.file_server import serve_files

from fishladder.inference.assets import cached, catalogue, fetch
from fishladder.inference.assets.cache import cache_dir
from fishladder.inference.assets.catalogue import Asset
from fishladder.inference.assets.sources import Url
from fishladder.wire.errors import AssetError

CLIP = bytes(range(256)) * 2000
AddAsset = Callable[..., None]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "cache"
    monkeypatch.setenv("FISHLADDER_CACHE", str(directory))
    return directory


@pytest.fixture
def add_asset(monkeypatch: pytest.MonkeyPatch) -> AddAsset:
    """Put an asset named `probe` into the catalogue, to be had at these URLs."""

    def add(*urls: str, convert: Callable[[bytes], bytes] | None = None, kept: bytes = CLIP) -> None:
        asset = Asset(
            "probe", "footage", "for tests", "probe.avi", tuple(map(Url, urls)), sha256(CLIP), sha256(kept), convert
        )
        monkeypatch.setitem(catalogue.ASSETS, "probe", asset)

    return add


def visible(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))


def test_sources_are_tried_in_order_and_the_cache_then_serves_offline(cache: Path, add_asset: AddAsset) -> None:
    steps: list[tuple[str, int, int | None]] = []
    with serve_files({"/good": CLIP, "/other": b"another file"}) as server:
        add_asset(f"{server.url}/missing", f"{server.url}/other", f"{server.url}/good", f"{server.url}/unused")
        assert cached("probe") is None
        path = fetch("probe", lambda *step: steps.append(step))
        assert server.asked == ["/missing", "/other", "/good"]
    assert path == cached("probe") == cache / "probe.avi"
    assert path.read_bytes() == CLIP
    assert fetch("probe") == path  # the server is gone
    assert steps[-1] == (f"probe from {server.url}/good", len(CLIP), len(CLIP))
    assert visible(cache) == ["probe.avi"]


def test_a_damaged_file_is_fetched_again(cache: Path, add_asset: AddAsset) -> None:
    with serve_files({"/good": CLIP}) as server:
        add_asset(f"{server.url}/good")
        path = fetch("probe")
        path.write_bytes(CLIP[:-1])
        assert cached("probe") is None
        assert fetch("probe").read_bytes() == CLIP
        assert len(server.asked) == 2


def test_a_failure_lists_what_was_tried_and_what_to_do(cache: Path, add_asset: AddAsset) -> None:
    with serve_files({"/other": b"another file", "/short": CLIP}, announce={"/short": len(CLIP) + 9}) as server:
        with serve_files({}) as gone:
            pass
        urls = [f"{server.url}/missing", f"{server.url}/other", f"{server.url}/short", f"{gone.url}/x"]
        add_asset(*urls)
        with pytest.raises(AssetError) as failure:
            fetch("probe")
    said = str(failure.value)
    reasons = ["HTTP 404", "another file than expected", f"{len(CLIP)} bytes of {len(CLIP) + 9}", "cannot be reached"]
    for url, reason in zip(urls, reasons, strict=True):
        assert any(url in line and reason in line for line in said.splitlines()), (url, reason, said)
    assert "fishladder assets pull probe" in said
    assert str(cache) in said
    assert visible(cache) == []


def test_processes_that_ask_at_once_fetch_once(add_asset: AddAsset) -> None:
    with serve_files({"/good": CLIP}) as server, ThreadPoolExecutor(8) as pool:
        add_asset(f"{server.url}/good")
        paths = set(pool.map(lambda _: fetch("probe"), range(8)))
        assert len(paths) == 1
        assert server.asked == ["/good"]


def test_what_a_killed_pull_left_behind_does_no_harm(cache: Path, add_asset: AddAsset) -> None:
    left = cache / ".probe.avi.pull"
    (left / "scratch").mkdir(parents=True)
    (left / "fetched").write_bytes(b"half a file")
    with serve_files({"/good": CLIP}) as server:
        add_asset(f"{server.url}/good")
        assert fetch("probe").read_bytes() == CLIP
    assert not left.exists()


def test_what_is_fetched_can_be_converted_and_the_result_is_checked(cache: Path, add_asset: AddAsset) -> None:
    with serve_files({"/good": CLIP}) as server:
        add_asset(f"{server.url}/good", convert=lambda data: data[::-1], kept=CLIP[::-1])
        assert fetch("probe").read_bytes() == CLIP[::-1]
        (cache / "probe.avi").unlink()
        add_asset(f"{server.url}/good", convert=lambda data: data[1:], kept=CLIP[::-1])
        with pytest.raises(AssetError, match="another model than expected"):
            fetch("probe")
    assert visible(cache) == []


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, add_asset: AddAsset
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("FISHLADDER_CACHE", str(tmp_path / "file" / "cache"))
    add_asset("http://127.0.0.1:9/unused")
    with pytest.raises(AssetError, match=r"file/cache.*FISHLADDER_CACHE"):
        fetch("probe")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AssetError, match=r"'cats'.*ssdlite-person, vtest, bikes"):
        fetch("cats")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir().name == "cache"
    monkeypatch.delenv("FISHLADDER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_dir() == Path("/xdg/fishladder")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_dir().is_relative_to("/home/someone")
