"""Waiting for the moment a picture is due."""

import select


def pause(seconds: float) -> None:
    """Wait for `seconds`; not positive returns at once.

    By a relative time-out: `time.sleep` waits for an absolute time, which fails on hosts whose clock is interposed.
    """
    if seconds > 0:
        select.select([], [], [], seconds)
