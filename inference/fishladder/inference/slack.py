"""Gives memory back to the system once a backlog is worked off. The C library keeps what was freed below what is in
use, so a worker that was behind once would stay as large as it was then.
"""

import ctypes
import sys

#: A backlog of less leaves nothing worth the while.
_WORTH_BYTES = 1 << 20
#: It is worked off when no more than so much of it is left.
_LEFT = 0.125


class Slack:
    """Pure; `trim` does it."""

    def __init__(self) -> None:
        self._most = 0

    def due(self, backlog_bytes: int) -> bool:
        """Whether a backlog has been worked off since it last was; to be asked now and then."""
        self._most = max(self._most, backlog_bytes)
        if self._most < _WORTH_BYTES or backlog_bytes > self._most * _LEFT:
            return False
        self._most = 0
        return True


def trim() -> None:
    """What is free goes back, where the C library is one that keeps it and can be told (glibc)."""
    if sys.platform == "linux" and (give_back := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        give_back(0)
