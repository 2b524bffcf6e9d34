"""Gives memory back to the system. The C library keeps what was freed below what is in use, so that a process which
needed much at one time would stay as large as it was then.
"""

import ctypes
import sys


def trim() -> None:
    """What is free goes back, where the C library is one that keeps it and can be told (glibc)."""
    if sys.platform == "linux" and (give_back := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        give_back(0)
