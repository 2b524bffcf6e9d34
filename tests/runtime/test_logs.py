"""What the log of a process shows, and what it does not."""

import os
import pty
import subprocess
import sys

import pytest

_FAILS = """
import structlog
from fishladder.runtime.logs import configure_logging

def connect(token):
    raise OSError("no route")

configure_logging()
try:
    connect("s3" + "cr3t")
except OSError:
    structlog.get_logger().exception("it failed")
"""


@pytest.mark.parametrize("terminal", [True, False])
def test_a_traceback_shows_no_variables(terminal: bool) -> None:
    """On a terminal, too, where another library would draw what each function's variables held."""
    ours, theirs = pty.openpty()
    try:
        to = theirs if terminal else subprocess.PIPE
        done = subprocess.run([sys.executable, "-c", _FAILS], stdout=to, check=True)
        said = (os.read(ours, 1 << 16) if terminal else done.stdout).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "it failed" in said
    assert "no route" in said
    assert "s3cr3t" not in said
