"""Runs a command that ends when the process that started it ends, even if that one is killed outright:
`python -m fishladder.runtime.tether [--owner PID] -- command...`. It knows nothing of what it runs, and imports nothing
but the standard library, so that it starts at once and stays small.

The kernel's own leash (`PR_SET_PDEATHSIG`) follows the *thread* that forked: a command started from a pool's thread
would die with that thread. So the tether stays between the two. It watches the owner as a process (a pidfd, or where
there is none by asking for its parent now and then), and since it has but one thread itself, the kernel's leash holds
between it and the command, should the tether be what is killed.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.25
_GRACE_S = 10.0
#: As `kill` does: a process ended by signal n exits with 128 + n.
_SIGNALLED = 128


def leash(owner: int) -> Callable[[], None] | None:
    """What a child runs before `exec` so that it gets SIGTERM when `owner`'s only thread ends; None where it cannot."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def fasten() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != owner:  # it ended before the leash held
            os.kill(os.getpid(), signal.SIGKILL)

    return fasten


def _pidfd(pid: int) -> int | None:
    """A descriptor that is readable once the process has ended, where the system has such a thing."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return None


def run(command: list[str], owner: int) -> int:
    """Run `command` until it ends (its exit status is returned) or `owner` does. Passes SIGTERM and SIGINT on."""
    wake_r, wake_w = os.pipe()
    os.set_blocking(wake_w, False)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: asked.append(number))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)

    watched = _pidfd(owner)
    # The owner may have passed descriptors that the command shall hold as long as it lives, a lock for one.
    child = subprocess.Popen(command, close_fds=False, preexec_fn=leash(os.getpid()))  # noqa: S603
    waits_on = [wake_r] if watched is None else [wake_r, watched]
    while child.poll() is None and not asked and os.getppid() == owner:
        readable, _, _ = select.select(waits_on, [], [], _POLL_S if watched is None else None)
        if watched in readable:
            break
        if readable:
            os.read(wake_r, 512)
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
    status = child.wait()
    return status if status >= 0 else _SIGNALLED - status


def main(arguments: list[str]) -> int:
    owner = os.getppid()
    if arguments[:1] == ["--owner"] and len(arguments) > 1:
        owner, arguments = int(arguments[1]), arguments[2:]
    if arguments[:1] != ["--"] or len(arguments) < 2:
        sys.stderr.write("usage: python -m fishladder.runtime.tether [--owner PID] -- command...\n")
        return 2
    try:
        return run(arguments[1:], owner)
    except OSError as error:
        sys.stderr.write(f"{arguments[1]}: {error.strerror}\n")
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
