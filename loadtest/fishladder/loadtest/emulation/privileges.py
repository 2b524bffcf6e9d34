"""Whether this machine can emulate links, as root or in a user namespace of one's own, and with which of the kernel's
means. What is missing is named.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from fishladder.loadtest.errors import CannotEmulate

#: Set in the process that `enter` has started in a user namespace.
_INSIDE = "FISHLADDER_LOADTEST_NAMESPACE"
_TOOLS = {"ip": "iproute2", "tc": "iproute2", "unshare": "util-linux", "nsenter": "util-linux"}
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_TIMEOUT_S = 20.0


@cache
def tool(name: str) -> str:
    """Where a system tool is. Raises `CannotEmulate`."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise CannotEmulate(f"emulation needs `{name}`: install the package {_TOOLS[name]}, or use --backend model")
    return found


def _works(*command: str) -> str | None:
    """What a command complains of, None if it works."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip() or f"exit status {done.returncode}"


@dataclass(frozen=True)
class Privileges:
    """`kind` is how namespaces can be made: as `root`, in a `user namespace`, or not at all, for the reason given."""

    kind: Literal["root", "user namespace", "none"]
    reason: str = ""


def privileges() -> Privileges:
    """Finds out by trying. Raises `CannotEmulate` where a tool is missing."""
    if not sys.platform.startswith("linux"):
        return Privileges("none", "network namespaces exist on Linux only")
    for name in _TOOLS:
        tool(name)
    refused = _works(tool("unshare"), "-n", tool("ip"), "link", "set", "lo", "up")
    if refused is None:
        return Privileges("user namespace" if _INSIDE in os.environ else "root")
    rootless = _works(tool("unshare"), "-Urn", tool("ip"), "link", "set", "lo", "up")
    if rootless is None:
        return Privileges("user namespace")
    return Privileges("none", f"{refused}; without root: {rootless}")


def as_root() -> bool:
    """Whether this process has the rights of the machine's root, not of a user namespace's."""
    return os.geteuid() == 0 and _INSIDE not in os.environ


def enter(arguments: list[str], program: Sequence[str] = ("-m", "fishladder.runtime")) -> Privileges:
    """Make sure this process may create network namespaces: if it takes a user namespace, it begins again in one, with
    `arguments` to the `fishladder` command, or to another program of Python's. Raises `CannotEmulate`.
    """
    found = privileges()
    if found.kind == "none":
        raise CannotEmulate(f"this user cannot create network namespaces ({found.reason}): use --backend model")
    if found.kind == "root" or _INSIDE in os.environ:
        return found
    os.environ[_INSIDE] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    unshare = tool("unshare")
    os.execv(unshare, [unshare, "-Urn", sys.executable, *program, *arguments])  # noqa: S606
