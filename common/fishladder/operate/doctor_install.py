"""What is installed: Python, the packages of each extra, and which models and footage have been fetched."""

import json
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata

from fishladder.operate.doctor_line import Line

_EXTRAS = ("edge", "gateway", "inference", "loadtest")
_LISTING_S = 60.0


def check_python() -> list[Line]:
    """The interpreter and fishladder itself."""
    version = (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    return [Line("python", "ok", f"{version}, fishladder {metadata.version('fishladder')}")]


def check_extras() -> list[Line]:
    """For each extra what it needs, and the command that brings what is missing."""
    requirements = metadata.requires("fishladder") or []
    return [
        judge_extra(extra, {name: _version(name) for name in packages_of(extra, requirements)}) for extra in _EXTRAS
    ]


def packages_of(extra: str, requirements: list[str]) -> list[str]:
    """The names of the packages an extra asks for, from requirements as package metadata has them. Pure."""
    asked = re.compile(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""")
    return sorted({re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0] for one in requirements if asked.search(one)})


def judge_extra(extra: str, versions: Mapping[str, str | None]) -> Line:
    """What there is and is not of an extra's packages; None = not installed. Pure."""
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        return Line(f"extra {extra}", "warn", f"without {', '.join(missing)}: pip install 'fishladder[{extra}]'")
    return Line(f"extra {extra}", "ok", ", ".join(f"{name} {version}" for name, version in versions.items()))


def check_assets() -> list[Line]:
    """Which models and footage are here, as `fishladder assets list` says."""
    command = [sys.executable, "-m", "fishladder.runtime", "assets", "list", "--json"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=_LISTING_S)  # noqa: S603 - our own
    except subprocess.TimeoutExpired:
        return [Line("assets", "warn", f"`fishladder assets list` took more than {_LISTING_S:.0f} s")]
    if listed.returncode:
        return [Line("assets", "warn", (listed.stderr.strip().splitlines() or ["cannot be listed"])[-1])]
    assets = json.loads(listed.stdout)
    here = [asset["name"] for asset in assets if asset["path"]]
    absent = [asset["name"] for asset in assets if not asset["path"]]
    lines = [Line("assets", "ok", f"fetched: {', '.join(here)}")] if here else []
    if absent:
        lines.append(Line("assets", "warn", f"not fetched: {', '.join(absent)}; `fishladder assets pull` does it"))
    return lines


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
