"""Links for tests, and what marks and finds the processes and namespaces that a command leaves."""

import os
from pathlib import Path

import pytest

from fishladder.loadtest.emulation.privileges import privileges
from fishladder.loadtest.errors import CannotEmulate
from fishladder.loadtest.links.link import Link
from fishladder.loadtest.links.load import parse_link

MARK = "FISHLADDER_TEST_MARK"


def link(up: str, down: str = "rate_mbps = 20\nqueue_ms = 50\ndelay_ms = 2", rest: str = "") -> Link:
    """A link from the lines of its two directions."""
    return parse_link(f"{rest}\n[up]\n{up}\n[down]\n{down}\n", "test", where="test", beside=Path())


def _cannot_emulate(*, rootless: bool) -> str:
    """Why links cannot be emulated, '' if they can; `rootless`: in a user namespace of a new process will do."""
    try:
        found = privileges()
    except CannotEmulate as error:
        return str(error)
    return "" if found.kind == "root" or (rootless and found.kind != "none") else f"{found.kind} {found.reason}"


def _needs_links(*, rootless: bool) -> pytest.MarkDecorator:
    why = _cannot_emulate(rootless=rootless)
    return pytest.mark.skipif(bool(why), reason=f"it makes network namespaces, which nobody may here: {why}")


#: Of tests that start a command which emulates links, and of those that do it themselves.
needs_links, needs_links_here = _needs_links(rootless=True), _needs_links(rootless=False)


def marked(mark: str) -> set[int]:
    """Processes with a mark in their environment, that is those a marked command has started."""
    found = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.add(int(process.name))
        except OSError:
            continue
    return found


def namespaces_of(processes: set[int]) -> set[str]:
    """The network namespaces they are in, less our own."""
    found = set()
    for pid in processes:
        try:
            found.add(str(Path(f"/proc/{pid}/ns/net").readlink()))
        except OSError:
            continue
    return found - {str(Path("/proc/self/ns/net").readlink())}


def within(namespaces: set[str] | None) -> set[tuple[int, str]]:
    """Processes in these network namespaces (all there are, if None), each with the tick it started at.

    A process is known by both: the kernel soon gives the number of a process, and of a namespace, to another.
    """
    found = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if namespaces is None or str((process / "ns/net").readlink()) in namespaces:
                found.add((int(process.name), (process / "stat").read_text().rpartition(")")[2].split()[19]))
        except OSError:
            continue
    return found
